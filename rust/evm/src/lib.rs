//! The EVM execution layer: blocks, tries, store and derivation, on revm. Free of Python.

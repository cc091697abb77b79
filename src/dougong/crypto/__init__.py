"""Hashes, Merkle trees and keys: thin, over libraries and the Rust core."""

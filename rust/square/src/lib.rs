//! Kernels of the availability layer: erasure coding and namespaced Merkle trees. Free of Python.

"""Dougong: the whole modular blockchain stack."""

__version__ = "0.1.0"

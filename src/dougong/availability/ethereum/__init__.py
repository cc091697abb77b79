"""The adapter `kind = "ethereum-blobs"`: any Ethereum chain's blobs as a data availability layer."""

from dougong.availability.ethereum.sending import BlobReceipt, BlobSender

__all__ = ["BlobReceipt", "BlobSender"]

"""The adapter `kind = "ethereum-blobs"`: any Ethereum chain's blobs as a data availability layer."""

from dougong.availability.ethereum.beacon import Beacon, BlobSource
from dougong.availability.ethereum.block import EthereumBlock, read_block
from dougong.availability.ethereum.layer import EthereumBlobs
from dougong.availability.ethereum.reading import BlobReader, Finality
from dougong.availability.ethereum.sending import BlobReceipt, BlobSender

__all__ = [
    "Beacon",
    "BlobReader",
    "BlobReceipt",
    "BlobSender",
    "BlobSource",
    "EthereumBlobs",
    "EthereumBlock",
    "Finality",
    "read_block",
]

"""Orders transactions for an application: `Solo`, and what a light client needs to check any CometBFT chain's headers."""

from dougong.consensus.block import ConsensusParams
from dougong.consensus.commit import Commit
from dougong.consensus.genesis import Genesis
from dougong.consensus.header import BlockId, Header
from dougong.consensus.light import LightClient, LightOptions, prove_transaction, verify_transaction
from dougong.consensus.mempool import MempoolLimits
from dougong.consensus.solo import Solo, SoloOptions

__all__ = [
    "BlockId",
    "Commit",
    "ConsensusParams",
    "Genesis",
    "Header",
    "LightClient",
    "LightOptions",
    "MempoolLimits",
    "Solo",
    "SoloOptions",
    "prove_transaction",
    "verify_transaction",
]

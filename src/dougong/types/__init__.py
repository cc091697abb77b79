"""The values that cross the seams between layers.

    >>> Namespace.user(b"alpha").hex()[-10:]
    '616c706861'

Everything here is frozen and made of bytes and integers, so that a layer can move behind a socket or into another
process without a change of meaning. Hashes are 32 bytes, addresses 20 bytes, heights start at 1, times are integers
in the unit that the name says. What only one layer knows about stays in that layer.
"""

from __future__ import annotations

from dougong.types.availability import (
    BadEncodingProof,
    Blob,
    BlobMarket,
    BlobProof,
    BlobsHeader,
    BlobTransaction,
    Cell,
    DataHeader,
    FeeAccount,
    KzgBlobProof,
    KzgCell,
    KzgNamespaceData,
    MerkleProof,
    NamespaceData,
    NamespaceRow,
    NmtProof,
    PendingTx,
    PlacedBlob,
    Placement,
    Quote,
    ShareProof,
    ShareRowProof,
    SquareCell,
    SquareHeader,
    SquareNamespaceData,
    TransactionContent,
)
from dougong.types.blobs import GAS_PER_BLOB, BlobSidecar
from dougong.types.consensus import (
    AppInfo,
    Block,
    ChainStatus,
    CheckTxResult,
    DecidedBlock,
    FinalizeResult,
    InitChain,
    InitChainResult,
    Proposal,
    SignedHeader,
    TxResult,
    Validator,
)
from dougong.types.execution import BatchContext, Heads, StateCommitment
from dougong.types.namespace import NAMESPACE_BYTES, NAMESPACE_USER_BYTES, Namespace
from dougong.types.settlement import (
    Attestation,
    Attestor,
    BatchReference,
    Claim,
    ClaimStatus,
    InboxMessage,
    MessageKind,
    OutboxMessage,
    OutboxProof,
)

__all__ = [
    "ADDRESS_BYTES",
    "GAS_PER_BLOB",
    "HASH_BYTES",
    "NAMESPACE_BYTES",
    "NAMESPACE_USER_BYTES",
    "ZERO_HASH",
    "AppInfo",
    "Attestation",
    "Attestor",
    "BadEncodingProof",
    "BatchContext",
    "BatchReference",
    "Blob",
    "BlobMarket",
    "BlobProof",
    "BlobSidecar",
    "BlobTransaction",
    "BlobsHeader",
    "Block",
    "Cell",
    "ChainStatus",
    "CheckTxResult",
    "Claim",
    "ClaimStatus",
    "DataHeader",
    "DecidedBlock",
    "FeeAccount",
    "FinalizeResult",
    "Heads",
    "InboxMessage",
    "InitChain",
    "InitChainResult",
    "KzgBlobProof",
    "KzgCell",
    "KzgNamespaceData",
    "MerkleProof",
    "MessageKind",
    "Namespace",
    "NamespaceData",
    "NamespaceRow",
    "NmtProof",
    "OutboxMessage",
    "OutboxProof",
    "PendingTx",
    "PlacedBlob",
    "Placement",
    "Proposal",
    "Quote",
    "ShareProof",
    "ShareRowProof",
    "SignedHeader",
    "SquareCell",
    "SquareHeader",
    "SquareNamespaceData",
    "StateCommitment",
    "TransactionContent",
    "TxResult",
    "Validator",
]

HASH_BYTES = 32
ADDRESS_BYTES = 20
ZERO_HASH = bytes(HASH_BYTES)

"""The values that cross the seams between layers.

    >>> Namespace.user(b"alpha").hex()[-10:]
    '616c706861'

Everything here is frozen and made of bytes and integers, so that a layer can move behind a socket or into another
process without a change of meaning. Hashes are 32 bytes, addresses 20 bytes, heights start at 1, times are integers
in the unit that the name says. What only one layer knows about stays in that layer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from dougong.errors import InvalidNamespace

HASH_BYTES = 32
ADDRESS_BYTES = 20
ZERO_HASH = bytes(HASH_BYTES)

NAMESPACE_BYTES = 29
NAMESPACE_USER_BYTES = 10
_USER_PREFIX = bytes(NAMESPACE_BYTES - NAMESPACE_USER_BYTES)


@dataclass(frozen=True, slots=True, order=True)
class Namespace:
    """One version byte and a 28-byte id: the key that blobs are sorted and looked up by.

    Source: celestia-app specs, "Namespace". Raises `InvalidNamespace` when the bytes are not 29 long, the version is
    neither 0 nor 255, or a version-0 id does not start with 18 zero bytes.
    """

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != NAMESPACE_BYTES:
            raise InvalidNamespace(f"a namespace is {NAMESPACE_BYTES} bytes, not {len(self.raw)}")
        if self.raw[0] not in (0, 255):
            raise InvalidNamespace(f"namespace version {self.raw[0]} is not in use")
        if self.raw[0] == 0 and any(self.raw[1 : NAMESPACE_BYTES - NAMESPACE_USER_BYTES]):
            raise InvalidNamespace("a version 0 namespace starts with 18 zero bytes after its version")

    @classmethod
    def user(cls, label: bytes) -> Namespace:
        """The version 0 namespace whose 10-byte id is `label`, padded with zeros on the left."""
        if not 0 < len(label) <= NAMESPACE_USER_BYTES:
            raise InvalidNamespace(f"a version 0 namespace label is 1 to {NAMESPACE_USER_BYTES} bytes, not {len(label)}")
        return cls(_USER_PREFIX + label.rjust(NAMESPACE_USER_BYTES, b"\0"))

    def hex(self) -> str:
        return self.raw.hex()


# --- consensus ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Validator:
    """A consensus validator: its Ed25519 public key (32 bytes) and voting power."""

    public_key: bytes
    power: int


@dataclass(frozen=True, slots=True)
class CheckTxResult:
    """Verdict on a transaction offered to the mempool. `code` 0 admits it; anything else refuses, `log` says why."""

    code: int = 0
    log: str = ""
    gas_wanted: int = 0
    priority: int = 0

    @property
    def accepted(self) -> bool:
        return self.code == 0


@dataclass(frozen=True, slots=True)
class TxResult:
    """Outcome of one transaction of a decided block. `code` 0 means that it took effect."""

    code: int = 0
    data: bytes = b""
    log: str = ""
    gas_wanted: int = 0
    gas_used: int = 0


@dataclass(frozen=True, slots=True)
class AppInfo:
    """Where an application stands: the last height that it committed (0 before the first) and its hash."""

    last_height: int
    app_hash: bytes
    app_version: int


@dataclass(frozen=True, slots=True)
class InitChain:
    """What a new chain starts from. `app_state` is the application's own part of the genesis document (JSON)."""

    chain_id: str
    time_ns: int
    initial_height: int
    validators: tuple[Validator, ...]
    app_state: bytes


@dataclass(frozen=True, slots=True)
class InitChainResult:
    """The app hash before the first block, and the validator set (empty: keep the genesis document's)."""

    app_hash: bytes
    validators: tuple[Validator, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """A block on its way to a decision: what PrepareProposal is asked to fill and ProcessProposal to judge.

    `max_tx_bytes` bounds the sum of the transactions' sizes (0 in ProcessProposal, where it does not apply).
    """

    height: int
    time_ns: int
    txs: tuple[bytes, ...]
    proposer_address: bytes
    max_tx_bytes: int = 0


@dataclass(frozen=True, slots=True)
class DecidedBlock:
    """A block that consensus has decided; the same for every node."""

    height: int
    time_ns: int
    txs: tuple[bytes, ...]
    proposer_address: bytes
    block_hash: bytes


@dataclass(frozen=True, slots=True)
class FinalizeResult:
    """One `TxResult` a transaction, the new app hash, and changes to the validator set (power 0 removes)."""

    tx_results: tuple[TxResult, ...]
    app_hash: bytes
    validator_updates: tuple[Validator, ...] = ()


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """Where a chain stands. `genesis_hash` is the SHA-256 of its genesis document."""

    chain_id: str
    genesis_hash: bytes
    height: int
    block_hash: bytes
    app_hash: bytes
    time_ns: int


@dataclass(frozen=True, slots=True)
class SignedHeader:
    """A header and the commit that decided it, both in CometBFT's protobuf encoding (so that a light client hashes
    exactly what was signed), and the validator set that `header.validators_hash` commits to."""

    height: int
    header: bytes
    commit: bytes
    validators: tuple[Validator, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A decided block as stored: its signed header, its transactions, and their results once executed."""

    signed_header: SignedHeader
    txs: tuple[bytes, ...]
    tx_results: tuple[TxResult, ...] = ()


# --- availability ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes to publish under a namespace. `signer` (20 bytes) is set when, and only when, `share_version` is 1."""

    namespace: Namespace
    data: bytes
    share_version: int = 0
    signer: bytes = b""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a blob lies: shares [start_share, start_share + share_count), counted along the rows of the original
    square whose data root is `data_root`, in block `height`. With the data root attested it fixes every byte."""

    height: int
    data_root: bytes
    start_share: int
    share_count: int


@dataclass(frozen=True, slots=True)
class DataHeader:
    """The data availability header of a block: 2k row roots and 2k column roots (90 bytes each), whose Merkle root is
    `data_root`. `time_ns` is the block's time. Parsed, it has been checked: the roots hash to the data root."""

    height: int
    time_ns: int
    data_root: bytes
    row_roots: tuple[bytes, ...]
    column_roots: tuple[bytes, ...]

    @property
    def square_size(self) -> int:
        """k: the width of the original square, in shares."""
        return len(self.row_roots) // 2


@dataclass(frozen=True, slots=True)
class MerkleProof:
    """RFC 6962 inclusion proof: siblings from the leaf up to the root. Every hash is SHA-256."""

    index: int
    total: int
    siblings: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class NmtProof:
    """A proof for leaves [start, end) of a namespaced Merkle tree, in the order of Celestia's nmt.

    `nodes` are the 90-byte roots of the subtrees beside the range, left to right. For a namespace that is absent,
    `leaf_hash` is the node of the leaf that would follow it; otherwise it is empty.
    """

    start: int
    end: int
    nodes: tuple[bytes, ...]
    leaf_hash: bytes = b""


@dataclass(frozen=True, slots=True)
class Cell:
    """One share of the extended square with its proof to the row root (`axis` 0) or the column root (`axis` 1)."""

    row: int
    column: int
    share: bytes
    axis: int
    proof: NmtProof


@dataclass(frozen=True, slots=True)
class ShareRowProof:
    """Shares [start, end) of one row with their proof to the row root, and the row root's proof to the data root."""

    row: int
    shares: tuple[bytes, ...]
    nmt_proof: NmtProof
    row_root: bytes
    row_proof: MerkleProof


@dataclass(frozen=True, slots=True)
class ShareProof:
    """A run of shares proven under a data root, row by row."""

    data_root: bytes
    rows: tuple[ShareRowProof, ...]


@dataclass(frozen=True, slots=True)
class NamespaceRow:
    """All shares of a namespace in one row (none, with an absence proof) under that row's root."""

    row: int
    shares: tuple[bytes, ...]
    proof: NmtProof


@dataclass(frozen=True, slots=True)
class PlacedBlob:
    """A blob read back from a square, and where it lies."""

    blob: Blob
    placement: Placement


@dataclass(frozen=True, slots=True)
class NamespaceData:
    """Everything published under a namespace in a block, with the proof that nothing was left out.

    `rows` holds one entry for each row whose root's namespace range covers the namespace; none at all is proven by the
    row roots themselves.
    """

    height: int
    namespace: Namespace
    blobs: tuple[PlacedBlob, ...]
    rows: tuple[NamespaceRow, ...]


# --- settlement -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attestor:
    """Who signs data roots for settlement: a secp256k1 address (20 bytes) and its power."""

    address: bytes
    power: int


@dataclass(frozen=True, slots=True)
class Attestation:
    """The attestors' word on the history of data roots up to `height`; see docs/spec/attestation.md.

    `root` is the RFC 6962 root over one leaf a height, 1 to `height`. `signatures` are 65 bytes (r, s, v), in the order of
    `attestors`, empty where one has not signed.
    """

    da_id: bytes
    height: int
    root: bytes
    next_attestors_hash: bytes
    attestors: tuple[Attestor, ...]
    signatures: tuple[bytes, ...]


class MessageKind(IntEnum):
    """What an inbox message asks of a rollup."""

    DEPOSIT = 0
    FORCED_TRANSACTION = 1


@dataclass(frozen=True, slots=True)
class InboxMessage:
    """A message from settlement to a rollup. Payload of a deposit: recipient (20 bytes) and amount in gwei (8 bytes,
    big-endian); of a forced transaction: the user's signed transaction."""

    index: int
    kind: MessageKind
    sender: bytes
    timestamp: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class BatchReference:
    """One entry of a rollup's batch accumulator: where the data lies and how far the inbox is consumed with it.

    `placement` is None for a batch that carries no data (anyone may append one after the sequencer's timeout).
    `timestamp` is the settlement block's time in seconds when it was appended: an upper bound for its blocks' times.
    """

    index: int
    da_id: bytes
    placement: Placement | None
    inbox_end: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class Claim:
    """The one statement that every rollup makes; see docs/spec/claim.md. It has exactly one true value, because the
    contract has fixed both ranges before anyone claims."""

    chain_id: int
    contract: bytes
    rollup_id: int
    spec_version: int
    parent: bytes
    pre_state: bytes
    post_state: bytes
    batch_start: int
    batch_end: int
    batch_accumulator: bytes
    inbox_start: int
    inbox_end: int
    inbox_accumulator: bytes
    outbox_root: bytes


class ClaimStatus(IntEnum):
    NONE = 0
    PENDING = 1
    FINAL = 2
    REJECTED = 3


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A message out of a rollup: a leaf of its outbox. Ether leaves with it when `value` (wei) is not zero."""

    index: int
    sender: bytes
    recipient: bytes
    value: int
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class OutboxProof:
    """A leaf's siblings in the outbox tree of depth 32, from the leaf up."""

    index: int
    siblings: tuple[bytes, ...]


# --- execution ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StateCommitment:
    """A rollup's state as settlement sees it: `state` is opaque (an EVM rollup's is its last block's hash)."""

    height: int
    state: bytes
    outbox_root: bytes
    inbox_end: int


@dataclass(frozen=True, slots=True)
class Heads:
    """Block numbers: `latest` the sequencer's word, `safe` published in a final DA block, `finalized` with final inputs."""

    latest: int
    safe: int
    finalized: int


@dataclass(frozen=True, slots=True)
class BatchContext:
    """What a batch is applied with besides its own bytes, all of it fixed by the layer that ordered the batch.

    `messages` are the inbox messages from the current position up to `inbox_end`; `timestamp` in seconds.
    """

    timestamp: int
    inbox_end: int = 0
    messages: tuple[InboxMessage, ...] = field(default=())

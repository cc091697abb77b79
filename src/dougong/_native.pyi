"""The Rust core as Python sees it: kernels and the EVM. Long calls release the GIL.

Errors: of the EVM, `dougong.errors`' own, raised by name: `InvalidInput` for bytes of the wrong length or values that make no
sense, `NotFound`, `StoreError` and its kinds, and others where a docstring says so. Elsewhere `ValueError`.
"""

from collections.abc import Sequence

from typing_extensions import Buffer

def keccak256(data: bytes) -> bytes: ...

# --- availability (rust/square) -------------------------------------------------------------------------------------

class ExtendedSquare:
    """An original square of k x k shares, twice extended, with all its roots. `axis` is 0 for rows and 1 for columns; an index
    outside the 2k x 2k cells raises `IndexError`. Nodes and roots are 90 bytes.

    `memoryview(square)` shows all 4k² cells, 512 bytes each, row by row, without copying them; it is read-only and keeps the
    square alive. What takes a `Buffer` takes any contiguous one (bytes, bytearray, memoryview, mmap) without copying it first; do
    not write to it meanwhile."""

    def __init__(self, original: Buffer) -> None:
        """Extends and hashes on all cores. `original` is the k² shares, row by row. Raises `ValueError` when its size is
        not that of a square whose width is a power of two up to 512, or its namespaces are out of order."""

    def __buffer__(self, flags: int, /) -> memoryview: ...
    @staticmethod
    def from_cells(cells: Buffer) -> ExtendedSquare:
        """A square of 4k² cells AS THEY ARE, row by row: hashed, not extended, and not checked to be codewords. What a dishonest
        producer commits to, for attack drills and tests; never for a square that is to be trusted. Raises as the constructor."""

    @property
    def k(self) -> int: ...
    def share(self, row: int, column: int) -> bytes: ...
    def axis(self, axis: int, index: int) -> list[bytes]:
        """The 2k shares of a row or column."""

    def row_roots(self) -> list[bytes]: ...
    def column_roots(self) -> list[bytes]: ...
    def data_root(self) -> bytes: ...
    def prove_range(self, axis: int, index: int, start: int, end: int) -> list[bytes]:
        """The nodes beside leaves [start, end) of an axis, left to right."""

    def prove_namespace(self, row: int, namespace: bytes) -> tuple[int, int, list[bytes], bytes] | None:
        """(start, end, nodes, leaf node behind an absent namespace or empty); None when the row root's range does not cover
        it."""

class ExtendedAxis:
    """Row (`axis` 0) or column (1) `index` of an extended square, from its first k cells. Nodes and the root are 90 bytes; cells
    outside raise `IndexError`."""

    def __init__(self, axis: int, index: int, half: bytes) -> None:
        """Appends the parity and hashes. Raises `ValueError` for another shape, or namespaces out of order."""

    def root(self) -> bytes: ...
    def shares(self, start: int, end: int) -> list[bytes]: ...
    def prove_range(self, start: int, end: int) -> list[bytes]: ...
    def prove_namespace(self, namespace: bytes) -> tuple[int, int, list[bytes], bytes] | None:
        """As `ExtendedSquare.prove_namespace`."""

def repair_square(
    cells: Sequence[bytes | None] | Buffer,
    row_roots: Sequence[bytes],
    column_roots: Sequence[bytes],
    present: Buffer | None = None,
) -> ExtendedSquare | tuple[int, int, list[bytes | None], list[list[bytes] | None]] | int:
    """The square from its 4k² cells, row by row, under its roots: never any other square. `cells` is a sequence with None where a
    cell is missing; or, with `present`, one buffer of all of them, of which those are given whose byte in `present` (4k² of
    them) is not zero.

    Or (axis, index, shares, nodes) of an axis that is badly encoded: its cells known before it was solved, and for those whose
    crossing axis was solved the nodes that prove them under that axis' root; or the number of cells known in the end where they
    do not suffice. Raises `ValueError` for wrong shapes."""

def axis_root(k: int, axis: int, index: int, shares: Sequence[bytes | None]) -> bytes | None:
    """The root that row (`axis` 0) or column (1) `index` of a square has if it is well encoded: the codeword through the first k
    of its 2k shares that are given (the others are ignored), hashed. None when there is no such tree, because the namespaces of
    its cells are out of order. Raises `ValueError` for wrong shapes and fewer than k shares."""

def sha256_many(messages: Buffer, size: int) -> bytes:
    """The SHA-256 digests, one after the other, of messages of `size` bytes each that lie side by side; on all cores. Raises
    `ValueError` where the buffer is not so many whole messages."""

# --- blobs (c-kzg, with the setup of Ethereum's ceremony) -----------------------------------------------------------

def kzg_commitment(blob: bytes) -> bytes:
    """Of 131,072 bytes, to 48. `ValueError` here and below: wrong lengths, field elements not below the modulus, no curve
    points."""

def kzg_cells_and_proofs(blob: bytes) -> tuple[list[bytes], list[bytes]]:
    """128 cells of 2,048 bytes and 128 proofs of 48."""

def kzg_recover(indices: list[int], cells: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The same from half of the cells or more; indices ascend."""

def kzg_verify_cells(commitments: list[bytes], indices: list[int], cells: list[bytes], proofs: list[bytes]) -> bool: ...

# --- execution (rust/evm) -------------------------------------------------------------------------------------------

class TxInfo:
    """A decoded, signature-checked Ethereum transaction (legacy, 2930, 1559, 7702; 4844 where asked for)."""

    hash: bytes
    sender: bytes
    nonce: int
    gas_limit: int
    max_fee_per_gas: int
    max_priority_fee_per_gas: int
    value: int
    to: bytes | None
    blob_versioned_hashes: list[bytes]
    """Of a blob transaction; empty for any other."""
    max_fee_per_blob_gas: int | None
    tx_type: int
    chain_id: int | None
    size: int
    flaw: str | None
    """The rule that it breaks whatever the state is (intrinsic gas, initcode size, empty authorization list); None: none."""

class HeaderInfo:
    """What services need of a block header; the whole of it is in `Evm.block_rlp`."""

    number: int
    hash: bytes
    parent_hash: bytes
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    timestamp: int
    gas_used: int
    gas_limit: int
    base_fee: int
    blob_gas_used: int
    inbox_end: int
    outbox_root: bytes

class BuiltBlock:
    """A block that was executed. `included` and `skipped` index the offered transactions; skipped carry a reason."""

    header: HeaderInfo
    included: list[int]
    skipped: list[tuple[int, str]]

def decode_transactions(txs: Sequence[bytes], *, blobs: bool = False) -> list[TxInfo | str]:
    """Decodes and recovers senders on all cores. A string in place of a `TxInfo` says why that one is invalid. Our own chains
    carry no blobs: type 3 is invalid there, and taken with `blobs` alone, for the blocks of an Ethereum chain."""

def transactions_root(txs: Sequence[bytes]) -> bytes:
    """The `transactionsRoot` (32 bytes) of a block of these transactions, in their EIP-2718 encodings and this order."""

def sign_transaction(fields_json: str, private_key: bytes) -> bytes:
    """Signs a transaction given as JSON-RPC fields (type, chainId, nonce, to, value, data, gas, maxFeePerGas, ...;
    for type 3 maxFeePerBlobGas and blobVersionedHashes).
    Returns the EIP-2718 encoding."""

def sign_transactions(fields_json: Sequence[str], private_keys: Sequence[bytes]) -> list[bytes]: ...
def sign_authorization(fields_json: str, private_key: bytes) -> str:
    """Signs an EIP-7702 authorization given as JSON (chainId, address, nonce). Returns the entry of a type 4
    transaction's `authorizationList`, as JSON."""

def encode_batch(parent_hash: bytes, blocks: Sequence[tuple[int, int, Sequence[bytes]]], level: int) -> bytes:
    """A batch of (timestamp, inbox end, transactions), whatever they are worth; `Evm.encode_batch` is the honest one. Raises
    `InvalidInput` over the limits. Source: docs/spec/derivation.md."""

def decode_batch(data: bytes, gas_limit: int) -> tuple[bytes, list[tuple[int, int, list[bytes]]]] | None:
    """(parent hash, blocks) of a batch for a chain with that block gas limit; None if it counts as empty."""

def snapshot_block(snapshot_path: str) -> tuple[int, bytes]:
    """Number and hash of the block that a snapshot says it is of: to look for somebody who vouches for the hash."""

def import_snapshot(path: str, genesis_json: str, trusted: bytes, snapshot_path: str, *, map_bytes: int = ...) -> HeaderInfo:
    """Makes the empty folder `path` the chain of the genesis document as of the block whose hash is `trusted`. Everything is held
    against that hash first; raises `InvalidSnapshot`. An import that was cut off is begun again by the next one, and what it left
    opens as no chain."""

class Calls:
    """A JSON-RPC request that is nothing but well-formed eth_sendRawTransaction or nothing but eth_getTransactionReceipt."""

    @staticmethod
    def parse(body: bytes, most: int, tx_bytes: int) -> Calls | None:
        """None for any other request, one of more than `most` calls, or with a transaction of more than `tx_bytes`."""

    def __len__(self) -> int: ...
    @property
    def method(self) -> str: ...
    def transactions(self) -> list[bytes]:
        """EIP-2718 bytes, not decoded; empty where receipts are asked for."""

    def reply(self, outcomes: Sequence[bytes | str]) -> bytes:
        """The reply, from a hash or an error object (JSON) for each call."""

class Evm:
    """A durable chain of EVM blocks. One process opens a path at a time.

    Every call that names a block takes its number and raises `dougong.errors.NotFound` for one that is not there.
    JSON results are Ethereum JSON-RPC objects, encoded, ready to be put into a response.
    """

    def __init__(self, path: str, genesis_json: str, *, map_bytes: int = ..., imported: bool = False) -> None:
        """Opens or creates the folder `path`. `genesis_json` is geth-style: Prague from genesis on, `config.osakaTime` if
        wanted, and `config.dougong.outboxSlot` (default 0) for a rollup's outbox. `map_bytes` bounds the store's size
        (default 1 TiB). Raises `ConfigError` for a genesis that describes a chain that we do not run, `StoreCorrupt` if
        the store was made from another genesis or fails its checks, `StoreError` if another process has it open. An
        `imported` chain may go through any of Ethereum's forks from Frontier to Osaka; it grows by `import_blocks` alone."""

    chain_id: int
    genesis_hash: bytes

    # building: execute, then commit (durable when it returns) or discard.
    def execute(
        self,
        timestamp: int,
        txs: Sequence[bytes],
        *,
        skip_invalid: bool,
        beneficiary: bytes,
    ) -> BuiltBlock:
        """Executes an ordered block (no inbox) on the head; at most one is pending. With `skip_invalid` False an invalid
        transaction raises `InvalidTransaction`."""

    def execute_rollup(
        self,
        timestamp: int,
        inbox_end: int,
        messages: Sequence[tuple[int, bytes]],
        txs: Sequence[bytes],
    ) -> BuiltBlock:
        """Executes one rollup block as the derivation does: `messages` are (kind, payload) from the head's inbox position
        on; `inbox_end` is lowered where the rules demand a cut (see docs/spec/derivation.md), and a `timestamp` before the
        head's is raised to it. `included` and `skipped` index `txs`; forced transactions are in neither."""

    def import_blocks(self, blocks: bytes) -> list[HeaderInfo]:
        """Checks, executes and commits blocks in Ethereum's RLP, one after the other as `geth export` writes them. Everything
        that a header states is checked but a proof-of-work seal. Raises `InvalidInput` at one that is not valid on the head;
        those before it are kept."""

    def commit(self) -> None: ...
    def discard(self) -> None: ...
    def rollback(self, number: int) -> None:
        """Raises `Pruned` for a block that the store can no longer go back to."""

    # what is kept, and what can be handed on
    def prune(self, states: int, bodies: int) -> bool:
        """One small step towards keeping states (and what undoes blocks) from block `states` on, bodies, receipts and indexes
        from block `bodies` on. Tells whether there may be more to do. What is gone is told as `StatePruned` and `Pruned`."""

    def kept(self) -> tuple[int, int, int]:
        """The first block whose state, whose body and receipts, and whose header the store holds."""

    def export_snapshot(self, path: str, number: int | None = None) -> tuple[int, bytes, bytes, int, int, int]:
        """Writes the state after a block (None: the head) to a file, whole or not at all, while the chain goes on. Returns the
        block's number and hash, the snapshot's digest, and how many accounts, slots and codes it has (docs/spec/snapshot.md)."""

    # batches
    def encode_batch(self, first: int, last: int, level: int) -> bytes:
        """The canonical batch of stored blocks first..=last: version byte and one zstd frame. Raises `InvalidInput` for
        more than 4,096 blocks or 16 MiB of content: publish them as two."""

    def apply_batch(
        self,
        data: bytes | None,
        timestamp: int,
        inbox_end: int,
        messages: Sequence[tuple[int, bytes]],
    ) -> list[HeaderInfo]:
        """Derives and commits, atomically, all blocks of one batch (none may be). Total: never raises for any `data`;
        `InvalidInput` if `inbox_end` lies before the head's position or `messages` do not reach it."""

    # reading
    def head(self) -> HeaderInfo: ...
    def header(self, number: int) -> HeaderInfo: ...
    def number_of(self, block_hash: bytes) -> int | None: ...
    def block_rlp(self, number: int) -> bytes: ...
    def header_rlp(self, number: int) -> bytes: ...
    def transactions(self, number: int) -> list[bytes]: ...
    def account(self, address: bytes, number: int | None = None) -> tuple[int, int]:
        """(nonce, balance in wei); the pending block is not visible."""

    def code(self, address: bytes, number: int) -> bytes: ...
    def storage(self, address: bytes, slot: bytes, number: int) -> bytes: ...
    def block_json(self, number: int, full: bool) -> bytes: ...
    def config_json(self, number: int) -> bytes:
        """EIP-7910's answer at the head `number`."""

    def fees(self, number: int) -> tuple[int, int, int, int, int]:
        """In wei: base fee, the next block's, blob base fee, the next block's; and the most blob gas that the block may use."""

    def transaction_count(self, number: int) -> int: ...
    def transaction_at_json(self, number: int, index: int) -> bytes | None: ...
    def raw_transaction(self, tx_hash: bytes) -> bytes | None:
        """EIP-2718."""

    def ommer_count(self, number: int) -> int: ...
    def ommer_json(self, number: int, index: int) -> bytes | None: ...
    def transaction_json(self, tx_hash: bytes) -> bytes | None: ...
    def receipt_json(self, tx_hash: bytes) -> bytes | None: ...
    def answer_receipts(self, calls: Calls, limit: int) -> bytes | None:
        """The reply to a request for receipts, written on all cores; None once they are over `limit` bytes together."""

    def sender_accounts(self, senders: Sequence[TxInfo | bytes]) -> dict[bytes, tuple[int, int]]:
        """Nonce and balance after the head of every sender (a transaction's, or an address), all of one state."""

    def block_receipts_json(self, number: int) -> bytes: ...
    def logs_json(self, filter_json: str, first: int, last: int, limit: int, max_bytes: int = ..., seconds: float = ...) -> bytes:
        """The logs of blocks first..=last that an eth_getLogs filter's address and topics select, found by the index. Raises
        `InvalidInput`, with words for the caller, when that would be more than `limit` logs or `max_bytes` of JSON, or takes
        longer than `seconds`."""

    def block_logs(self, number: int, block_hash: bytes) -> list[tuple[bytes, list[bytes], bytes]] | None:
        """All logs of the block with this number and hash: (address, topics, JSON). None if the chain holds another there."""

    def header_json(self, number: int) -> bytes:
        """The header as eth_subscribe's newHeads shows it."""

    # for the explorer Otterscan: `rust/evm/src/otterscan.rs` says what counts as an address's transaction
    def block_details_json(self, number: int) -> bytes: ...
    def block_transactions_json(self, number: int, page: int, size: int) -> bytes: ...
    def search_transactions_json(
        self, account: bytes, block: int, head: int, *, forward: bool, size: int, seconds: float = ...
    ) -> bytes:
        """A page of an address's transactions in blocks above `block`, or below (0: from the chain's end), up to `head`."""

    def transaction_by_nonce(self, sender: bytes, nonce: int, head: int) -> bytes | None: ...
    def contract_creation(self, account: bytes, head: int) -> tuple[int, list[tuple[bytes, bytes, bool]]] | None:
        """The block that created a contract and the successful transactions of it in which it takes part: (hash, sender,
        whether the transaction itself created it)."""

    def call_json(
        self, request_json: str, number: int, gas_cap: int, overrides_json: tuple[str, str] = ...
    ) -> tuple[bool, bytes, int]:
        """(success, return or revert data, gas used) of an eth_call request at the state after block `number`. Without a
        fee in the request the base fee is zero. Raises `InvalidTransaction` for a call that cannot start, such as one
        that the sender cannot pay for, or that halts (out of gas, no such opcode), `InvalidInput` for fields that do not
        parse. `overrides_json`: of the state and of the block, as geth has them, each an object or null."""

    def estimate_gas_json(
        self, request_json: str, number: int, gas_cap: int, overrides_json: tuple[str, str] = ...
    ) -> tuple[bool, bytes, int]:
        """(True, b"", gas limit that suffices) or (False, revert data, gas used), found as geth finds it. Raises
        `InvalidTransaction` when no allowed limit suffices."""

    # traces: a transaction is executed again in its place. Each takes `seconds` and answers with `max_bytes` at most: raises
    # `InvalidTransaction` "execution timeout", or `Rejected` for a larger answer. `options_json` is geth's TraceConfig.
    def trace_transaction(self, tx_hash: bytes, options_json: str, seconds: float, max_bytes: int) -> bytes | None:
        """None: no block holds it."""

    def trace_block(self, number: int, options_json: str, seconds: float, max_bytes: int) -> bytes: ...
    def trace_block_rlp(self, block_rlp: bytes, options_json: str, seconds: float, max_bytes: int) -> bytes:
        """The block need not be of the chain; its parent must be."""

    def trace_call(
        self, request_json: str, number: int, gas_cap: int, options_json: str, seconds: float, max_bytes: int
    ) -> bytes: ...
    def access_list_json(
        self, request_json: str, number: int, gas_cap: int, seconds: float, max_bytes: int, overrides_json: str = ...
    ) -> bytes:
        """The result of eth_createAccessList. `overrides_json` are those of the state, or null."""

    def trace_entries_json(self, tx_hash: bytes, seconds: float, max_bytes: int) -> bytes | None:
        """The result of ots_traceTransaction."""

    def internal_operations_json(self, tx_hash: bytes, seconds: float, max_bytes: int) -> bytes | None:
        """The result of ots_getInternalOperations."""

    def revert_data(self, tx_hash: bytes, seconds: float, max_bytes: int) -> bytes | None:
        """Empty for a transaction that did not revert; None for none."""

    def raw_receipts(self, number: int) -> list[bytes]:
        """EIP-2718, as the receipts root holds them."""

    def simulate_json(
        self,
        payload_json: str,
        number: int,
        *,
        gas_cap: int,
        seconds: float,
        max_bytes: int,
        cancellation: Cancellation,
    ) -> tuple[int, bytes]:
        """eth_simulateV1 on the state after block `number`: (0, the blocks as JSON) or (a JSON-RPC error's code, its message).
        `gas_cap` holds for all calls together, `max_bytes` about bounds the result."""

    def proof_json(self, address: bytes, slots: Sequence[bytes], number: int) -> bytes:
        """EIP-1186. Slots of 32 bytes are shown as bytes in `key`, shorter ones as numbers."""

    def parallel(self) -> tuple[int, int]:
        """How many transactions were executed in parallel so far, and how many of them again, because what they had read had
        changed."""

    def set_threads(self, threads: int, *, always: bool = False) -> None:
        """Lets so many threads execute the blocks to come: 0 for one a core (as at first), 1 for one transaction after the
        other. What comes of a block does not depend on it. `always`: even where it does not pay (for tests)."""

    def close(self) -> None: ...

class Cancellation:
    """Ends work that another thread does, soon: for `Evm.simulate_json`."""

    def __init__(self) -> None: ...
    def cancel(self) -> None: ...

def verify_account_proof(state_root: bytes, address: bytes, proof: Sequence[bytes]) -> tuple[int, int, bytes, bytes] | None:
    """(nonce, balance, storage root, code hash), None for an absent account; raises `InvalidProof`."""

def verify_storage_proof(storage_root: bytes, slot: bytes, proof: Sequence[bytes]) -> bytes:
    """The 32-byte value (zero if absent); raises `InvalidProof`."""

def decode_header(header_rlp: bytes) -> HeaderInfo:
    """A header from its RLP; `outbox_root` is zero, since no header holds it. Raises `InvalidInput`."""

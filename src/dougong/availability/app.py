"""The application of a DA chain: it lets signed blobs in, lays them out in a square, and puts the data root into the block.

    app = await SquareApplication.open(path)
    chain = await Solo.open(chain_path, genesis, key, app)

A block is `[data root, blob transaction, …]`: transaction 0 is the 32-byte data root of the square that the others make, so
that the header's `data_hash` commits to it and one Merkle proof leads from a header to the square. The state is each signer's
next sequence, so that nothing is published twice. Formats and rules: docs/spec/da-chain.md.

Source: celestia-app specs ("Data Square Layout", "Block validity rules"). Deviations: celestia-app puts the data root into the
header itself, with its own CometBFT; and here nothing is charged.

Who might cheat: a proposer with a false root, another order, an oversized square, a replayed, forged or unpaid-for blob
(ProcessProposal recomputes all of it); a sender who floods (cheap checks first, no gaps in sequences, limits on size).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from dougong.availability.blob_tx import PaidBlobs, check_blob_tx
from dougong.availability.layout import Square, SquareBuilder
from dougong.availability.params import SquareParams
from dougong.availability.pending import PendingSequences
from dougong.availability.square_cache import SquareCache, lay_out
from dougong.availability.wire import BlobTx, decode_blob_tx
from dougong.crypto import merkle
from dougong.crypto.hashing import sha256
from dougong.errors import DougongError, InvalidInput, InvalidTransaction, StoreCorrupt
from dougong.store import Store, height_key
from dougong.types import (
    HASH_BYTES,
    AppInfo,
    CheckTxResult,
    DecidedBlock,
    FinalizeResult,
    InitChain,
    InitChainResult,
    Proposal,
    TxResult,
)

APP_VERSION = 1
_CACHED_CHECKS = 100_000
_TABLES = ("meta", "sequences")
_TIP, _CHAIN = b"tip", b"chain"

INVALID, WRONG_SEQUENCE, TOO_LARGE = 1, 2, 3


class _Refused(Exception):
    """A transaction's code and why; never leaves this module."""

    def __init__(self, code: int, log: str) -> None:
        super().__init__(log)
        self.code = code


class SquareApplication:
    """`Application` of a DA chain. Make it with `open`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._chain_id = ""
        self._params = SquareParams()
        self._squares = SquareCache(self._params.max_square_size)
        self._checked: dict[bytes, tuple[bytes, int]] = {}  # hash of a valid transaction -> (signer, sequence), oldest first
        self._pending: tuple[int, bytes, dict[bytes, int]] | None = None
        self._sequences = PendingSequences()
        chain = store.get("meta", _CHAIN)
        if chain is not None:
            self._configure(chain)

    @classmethod
    async def open(cls, path: Path) -> SquareApplication:
        """Opens or creates the state at `path`. Raises `StoreError`."""
        return cls(await asyncio.to_thread(Store, path, _TABLES, 8 << 30))

    async def close(self) -> None:
        self._store.close()

    @property
    def params(self) -> SquareParams:
        return self._params

    @property
    def chain_id(self) -> str:
        return self._chain_id

    @property
    def squares(self) -> SquareCache:
        """The extended squares of this chain's blocks."""
        return self._squares

    def next_sequence(self, signer: bytes) -> int:
        """The sequence that the signer's next transaction must have, after the last committed block."""
        value = self._store.get("sequences", signer)
        return 0 if value is None else int.from_bytes(value)

    def pending_sequence(self, signer: bytes) -> int:
        """The sequence that the signer's next transaction must have to wait behind those that wait already."""
        return self._sequences.expected(signer, self.next_sequence(signer))

    # --- Application ------------------------------------------------------------------------------------------------

    async def info(self) -> AppInfo:
        tip = self._store.get("meta", _TIP)
        if tip is None:
            return AppInfo(0, b"", APP_VERSION)
        return AppInfo(int.from_bytes(tip[:8]), tip[8:], APP_VERSION)

    async def init_chain(self, genesis: InitChain) -> InitChainResult:
        """Raises `ConfigError` for an `app_state` that is not `SquareParams`."""
        SquareParams.parse(genesis.app_state)
        chain = len(genesis.chain_id.encode()).to_bytes(1) + genesis.chain_id.encode() + genesis.app_state
        with self._store.write() as txn:
            txn.put("meta", _CHAIN, chain)
        self._configure(chain)
        return InitChainResult(sha256(genesis.app_state))

    async def check_tx(self, tx: bytes, *, recheck: bool = False) -> CheckTxResult:
        """A sequence must follow upon the state and what waits already, without a gap: so nothing waits for ever."""
        try:
            signer, sequence = await self._check(tx)
            if not recheck and not self._fits(tx):
                raise _Refused(TOO_LARGE, f"it does not fit into an empty square of width {self._params.max_square_size}")
            self._queue(signer, sequence, sha256(tx), recheck=recheck)
        except _Refused as refusal:
            return CheckTxResult(refusal.code, str(refusal))
        return CheckTxResult()

    async def prepare_proposal(self, proposal: Proposal) -> Sequence[bytes]:
        """The data root and as many transactions as fit, in order of arrival but each signer's by sequence. What does not fit, or
        whose turn has not come, is left for later blocks."""
        candidates = await self._in_turn(proposal.txs)
        chosen, square = await asyncio.to_thread(self._choose, candidates, proposal.max_tx_bytes - HASH_BYTES)
        laid_out = await asyncio.to_thread(lay_out, square)
        self._squares.put(chosen, laid_out)
        return [laid_out.served.header.data_root, *chosen]

    async def process_proposal(self, proposal: Proposal) -> bool:
        if not proposal.txs or len(proposal.txs[0]) != HASH_BYTES:
            return False
        data_root, *txs = proposal.txs
        expected: dict[bytes, int] = {}
        try:
            for tx in txs:
                self._take_turn(await self._check(tx), expected)
        except _Refused:
            return False
        try:
            return (await self._squares.get(txs)).served.header.data_root == data_root
        except InvalidInput:
            return False

    async def finalize_block(self, block: DecidedBlock) -> FinalizeResult:
        """Total. What ProcessProposal let pass takes effect; in a block that it would have refused, all that is invalid fails."""
        data_root = block.txs[0] if block.txs and len(block.txs[0]) == HASH_BYTES else bytes(HASH_BYTES)
        expected: dict[bytes, int] = {}
        results = []
        for index, tx in enumerate(block.txs):
            try:
                if index or len(tx) != HASH_BYTES:
                    self._take_turn(await self._check(tx), expected)
                results.append(TxResult())
            except _Refused as refusal:
                results.append(TxResult(refusal.code, log=str(refusal)))
        changes = merkle.root([signer + sequence.to_bytes(8) for signer, sequence in sorted(expected.items())])
        app_hash = sha256((await self.info()).app_hash or self._first_hash(), data_root, changes)
        self._pending = (block.height, app_hash, expected)
        return FinalizeResult(tuple(results), app_hash)

    async def commit(self) -> None:
        if self._pending is None:
            raise StoreCorrupt("a DA chain's application was asked to commit before a block was finalized")
        await asyncio.to_thread(self._write, *self._pending)
        self._pending = None
        self._sequences.new_block()

    # --- validity ---------------------------------------------------------------------------------------------------

    async def _check(self, tx: bytes) -> tuple[bytes, int]:
        """(signer, sequence) of a transaction that is valid by itself: cached, for it never changes."""
        digest = sha256(tx)
        known = self._checked.get(digest)
        if known is not None:
            return known
        if len(tx) > self._params.max_tx_bytes:
            raise _Refused(TOO_LARGE, f"a transaction is at most {self._params.max_tx_bytes} bytes, not {len(tx)}")
        try:
            # Small ones take less time than a thread's turn.
            paid = self._judge(tx) if len(tx) < 4096 else await asyncio.to_thread(self._judge, tx)
        except DougongError as error:
            raise _Refused(INVALID, str(error)) from None
        while len(self._checked) >= _CACHED_CHECKS:
            del self._checked[next(iter(self._checked))]
        self._checked[digest] = paid.signer, paid.sequence
        return paid.signer, paid.sequence

    def _judge(self, tx: bytes) -> PaidBlobs:
        return check_blob_tx(tx, self._chain_id)

    def _take_turn(self, paid: tuple[bytes, int], expected: dict[bytes, int]) -> None:
        """Consumes a sequence; `expected` is what the block's earlier transactions changed."""
        signer, sequence = paid
        wanted = expected[signer] if signer in expected else self.next_sequence(signer)
        if sequence != wanted:
            raise _Refused(WRONG_SEQUENCE, f"sequence {sequence} is not {wanted}")
        expected[signer] = sequence + 1

    def _queue(self, signer: bytes, sequence: int, digest: bytes, *, recheck: bool) -> None:
        committed = self.next_sequence(signer)
        expected = self._sequences.expected(signer, committed)
        ask = self._sequences.recheck if recheck else self._sequences.admit
        if not ask(signer, sequence, digest, committed):
            raise _Refused(WRONG_SEQUENCE, f"sequence {sequence} is not {expected}")

    def _fits(self, tx: bytes) -> bool:
        blob_tx = _parsed(tx)
        return SquareBuilder(self._params.max_square_size).append_blob_tx(blob_tx)

    # --- proposing --------------------------------------------------------------------------------------------------

    async def _in_turn(self, txs: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
        """(transaction, signer) of those that can be executed, each signer's in order, at the place of its arrival."""
        waiting: dict[bytes, dict[int, bytes]] = {}
        arrivals: list[bytes] = []
        for tx in txs:
            try:
                signer, sequence = await self._check(tx)
            except _Refused:
                continue
            if waiting.setdefault(signer, {}).setdefault(sequence, tx) is tx:
                arrivals.append(signer)
        following = {signer: self.next_sequence(signer) for signer in waiting}
        chosen = []
        for signer in arrivals:
            sequence = following[signer]
            tx = waiting[signer].get(sequence, b"")
            if tx:
                chosen.append((tx, signer))
                following[signer] = sequence + 1
        return chosen

    def _choose(self, candidates: Sequence[tuple[bytes, bytes]], room: int) -> tuple[list[bytes], Square]:
        builder = SquareBuilder(self._params.max_square_size)
        chosen: list[bytes] = []
        stopped: set[bytes] = set()  # signers one of whose transactions did not fit: their later ones have to wait
        for tx, signer in candidates:
            if signer in stopped:
                continue
            if len(tx) <= room and builder.append_blob_tx(_parsed(tx)):
                chosen.append(tx)
                room -= len(tx)
            else:
                stopped.add(signer)
        return chosen, builder.square()

    # --- state ------------------------------------------------------------------------------------------------------

    def _configure(self, chain: bytes) -> None:
        end = 1 + chain[0]
        self._chain_id = chain[1:end].decode()
        self._params = SquareParams.parse(chain[end:])
        self._squares = SquareCache(self._params.max_square_size)

    def _first_hash(self) -> bytes:
        chain = self._store.get("meta", _CHAIN)
        if chain is None:
            raise StoreCorrupt("a DA chain's application was asked for a block before init_chain")
        return sha256(chain[1 + chain[0] :])

    def _write(self, height: int, app_hash: bytes, sequences: dict[bytes, int]) -> None:
        with self._store.write() as txn:
            for signer, sequence in sequences.items():
                txn.put("sequences", signer, sequence.to_bytes(8))
            txn.put("meta", _TIP, height_key(height) + app_hash)


def _parsed(tx: bytes) -> BlobTx:
    """Of a transaction that was checked."""
    blob_tx = decode_blob_tx(tx)
    if blob_tx is None:
        raise InvalidTransaction("not a blob transaction")
    return blob_tx

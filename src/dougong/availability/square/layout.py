"""The original square: in which order and at which places a block's transactions and blobs lie.

    >>> from dougong.availability.square.wire import encode_blob_tx
    >>> from dougong.types import Namespace
    >>> tx = encode_blob_tx(b"signed", [Blob(Namespace.user(b"alpha"), b"hello")])
    >>> square, block_txs = build_square([tx, b"plain"], max_size=64)
    >>> square.size, block_txs == [b"plain", tx], square.blob_starts
    (2, True, ((2,),))
    >>> construct_square(block_txs, max_size=64) == square
    True

Source: celestia-app specs, "Data Square Layout"; go-square `builder.go`. In order: transactions; blob transactions, each
wrapped with the first shares of its blobs; padding; blobs by namespace, then by the order of their transactions, each at
the next multiple of its subtree width; tail padding. Before the places are known, room is kept for the worst: every index
as long as the longest, every gap as wide as the blob's subtree width allows. The width of the square follows from that
overestimate, so it is part of the format.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dougong.availability.square.commitment import SUBTREE_ROOT_THRESHOLD, min_square_size, next_share_index, subtree_width
from dougong.availability.square.namespaces import PAY_FOR_BLOB, TRANSACTION
from dougong.availability.square.shares import (
    RESERVED_PADDING_SHARE,
    TAIL_PADDING_SHARE,
    compact_shares_needed,
    delimited_size,
    padding_share,
    shares_needed,
    split_blob,
    split_transactions,
)
from dougong.availability.square.wire import BlobTx, decode_blob_tx, encode_index_wrapper
from dougong.errors import InvalidInput, InvalidTransaction
from dougong.types import Blob

MAX_SQUARE_SIZE = 512
_WORST_SHARE_INDEX = MAX_SQUARE_SIZE * MAX_SQUARE_SIZE


@dataclass(frozen=True, slots=True)
class Square:
    """An original square: `size` x `size` shares, row by row. `blob_starts` has, for each blob transaction of the block in
    order, the first share of each of its blobs."""

    size: int
    shares: tuple[bytes, ...]
    blob_starts: tuple[tuple[int, ...], ...] = ()

    @property
    def data(self) -> bytes:
        """All shares in a row: what `ExtendedSquare` takes."""
        return b"".join(self.shares)


@dataclass(slots=True)
class _Element:
    blob: Blob
    pfb: int
    position: int
    share_count: int
    max_padding: int


class SquareBuilder:
    """Takes transactions while they fit, then lays them out. Raises `InvalidInput` unless `max_size` is a power of two up
    to 512."""

    def __init__(self, max_size: int, threshold: int = SUBTREE_ROOT_THRESHOLD) -> None:
        if not 0 < max_size <= MAX_SQUARE_SIZE or max_size & (max_size - 1):
            raise InvalidInput(f"a square's width is a power of two up to {MAX_SQUARE_SIZE}, not {max_size}")
        self._capacity = max_size * max_size
        self._threshold = threshold
        self._txs: list[bytes] = []
        self._pfbs: list[bytes] = []
        self._blob_counts: list[int] = []
        self._elements: list[_Element] = []
        self._tx_bytes = self._pfb_bytes = self._blob_shares = 0

    def append_tx(self, tx: bytes) -> bool:
        """Whether the transaction fitted; if not, nothing changed."""
        tx_bytes = self._tx_bytes + delimited_size(len(tx))
        if not self._fits(tx_bytes, self._pfb_bytes, self._blob_shares):
            return False
        self._txs.append(tx)
        self._tx_bytes = tx_bytes
        return True

    def append_blob_tx(self, blob_tx: BlobTx) -> bool:
        """Whether the transaction and all its blobs fitted; if not, nothing changed."""
        worst = encode_index_wrapper(blob_tx.tx, [_WORST_SHARE_INDEX] * len(blob_tx.blobs))
        pfb_bytes = self._pfb_bytes + delimited_size(len(worst))
        elements = [self._element(blob, position) for position, blob in enumerate(blob_tx.blobs)]
        blob_shares = self._blob_shares + sum(element.share_count + element.max_padding for element in elements)
        if not self._fits(self._tx_bytes, pfb_bytes, blob_shares):
            return False
        self._elements += elements
        self._pfbs.append(blob_tx.tx)
        self._blob_counts.append(len(blob_tx.blobs))
        self._pfb_bytes, self._blob_shares = pfb_bytes, blob_shares
        return True

    def square(self) -> Square:
        """The layout of everything that was appended; for nothing, the one share of the empty square."""
        if not self._txs and not self._pfbs:
            return Square(1, (TAIL_PADDING_SHARE,))
        size = min_square_size(self._used(self._tx_bytes, self._pfb_bytes, self._blob_shares))
        blobs_begin = compact_shares_needed(self._tx_bytes) + compact_shares_needed(self._pfb_bytes)
        starts = [[0] * count for count in self._blob_counts]
        blob_shares: list[bytes] = []
        cursor, last = blobs_begin, None
        for element in sorted(self._elements, key=lambda element: element.blob.namespace.raw):
            start = next_share_index(cursor, element.share_count, self._threshold)
            if last is None:
                blobs_begin = start
            else:
                blob_shares += [padding_share(last.namespace, last.share_version)] * (start - cursor)
            blob_shares += split_blob(element.blob)
            starts[element.pfb][element.position] = start
            cursor, last = start + element.share_count, element.blob
        wrapped = [encode_index_wrapper(tx, indexes) for tx, indexes in zip(self._pfbs, starts, strict=True)]
        shares = split_transactions(TRANSACTION, self._txs) + split_transactions(PAY_FOR_BLOB, wrapped)
        if blob_shares:
            shares += [RESERVED_PADDING_SHARE] * (blobs_begin - len(shares)) + blob_shares
        shares += [TAIL_PADDING_SHARE] * (size * size - len(shares))
        return Square(size, tuple(shares), tuple(tuple(indexes) for indexes in starts))

    def _element(self, blob: Blob, position: int) -> _Element:
        count = shares_needed(len(blob.data), blob.share_version)
        return _Element(blob, len(self._pfbs), position, count, subtree_width(count, self._threshold) - 1)

    def _used(self, tx_bytes: int, pfb_bytes: int, blob_shares: int) -> int:
        return compact_shares_needed(tx_bytes) + compact_shares_needed(pfb_bytes) + blob_shares

    def _fits(self, tx_bytes: int, pfb_bytes: int, blob_shares: int) -> bool:
        return self._used(tx_bytes, pfb_bytes, blob_shares) <= self._capacity


def build_square(txs: Iterable[bytes], max_size: int, threshold: int = SUBTREE_ROOT_THRESHOLD) -> tuple[Square, list[bytes]]:
    """For a proposer: takes transactions in order of priority, leaves out those that do not fit or are not well formed, and
    returns the square and the block's transactions in the order that it asks for: plain ones, then blob transactions."""
    builder = SquareBuilder(max_size, threshold)
    plain: list[bytes] = []
    with_blobs: list[bytes] = []
    for tx in txs:
        try:
            blob_tx = decode_blob_tx(tx)
        except InvalidInput:
            continue
        if blob_tx is None:
            if tx and builder.append_tx(tx):
                plain.append(tx)
        elif builder.append_blob_tx(blob_tx):
            with_blobs.append(tx)
    return builder.square(), plain + with_blobs


def construct_square(txs: Sequence[bytes], max_size: int, threshold: int = SUBTREE_ROOT_THRESHOLD) -> Square:
    """For everyone else: the one square of a block's transactions. Raises `InvalidInput` if they are out of order, not well
    formed, or do not fit."""
    builder = SquareBuilder(max_size, threshold)
    seen_blob_tx = False
    for index, tx in enumerate(txs):
        if not tx:
            raise InvalidTransaction(f"transaction {index} is empty")
        blob_tx = decode_blob_tx(tx)
        if blob_tx is None and seen_blob_tx:
            raise InvalidTransaction(f"transaction {index} is a plain one behind a blob transaction")
        seen_blob_tx = blob_tx is not None
        if not (builder.append_tx(tx) if blob_tx is None else builder.append_blob_tx(blob_tx)):
            raise InvalidInput(f"transaction {index} does not fit into a square of width {max_size}")
    return builder.square()

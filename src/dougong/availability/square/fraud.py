"""Bad-encoding fraud proofs: that a data root commits to a square which is no codeword, so that nobody need download it to know.

    try:
        ServedSquare.repair(header, cells)
    except BadEncoding as error:
        proof = prove_bad_encoding(header, error, proven)
    verify_bad_encoding(header, proof)                  # raises InvalidProof unless it is so
    raw = encode_bad_encoding(proof)                    # 23 kB at k = 32, where the extended square has 2 MB

A proof shows one axis (row or column): k of its 2k cells, each proven under the root of the axis that crosses it, or of its own.
Through k cells goes exactly one codeword. In an honest square every cell under every root belongs to it, so that its root is the
axis' root in the header; where it is not, the square is badly encoded. Spec: docs/spec/bad-encoding.md.

Source: Al-Bassam, Sonnino, Buterin, "Fraud and Data Availability Proofs" (2018), section 5; celestia-app specs, "Fraud Proofs";
celestia-node `share/eds/byzantine`. Deviations: exactly k cells and no more, in the order of their places, so that a proof has
one form; the tree's size is known, so that each cell's proof has exactly log₂ 2k nodes; an axis whose cells are out of the order
of their namespaces has no root, and is bad.

Who might cheat: whoever makes a proof against an honest square would have to find a collision of SHA-256. A hostile proof costs
its verifier no more than k Merkle paths and one axis; its size is bounded before it is read.
"""

from __future__ import annotations

from collections.abc import Iterable

from dougong._native import axis_root
from dougong.availability.square.namespaces import PARITY
from dougong.availability.square.nmt import NODE_BYTES
from dougong.availability.square.proofs import verify_cell
from dougong.availability.square.served import BadEncoding
from dougong.availability.square.shares import SHARE_BYTES
from dougong.errors import Divergence, InvalidInput, InvalidProof, NotFound
from dougong.types import HASH_BYTES, NAMESPACE_BYTES, BadEncodingProof, NmtProof, SquareCell, SquareHeader

__all__ = [
    "BadBlock",
    "decode_bad_encoding",
    "encode_bad_encoding",
    "max_proof_bytes",
    "prove_axis",
    "prove_bad_encoding",
    "verify_bad_encoding",
]

_VERSION = 1
_FIXED = 1 + 8 + HASH_BYTES + 1 + 1 + 2
_OWN = 1 << 15  # beside a cell's place: proven under its own axis' root
_PARITY_NODE, _SHARE_NODE, _NARROW_NODE, _WIDE_NODE = range(4)
_BOTH_PARITY = PARITY.raw * 2
_MAX_LOG = 9


class BadBlock(Divergence):
    """A block that its own data root convicts. `proof` is what everyone else can be shown."""

    def __init__(self, proof: BadEncodingProof) -> None:
        super().__init__(
            f"block {proof.height} is badly encoded: {'column' if proof.axis else 'row'} {proof.index} of its square is not the "
            "codeword that its root commits to",
            remedy="refuse it and every block above it, whoever signed them; the proof shows it to anyone",
        )
        self.proof = proof


# --- proving -------------------------------------------------------------------------------------------------------------


def prove_bad_encoding(header: SquareHeader, error: BadEncoding, proven: Iterable[SquareCell] = ()) -> BadEncodingProof:
    """The proof of what `ServedSquare.repair` found out under this header. `proven` are the (verified) cells that it was given:
    where the axis that crosses could not be solved, a cell needs the proof that it came with. Raises `NotFound` if too few have
    one."""
    cells = [cell for cell in proven if (cell.column if error.axis else cell.row) == error.index]
    for at, (share, nodes) in enumerate(zip(error.shares, error.nodes, strict=True)):
        if share is not None and nodes is not None:
            row, column = (at, error.index) if error.axis else (error.index, at)
            cells.append(SquareCell(row, column, share, 1 - error.axis, NmtProof(error.index, error.index + 1, nodes)))
    proof = prove_axis(header, error.axis, error.index, cells)
    if proof is None:
        raise NotFound(
            f"the cells that came with proofs do not show it: {error}", remedy="ask for those of this axis with theirs"
        )
    return proof


def prove_axis(header: SquareHeader, axis: int, index: int, cells: Iterable[SquareCell]) -> BadEncodingProof | None:
    """The proof that an axis is badly encoded, from (verified) cells of it; None where they do not show it. Those whose proofs
    are small, in the second half and under the axes that cross, are preferred. Milliseconds to a second: in a thread."""
    k = header.square_size
    chosen: dict[int, SquareCell] = {}
    others: list[SquareCell] = []
    for cell in sorted(cells, key=lambda cell: (_place(axis, cell) < k, cell.axis == axis, _place(axis, cell))):
        if len(chosen) < k and _place(axis, cell) not in chosen:
            chosen[_place(axis, cell)] = cell
        else:
            others.append(cell)
    if len(chosen) < k:
        return None
    last = max(chosen)
    proof = _proof(header, axis, index, chosen)
    for cell in others:
        if not _is_root(header, proof):
            break
        # Their codeword is the axis'. One more cell that is not on it makes another one with k - 1 of these.
        at = _place(axis, cell)
        others_of = {place: known for place, known in chosen.items() if place != (at if at in chosen else last)}
        proof = _proof(header, axis, index, {**others_of, at: cell})
    return None if _is_root(header, proof) else proof


def _proof(header: SquareHeader, axis: int, index: int, cells: dict[int, SquareCell]) -> BadEncodingProof:
    return BadEncodingProof(header.height, header.data_root, axis, index, tuple(cells[at] for at in sorted(cells)))


# --- verifying -----------------------------------------------------------------------------------------------------------


def verify_bad_encoding(header: SquareHeader, proof: BadEncodingProof) -> None:
    """Raises `InvalidProof` unless the proof shows that the square under this (checked) header is badly encoded. Total, whatever
    the proof holds. As much work as k cells' proofs and one axis: 1 ms at k = 32, 30 ms at 512; there, in a thread."""
    if (proof.height, proof.data_root) != (header.height, header.data_root):
        raise InvalidProof("a proof of bad encoding is of another block")
    k = header.square_size
    if proof.axis not in (0, 1) or not 0 <= proof.index < 2 * k or len(proof.cells) != k:
        raise InvalidProof(f"a proof of bad encoding shows {k} cells of one row or column")
    last = -1
    for cell in proof.cells:
        at = _place(proof.axis, cell)
        if (cell.column if proof.axis else cell.row) != proof.index or at <= last:
            raise InvalidProof("the cells of a proof of bad encoding are those of one axis, in order")
        if len(cell.proof.nodes) != (2 * k).bit_length() - 1:
            raise InvalidProof("a cell's proof has one node for each level of its tree")
        verify_cell(header, cell)
        last = at
    if _is_root(header, proof):
        raise InvalidProof("the cells of a proof of bad encoding belong to the codeword that their axis' root commits to")


def _is_root(header: SquareHeader, proof: BadEncodingProof) -> bool:
    """Whether the codeword through k cells of an axis is the one that the axis' root commits to."""
    k = header.square_size
    shares: list[bytes | None] = [None] * (2 * k)
    for cell in proof.cells:
        shares[_place(proof.axis, cell)] = cell.share
    roots = header.column_roots if proof.axis else header.row_roots
    return axis_root(k, proof.axis, proof.index, shares) == roots[proof.index]


def _place(axis: int, cell: SquareCell) -> int:
    """Where on the axis the cell lies."""
    return cell.row if axis else cell.column


# --- bytes ---------------------------------------------------------------------------------------------------------------


def max_proof_bytes(square_size: int) -> int:
    """The most that a proof against a square of width k takes."""
    return _FIXED + square_size * (2 + SHARE_BYTES + ((2 * square_size).bit_length() - 1) * (1 + NODE_BYTES))


def encode_bad_encoding(proof: BadEncodingProof) -> bytes:
    """The one encoding of a proof. Raises `InvalidInput` for what is not shaped as one."""
    k = len(proof.cells)
    if not (k and k.bit_length() - 1 <= _MAX_LOG and k & (k - 1) == 0 and proof.axis in (0, 1) and 0 <= proof.index < 2 * k):
        raise InvalidInput("a proof of bad encoding shows k cells of a row or column of a square")
    if not 0 < proof.height < 2**63 or len(proof.data_root) != HASH_BYTES:
        raise InvalidInput("a proof of bad encoding names a block's height and data root")
    out = [_VERSION.to_bytes(1), proof.height.to_bytes(8), proof.data_root]
    out.append(bytes([k.bit_length() - 1, proof.axis]) + proof.index.to_bytes(2))
    last = -1
    for cell in proof.cells:
        at = _place(proof.axis, cell)
        if cell != _cell(proof.axis, proof.index, at, cell.axis, cell.share, cell.proof.nodes) or not last < at < 2 * k:
            raise InvalidInput(
                "the cells of a proof of bad encoding are those of one axis, in order, each with the proof of its place"
            )
        if cell.axis not in (0, 1) or len(cell.share) != SHARE_BYTES or len(cell.proof.nodes) != (2 * k).bit_length() - 1:
            raise InvalidInput("a cell of a proof of bad encoding has a share and one node for each level of its tree")
        out += [(at | (_OWN if cell.axis == proof.axis else 0)).to_bytes(2), cell.share]
        out += [_encode_node(node, cell.share) for node in cell.proof.nodes]
        last = at
    return b"".join(out)


def decode_bad_encoding(raw: bytes) -> BadEncodingProof:
    """Strict: only what `encode_bad_encoding` writes. Raises `InvalidInput`. What it says is still to be verified."""
    reader = _Reader(raw)
    if reader.number(1) != _VERSION:
        raise InvalidInput("a proof of bad encoding has an unknown version")
    height, data_root = reader.number(8), reader.take(HASH_BYTES)
    log, axis, index = reader.number(1), reader.number(1), reader.number(2)
    if not 0 < height < 2**63 or log > _MAX_LOG or axis > 1 or index >= 2 << log:
        raise InvalidInput("a proof of bad encoding names no axis of a square")
    cells: list[SquareCell] = []
    last = -1
    for _ in range(1 << log):
        place = reader.number(2)
        at = place & ~_OWN
        if not last < at < 2 << log:
            raise InvalidInput("the cells of a proof of bad encoding are not in order")
        share = reader.take(SHARE_BYTES)
        nodes = tuple(_decode_node(reader, share) for _ in range(log + 1))
        cells.append(_cell(axis, index, at, axis if place & _OWN else 1 - axis, share, nodes))
        last = at
    reader.end()
    return BadEncodingProof(height, data_root, axis, index, tuple(cells))


def _cell(axis: int, index: int, at: int, under: int, share: bytes, nodes: tuple[bytes, ...]) -> SquareCell:
    """The cell at place `at` of an axis, proven under the root of its row (`under` 0) or column (1)."""
    row, column = (at, index) if axis else (index, at)
    leaf = row if under else column
    return SquareCell(row, column, share, under, NmtProof(leaf, leaf + 1, nodes))


def _encode_node(node: bytes, share: bytes) -> bytes:
    """A node's namespaces are known in most cases: parity, or the share's own."""
    if len(node) != NODE_BYTES:
        raise InvalidInput(f"a node is {NODE_BYTES} bytes, not {len(node)}")
    low, high, digest = node[:NAMESPACE_BYTES], node[NAMESPACE_BYTES : 2 * NAMESPACE_BYTES], node[2 * NAMESPACE_BYTES :]
    if low + high == _BOTH_PARITY:
        return bytes([_PARITY_NODE]) + digest
    if low == high == share[:NAMESPACE_BYTES]:
        return bytes([_SHARE_NODE]) + digest
    return bytes([_NARROW_NODE]) + low + digest if low == high else bytes([_WIDE_NODE]) + node


def _decode_node(reader: _Reader, share: bytes) -> bytes:
    kind = reader.number(1)
    if kind == _PARITY_NODE:
        node = _BOTH_PARITY + reader.take(HASH_BYTES)
    elif kind == _SHARE_NODE:
        node = share[:NAMESPACE_BYTES] * 2 + reader.take(HASH_BYTES)
    elif kind == _NARROW_NODE:
        namespace = reader.take(NAMESPACE_BYTES)
        node = namespace * 2 + reader.take(HASH_BYTES)
    elif kind == _WIDE_NODE:
        node = reader.take(NODE_BYTES)
    else:
        raise InvalidInput(f"a node of a proof of bad encoding has the unknown kind {kind}")
    if _encode_node(node, share)[0] != kind:
        raise InvalidInput("a node of a proof of bad encoding is not in its shortest form")
    return node


class _Reader:
    """Fixed-width fields, one after the other."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._offset = 0

    def take(self, count: int) -> bytes:
        end = self._offset + count
        if end > len(self._raw):
            raise InvalidInput("a proof of bad encoding is cut")
        taken, self._offset = self._raw[self._offset : end], end
        return taken

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count))

    def end(self) -> None:
        if self._offset != len(self._raw):
            raise InvalidInput("bytes follow a proof of bad encoding")

"""What a verifier needs: pure functions over hashes that raise `InvalidProof` (or `InvalidHeader`), and trust nothing but
the data root.

    verify_header(header)                              # its roots hash to its data root
    verify_cell(header, cell)                          # one sampled cell
    blob = verify_blob_proof(placement, namespace, proof)    # a blob at its place
    verify_namespace_data(header, data)                # everything of a namespace, and nothing left out

Source: celestia-app specs, "Data Structures" and `pkg/proof`; nmt `proof.go`. The data root is the RFC 6962 root over 2k
row roots and then 2k column roots. A row's tree has 2k leaves: k original shares under their own namespaces, then k parity
shares under the parity namespace; parity rows have only the latter.
"""

from __future__ import annotations

from collections.abc import Sequence

from dougong.availability.square.layout import MAX_SQUARE_SIZE
from dougong.availability.square.namespaces import PARITY
from dougong.availability.square.nmt import NODE_BYTES, covers, leaf_node, verify_namespace, verify_range, verify_shares
from dougong.availability.square.shares import SHARE_BYTES, parse_blobs
from dougong.crypto import merkle
from dougong.errors import InvalidHeader, InvalidInput, InvalidProof
from dougong.types import (
    NAMESPACE_BYTES,
    Blob,
    Namespace,
    NamespaceRow,
    PlacedBlob,
    Placement,
    ShareProof,
    SquareCell,
    SquareHeader,
    SquareNamespaceData,
)


def data_root(row_roots: Sequence[bytes], column_roots: Sequence[bytes]) -> bytes:
    """The root over a square's row roots and column roots."""
    return merkle.root([*row_roots, *column_roots])


def verify_header(header: SquareHeader) -> None:
    """Raises `InvalidHeader` unless the header has as many row roots as column roots, of a square's width, and they hash to its
    data root."""
    width = len(header.row_roots)
    if not _is_width(width) or len(header.column_roots) != width:
        raise InvalidHeader(f"{width} row and {len(header.column_roots)} column roots are not those of a square")
    if any(len(root) != NODE_BYTES for root in (*header.row_roots, *header.column_roots)):
        raise InvalidHeader(f"a root is not {NODE_BYTES} bytes")
    if data_root(header.row_roots, header.column_roots) != header.data_root:
        raise InvalidHeader("the row and column roots do not hash to the data root")


def verify_cell(header: SquareHeader, cell: SquareCell) -> None:
    """Raises `InvalidProof` unless the cell lies at its place of the square under this (checked) header."""
    width = len(header.row_roots)
    if not (0 <= cell.row < width and 0 <= cell.column < width):
        raise InvalidProof(f"cell ({cell.row}, {cell.column}) is outside a square of width {width}")
    if cell.axis not in (0, 1) or len(cell.share) != SHARE_BYTES:
        raise InvalidProof("a cell has an axis 0 or 1 and a share of 512 bytes")
    root, at = (header.column_roots[cell.column], cell.row) if cell.axis else (header.row_roots[cell.row], cell.column)
    if (cell.proof.start, cell.proof.end) != (at, at + 1) or cell.proof.leaf_hash:
        raise InvalidProof("a cell's proof is not for its place")
    original = cell.row < width // 2 and cell.column < width // 2
    namespace = cell.share[:NAMESPACE_BYTES] if original else PARITY.raw
    verify_range(root, [leaf_node(namespace, cell.share)], cell.proof, width)


def verify_share_proof(proof: ShareProof) -> None:
    """Raises `InvalidProof` unless the rows are consecutive parts of one run of original shares, all of one namespace, under
    `proof.data_root`. Whether that is the data root one trusts, and the place one asked for, is the caller's to compare."""
    if not proof.rows:
        raise InvalidProof("a share proof has no rows")
    total = proof.rows[0].row_proof.total
    width = total // 2
    if total % 4 or not _is_width(width):
        raise InvalidProof(f"{total} roots are not those of a square")
    k, first = width // 2, proof.rows[0]
    if not first.shares or any(len(share) != SHARE_BYTES for part in proof.rows for share in part.shares):
        raise InvalidProof(f"a share is not {SHARE_BYTES} bytes, or there is none")
    namespace = _namespace(first.shares[0])
    for number, part in enumerate(proof.rows):
        if part.row != first.row + number or part.row >= k:
            raise InvalidProof("the rows of a share proof are not consecutive rows of the original square")
        if (part.row_proof.index, part.row_proof.total) != (part.row, total):
            raise InvalidProof("a row root is proven at another place")
        starts_well = number == 0 or part.nmt_proof.start == 0
        ends_well = number == len(proof.rows) - 1 or part.nmt_proof.end == k
        if part.nmt_proof.end > k or not (starts_well and ends_well):
            raise InvalidProof("the shares of a proof are not one run of the original square")
        if any(share[:NAMESPACE_BYTES] != namespace.raw for share in part.shares):
            raise InvalidProof("the shares of a proof are of more than one namespace")
        merkle.verify(proof.data_root, part.row_root, part.row_proof)
        verify_shares(part.row_root, namespace, part.shares, part.nmt_proof, width)


def proven_placement(height: int, proof: ShareProof) -> Placement:
    """Where the shares of a (verified) proof lie."""
    first = proof.rows[0]
    start = first.row * (first.row_proof.total // 4) + first.nmt_proof.start
    return Placement(height, proof.data_root, start, sum(len(part.shares) for part in proof.rows))


def verify_blob_proof(placement: Placement, namespace: Namespace, proof: ShareProof) -> Blob:
    """The one blob that lies at the placement. Raises `InvalidProof` if the proof is not for exactly those shares, or they
    are not one whole blob of the namespace."""
    verify_share_proof(proof)
    if proven_placement(placement.height, proof) != placement:
        raise InvalidProof("a share proof is for another place")
    found = parse_blobs([share for part in proof.rows for share in part.shares])
    if len(found) != 1 or found[0].count != placement.share_count or found[0].blob.namespace != namespace:
        raise InvalidProof("the shares proven are not one blob of the namespace")
    return found[0].blob


def verify_namespace_data(header: SquareHeader, data: SquareNamespaceData) -> None:
    """Raises `InvalidProof` unless `data` is all that the square under this (checked) header has of the namespace: one
    complete row for each row root whose range covers it, no other row, and exactly the blobs that their shares spell."""
    if data.height != header.height:
        raise InvalidProof(f"namespace data of height {data.height} is not of height {header.height}")
    width = len(header.row_roots)
    covering = [row for row, root in enumerate(header.row_roots[: width // 2]) if covers(root, data.namespace)]
    if [entry.row for entry in data.rows] != covering:
        raise InvalidProof(f"rows {[entry.row for entry in data.rows]} are given where {covering} may hold the namespace")
    for entry in data.rows:
        if any(len(share) != SHARE_BYTES for share in entry.shares):
            raise InvalidProof(f"a share is not {SHARE_BYTES} bytes")
        if entry.shares and entry.proof.end > width // 2:
            raise InvalidProof("shares of a namespace lie in the original square")
        verify_namespace(header.row_roots[entry.row], data.namespace, entry.shares, entry.proof, width)
    if data.blobs != placed_blobs(header, data.rows):
        raise InvalidProof("the blobs given are not those that the shares spell")


def placed_blobs(header: SquareHeader, rows: Sequence[NamespaceRow]) -> tuple[PlacedBlob, ...]:
    """The blobs in a namespace's rows and where they lie. What else lies there is left out."""
    runs: list[tuple[int, list[bytes]]] = []
    for entry in rows:
        at = entry.row * header.square_size + entry.proof.start
        # Honest squares hold a namespace in one run. A column's order alone does not see to that.
        if not runs or runs[-1][0] + len(runs[-1][1]) != at:
            runs.append((at, []))
        runs[-1][1].extend(entry.shares)
    return tuple(
        PlacedBlob(one.blob, Placement(header.height, header.data_root, first + one.start, one.count))
        for first, shares in runs
        for one in parse_blobs(shares)
    )


def _is_width(width: int) -> bool:
    return 2 <= width <= 2 * MAX_SQUARE_SIZE and not width & (width - 1)


def _namespace(share: bytes) -> Namespace:
    try:
        return Namespace(share[:NAMESPACE_BYTES])
    except InvalidInput as error:
        raise InvalidProof(f"a proven share has no namespace: {error}") from None

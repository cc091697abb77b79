"""celestia-node's JSON for blobs, shares and their proofs, both ways.

    shape = namespace_rows_json(found.rows)                     # what share.GetNamespaceData answers
    rows = read_namespace_rows(shape, covering=[0, 1])          # parsed, and proven by nobody yet

Source: celestia-node `blob/blob.go`, `share/shwap/{sample,row_namespace_data}.go`, `nodebuilder/share/get_range_result.go`;
nmt `proof.go`; celestia-core `types/share_proof.go`. Readers check shapes and sizes, so that nothing later trips over them;
they raise `InvalidInput`. That an answer is true is for `availability/square/proofs.py` to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dougong.availability.celestia.values import (
    base64_text,
    hex_text,
    namespace_text,
    read_base64,
    read_hex,
    read_integer,
    read_list,
    read_namespace,
    read_object,
)
from dougong.availability.square.commitment import commitment
from dougong.availability.square.layout import MAX_SQUARE_SIZE
from dougong.availability.square.nmt import NODE_BYTES
from dougong.availability.square.shares import SHARE_BYTES, check_blob_format
from dougong.crypto import merkle
from dougong.errors import InvalidInput
from dougong.types import (
    HASH_BYTES,
    NAMESPACE_BYTES,
    Blob,
    MerkleProof,
    Namespace,
    NamespaceRow,
    NmtProof,
    ShareProof,
    ShareRowProof,
    SquareCell,
)

_WIDTH = 2 * MAX_SQUARE_SIZE
_LEAVES = 1 << 31  # of a tree over roots, or over a block's transactions
_DEPTH = 64  # siblings in any proof of these trees; twice what the widest square needs


# --- blobs ----------------------------------------------------------------------------------------------------------


def blob_json(blob: Blob, index: int = -1) -> dict[str, object]:
    """`index` is the place of the first share in the *extended* square, row by row; -1 before the blob is published."""
    shape: dict[str, object] = {
        "namespace": namespace_text(blob.namespace),
        "data": base64_text(blob.data),
        "share_version": blob.share_version,
        "commitment": base64_text(commitment(blob)),
        "index": index,
    }
    if blob.signer:
        shape["signer"] = base64_text(blob.signer)
    return shape


def read_blob(value: object) -> Blob:
    """What `blob.Submit` takes. The commitment is computed from the bytes and never read."""
    shape = read_object(value, "a blob")
    return _blob(read_namespace(shape.get("namespace")), shape)


def read_square_blob(value: object) -> Blob:
    """go-square's own form of a blob, which `state.SubmitPayForBlob` takes."""
    shape = read_object(value, "a blob")
    version = read_integer(shape.get("namespace_version", 0), "a namespace version", 0, 255)
    return _blob(Namespace(bytes([version]) + read_base64(shape.get("namespace_id"), "a namespace id")), shape)


def _blob(namespace: Namespace, shape: dict[str, Any]) -> Blob:
    signer = shape.get("signer")
    blob = Blob(
        namespace,
        read_base64(shape.get("data"), "a blob's data"),
        read_integer(shape.get("share_version", 0), "a share version", 0, 127),
        b"" if signer is None else read_base64(signer, "a blob's signer"),
    )
    check_blob_format(blob)
    return blob


# --- proofs ---------------------------------------------------------------------------------------------------------


def nmt_proof_json(proof: NmtProof) -> dict[str, object]:
    shape: dict[str, object] = {
        "start": proof.start,
        "end": proof.end,
        "nodes": [base64_text(node) for node in proof.nodes],
        "is_max_namespace_ignored": True,
    }
    if proof.leaf_hash:
        shape["leaf_hash"] = base64_text(proof.leaf_hash)
    return shape


def read_nmt_proof(value: object) -> NmtProof:
    shape = read_object(value, "a namespace proof")
    leaf = shape.get("leaf_hash")
    return NmtProof(
        read_integer(shape.get("start", 0), "a proof's start", 0, _WIDTH),
        read_integer(shape.get("end", 0), "a proof's end", 0, _WIDTH),
        tuple(
            read_base64(node, "a proof's node", NODE_BYTES) for node in read_list(shape.get("nodes"), "a proof's nodes", _DEPTH)
        ),
        read_base64(leaf, "a proof's leaf", NODE_BYTES) if leaf else b"",
    )


def merkle_proof_json(leaf: bytes, proof: MerkleProof) -> dict[str, object]:
    return {
        "total": str(proof.total),
        "index": str(proof.index),
        "leaf_hash": base64_text(merkle.leaf_hash(leaf)),
        "aunts": [base64_text(sibling) for sibling in proof.siblings],
    }


def read_merkle_proof(value: object) -> MerkleProof:
    shape = read_object(value, "a Merkle proof")
    return MerkleProof(
        read_integer(shape.get("index", 0), "a proof's index", 0, _LEAVES),
        read_integer(shape.get("total", 0), "a proof's total", 0, _LEAVES),
        tuple(
            read_base64(aunt, "a proof's sibling", HASH_BYTES)
            for aunt in read_list(shape.get("aunts"), "a proof's siblings", _DEPTH)
        ),
    )


# --- what share.* answers -------------------------------------------------------------------------------------------


def cell_json(cell: SquareCell) -> dict[str, object]:
    return {"share": base64_text(cell.share), "proof": nmt_proof_json(cell.proof), "proof_type": cell.axis}


def read_cell(value: object, row: int, column: int) -> SquareCell:
    """A sample, which does not say where it is from: that is the asker's to know."""
    shape = read_object(value, "a sample")
    share = read_base64(shape.get("share"), "a share", SHARE_BYTES)
    axis = read_integer(shape.get("proof_type", 0), "a proof's axis", 0, 1)
    return SquareCell(row, column, share, axis, read_nmt_proof(shape.get("proof")))


def namespace_rows_json(rows: Sequence[NamespaceRow]) -> list[dict[str, object]]:
    """One entry for each row whose root's range covers the namespace, top down; in one of absence there are no shares."""
    return [{"shares": [base64_text(share) for share in row.shares], "proof": nmt_proof_json(row.proof)} for row in rows]


def read_namespace_rows(value: object, covering: Sequence[int]) -> tuple[NamespaceRow, ...]:
    """`covering` are the rows whose root's range covers the namespace. Raises `InvalidInput` unless each has an entry, and only
    they."""
    entries = read_list(value, "namespace data", _WIDTH)
    if len(entries) != len(covering):
        raise InvalidInput(f"{len(entries)} rows came where {len(covering)} may hold the namespace")
    rows = []
    for row, entry in zip(covering, entries, strict=True):
        shape = read_object(entry, "a row of namespace data")
        shares = read_list(shape.get("shares"), "a row's shares", MAX_SQUARE_SIZE)
        found = tuple(read_base64(share, "a share", SHARE_BYTES) for share in shares)
        rows.append(NamespaceRow(row, found, read_nmt_proof(shape.get("proof"))))
    return tuple(rows)


def row_proof_json(rows: Sequence[ShareRowProof], *, hexadecimal: bool) -> dict[str, object]:
    """The rows' roots under the data root. celestia-core writes roots in hex, celestia-app the same ones in base64."""
    write = hex_text if hexadecimal else base64_text
    return {
        "row_roots": [write(row.row_root) for row in rows],
        "proofs": [merkle_proof_json(row.row_root, row.row_proof) for row in rows],
        "start_row": rows[0].row,
        "end_row": rows[-1].row,
    }


def range_json(proof: ShareProof) -> dict[str, object]:
    """What `share.GetRange` answers. The shares must all be of one namespace."""
    shares = [share for row in proof.rows for share in row.shares]
    data = [base64_text(share) for share in shares]
    namespace = Namespace(shares[0][:NAMESPACE_BYTES])
    return {
        "Shares": data,
        "Proof": {
            "data": data,
            "share_proofs": [_core_proof_json(row.nmt_proof) for row in proof.rows],
            "namespace_id": base64_text(namespace.raw[1:]),
            "row_proof": row_proof_json(proof.rows, hexadecimal=True),
            "namespace_version": namespace.raw[0],
        },
    }


def _core_proof_json(proof: NmtProof) -> dict[str, object]:
    return {"start": proof.start, "end": proof.end, "nodes": [base64_text(node) for node in proof.nodes]}


def read_range(value: object, data_root: bytes) -> ShareProof:
    """A share proof said to be under `data_root`."""
    shape = read_object(read_object(value, "a range").get("Proof"), "a share proof")
    rows = read_object(shape.get("row_proof"), "a row proof")
    nmt_proofs = [read_nmt_proof(one) for one in read_list(shape.get("share_proofs"), "share proofs", MAX_SQUARE_SIZE)]
    roots = [read_hex(one, "a row root") for one in read_list(rows.get("row_roots"), "row roots", MAX_SQUARE_SIZE)]
    proofs = [read_merkle_proof(one) for one in read_list(rows.get("proofs"), "row proofs", MAX_SQUARE_SIZE)]
    data = read_list(shape.get("data"), "shares", MAX_SQUARE_SIZE**2)
    shares = [read_base64(share, "a share", SHARE_BYTES) for share in data]
    if not len(nmt_proofs) == len(roots) == len(proofs) or any(len(root) != NODE_BYTES for root in roots):
        raise InvalidInput("a share proof has not one root and one proof for each row")
    parts, at = [], 0
    for nmt_proof, root, proof in zip(nmt_proofs, roots, proofs, strict=True):
        count = max(nmt_proof.end - nmt_proof.start, 0)
        parts.append(ShareRowProof(proof.index, tuple(shares[at : at + count]), nmt_proof, root, proof))
        at += count
    if at != len(shares):
        raise InvalidInput(f"a share proof is for {at} shares and brings {len(shares)}")
    return ShareProof(data_root, tuple(parts))


# --- roots and squares ----------------------------------------------------------------------------------------------


def roots_json(row_roots: Sequence[bytes], column_roots: Sequence[bytes]) -> dict[str, object]:
    """The `dah` of an extended header."""
    return {"row_roots": [base64_text(root) for root in row_roots], "column_roots": [base64_text(root) for root in column_roots]}


def read_roots(value: object) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Row roots and column roots, of the right sizes."""
    shape = read_object(value, "a data availability header")

    def read(name: str) -> tuple[bytes, ...]:
        return tuple(read_base64(root, "a root", NODE_BYTES) for root in read_list(shape.get(name), name, _WIDTH))

    return read("row_roots"), read("column_roots")


def read_original(value: object, size: int) -> list[bytes]:
    """The original quadrant of an extended square of width 2 * `size`, row by row."""
    shares = read_list(read_object(value, "an extended square").get("data_square"), "an extended square", _WIDTH**2)
    width = 2 * size
    if len(shares) != width * width:
        raise InvalidInput(f"{len(shares)} shares are not an extended square of width {width}")
    return [read_base64(shares[row * width + column], "a share", SHARE_BYTES) for row in range(size) for column in range(size)]

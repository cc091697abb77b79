"""The module `blob`. Source: celestia-node `nodebuilder/blob/blob.go`, `blob/service.go`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from dougong.availability.celestia.shapes import blob_json, nmt_proof_json, read_blob, read_nmt_proof, row_proof_json
from dougong.availability.celestia.values import base64_text, read_list, read_namespace
from dougong.availability.square.commitment import commitment, subtree_roots
from dougong.availability.square.served import ServedSquare
from dougong.errors import InvalidInput
from dougong.rpc.celestia.node import BLOB_NOT_FOUND, COMMITMENT, HEIGHT, NAMESPACE, Node, Rooms, encoded, failure
from dougong.rpc.celestia.paying import TX_CONFIG, TxConfig, publish
from dougong.rpc.protocol import Param
from dougong.types import Blob, Namespace, NmtProof, PlacedBlob

__all__ = ["add_blob_methods", "blobs_of"]


def add_blob_methods(rooms: Rooms, node: Node) -> None:
    limits = node.limits

    def read_blobs(value: object) -> list[Blob]:
        return [read_blob(one) for one in read_list(value, "blobs", limits.blobs)]

    def read_namespaces(value: object) -> list[Namespace]:
        namespaces = [read_namespace(one) for one in read_list(value, "namespaces", limits.namespaces)]
        if len(set(namespaces)) < len(namespaces):  # the reply would be many times the square
            raise InvalidInput("a namespace is named twice")
        return namespaces

    def read_proof(value: object) -> list[NmtProof]:
        return [read_nmt_proof(one) for one in read_list(value, "a proof", 1_024)]

    async def submit(blobs: Sequence[Blob], config: TxConfig) -> int:
        return (await publish(node, blobs, config)).placements[0].height

    async def find(height: int, namespace: Namespace, wanted: bytes) -> tuple[ServedSquare, PlacedBlob]:
        square = await node.square(height)
        found = await asyncio.to_thread(_find, square, namespace, wanted)
        if found is None:
            raise failure(BLOB_NOT_FOUND)
        return square, found

    async def get(height: int, namespace: Namespace, wanted: bytes) -> object:
        square, found = await find(height, namespace, wanted)
        return await encoded(lambda: _placed_json(square, found))

    async def get_all(height: int, namespaces: Sequence[Namespace]) -> object:
        square = await node.square(height)
        return await encoded(lambda: [shape for namespace in namespaces for shape in blobs_of(square, namespace)] or None)

    async def get_proof(height: int, namespace: Namespace, wanted: bytes) -> object:
        square, found = await find(height, namespace, wanted)
        return [nmt_proof_json(proof) for proof in await asyncio.to_thread(_row_proofs, square, found)]

    async def included(height: int, namespace: Namespace, proof: Sequence[NmtProof], wanted: bytes) -> bool:
        square = await node.square(height)
        found = await asyncio.to_thread(_find, square, namespace, wanted)
        if found is None:
            return False
        if list(proof) != await asyncio.to_thread(_row_proofs, square, found):
            raise failure("blob: invalid proof")
        return True

    async def get_commitment_proof(height: int, namespace: Namespace, wanted: bytes) -> object:
        square, found = await find(height, namespace, wanted)
        return await asyncio.to_thread(_commitment_proof, square, found)

    rooms.add("blob.Submit", "write", submit, Param("blobs", read_blobs), TX_CONFIG)
    rooms.add("blob.Get", "read", get, HEIGHT, NAMESPACE, COMMITMENT)
    rooms.add("blob.GetAll", "read", get_all, HEIGHT, Param("namespaces", read_namespaces))
    rooms.add("blob.GetProof", "read", get_proof, HEIGHT, NAMESPACE, COMMITMENT)
    rooms.add("blob.Included", "read", included, HEIGHT, NAMESPACE, Param("proof", read_proof), COMMITMENT)
    rooms.add("blob.GetCommitmentProof", "read", get_commitment_proof, HEIGHT, NAMESPACE, COMMITMENT)


def blobs_of(square: ServedSquare, namespace: Namespace) -> list[dict[str, object]]:
    """All blobs of a namespace, in order."""
    return [_placed_json(square, one) for one in square.namespace_data(namespace).blobs]


def _placed_json(square: ServedSquare, one: PlacedBlob) -> dict[str, object]:
    row, column = divmod(one.placement.start_share, square.size)
    return blob_json(one.blob, row * 2 * square.size + column)


def _find(square: ServedSquare, namespace: Namespace, wanted: bytes) -> PlacedBlob | None:
    """The first blob with this commitment."""
    return next((one for one in square.namespace_data(namespace).blobs if commitment(one.blob) == wanted), None)


def _row_proofs(square: ServedSquare, found: PlacedBlob) -> list[NmtProof]:
    """celestia-node proves the whole namespace in each row that the blob lies in."""
    first = found.placement.start_share // square.size
    last = (found.placement.start_share + found.placement.share_count - 1) // square.size
    rows = square.namespace_rows(found.blob.namespace)
    return [row.proof for row in rows if first <= row.row <= last]


def _commitment_proof(square: ServedSquare, found: PlacedBlob) -> dict[str, object]:
    """The subtree roots that the commitment is over, and their rows under the data root."""
    proof = square.prove(found.placement)
    return {
        "subtree_roots": [base64_text(root) for root in subtree_roots(found.blob)],
        "subtree_root_proofs": [nmt_proof_json(row.nmt_proof) for row in proof.rows],
        "namespace_id": base64_text(found.blob.namespace.raw[1:]),
        "row_proof": row_proof_json(proof.rows, hexadecimal=False),
        "namespace_version": found.blob.namespace.raw[0],
    }

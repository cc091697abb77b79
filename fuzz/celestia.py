"""celestia-node's JSON: what its API's callers send to us, and what a node that we ask may answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson

from dougong.availability.celestia import shapes
from dougong.availability.celestia.values import read_hex, read_integer, read_list
from dougong.errors import InvalidInput
from dougong.rpc.celestia.paying import read_tx_config
from dougong.types import Blob
from fuzz.availability import BETA
from fuzz.evidence import found_blobs, placement, served
from fuzz.target import Target

SIGNED = Blob(BETA, b"signed", 1, bytes(20))

READERS: tuple[Callable[[object], object], ...] = (
    shapes.read_blob,
    shapes.read_square_blob,
    shapes.read_nmt_proof,
    shapes.read_merkle_proof,
    lambda value: shapes.read_cell(value, 0, 1),
    lambda value: shapes.read_namespace_rows(value, [row.row for row in found_blobs().rows]),
    lambda value: shapes.read_range(value, served().header.data_root),
    shapes.read_roots,
    lambda value: shapes.read_original(value, served().size),
    read_tx_config,
    lambda value: read_integer(value, "a number"),
    lambda value: read_list(value, "a list", 16),
    lambda value: read_hex(value, "some hex"),
)


def _check_shape(data: bytes) -> None:
    try:
        value = orjson.loads(data[1:])
    except orjson.JSONDecodeError:
        return
    try:
        READERS[data[0] % len(READERS)](value)
    except InvalidInput:
        return


def _shapes() -> Iterator[bytes]:
    proof = served().prove(placement())
    examples: tuple[object, ...] = (
        shapes.blob_json(SIGNED),
        {"namespace_id": "A" * 38 + "==", "data": "AAAA", "share_version": 0, "namespace_version": 0},
        shapes.nmt_proof_json(found_blobs().rows[0].proof),
        shapes.merkle_proof_json(served().header.row_roots[0], proof.rows[0].row_proof),
        shapes.cell_json(served().cell(0, 1)),
        shapes.namespace_rows_json(found_blobs().rows),
        shapes.range_json(proof),
        shapes.roots_json(served().header.row_roots, served().header.column_roots),
        {"data_square": [], "codec": "Leopard"},
        {"gas_price": 0.002, "gas": 80000, "signer_address": "celestia1"},
        "7",
        [1],
        "00ff",
    )
    for number, example in enumerate(examples):
        yield bytes([number]) + orjson.dumps(example)


TARGETS = (Target("celestia", _check_shape, _shapes, runs=20_000, max_bytes=16_384),)

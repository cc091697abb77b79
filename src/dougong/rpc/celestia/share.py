"""The modules `share` and `das`. Source: celestia-node `nodebuilder/share/share.go`, `share/shwap`, `das/stats.go`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from dougong.availability.celestia.shapes import cell_json, namespace_rows_json, range_json
from dougong.availability.celestia.values import base64_text, read_integer, read_list, read_object
from dougong.availability.square.namespaces import PARITY, TAIL_PADDING
from dougong.availability.square.served import ServedSquare
from dougong.rpc.celestia.node import HEIGHT, NAMESPACE, Node, Rooms, encoded, failure
from dougong.rpc.protocol import Param
from dougong.types import NAMESPACE_BYTES, Namespace, Placement, ShareProof

__all__ = ["add_share_methods"]

CODEC = "Leopard"
_PLACES = 1 << 31


def add_share_methods(rooms: Rooms, node: Node) -> None:
    def read_coordinates(value: object) -> list[tuple[int, int]]:
        places = [read_object(one, "coordinates") for one in read_list(value, "coordinates", node.limits.samples)]
        return [(_read_place(place.get("row")), _read_place(place.get("col"))) for place in places]

    async def shares_available(height: int) -> None:
        """This node lays every square out itself before its block is final."""
        await node.square(height)

    async def get_share(height: int, row: int, column: int) -> str:
        return base64_text((await node.square(height)).cell(row, column).share)

    async def get_samples(height: int, places: Sequence[tuple[int, int]]) -> object:
        square = await node.square(height)
        return await encoded(lambda: [cell_json(square.cell(row, column)) for row, column in places])

    async def get_eds(height: int) -> object:
        square = await node.square(height)
        return await node.encode_square(lambda: _eds_json(square))

    async def get_row(height: int, row: int) -> object:
        square = await node.square(height)
        if not 0 <= row < 2 * square.size:
            raise failure(f"row {row} is out of bounds of a square of width {2 * square.size}")
        return await encoded(lambda: {"shares": [base64_text(share) for share in square.extended.axis(0, row)], "side": "BOTH"})

    async def get_namespace_data(height: int, namespace: Namespace) -> object:
        if namespace in (TAIL_PADDING, PARITY):
            raise failure(f"invalid data namespace({namespace.hex()}): parity and tail padding namespaces are forbidden")
        square = await node.square(height)
        return await encoded(lambda: namespace_rows_json(square.namespace_rows(namespace)))

    async def get_range(height: int, start: int, end: int) -> object:
        if not 0 <= start < end:
            raise failure(f"share: invalid range [{start}, {end})")
        square = await node.square(height)
        header = square.header
        proof = await asyncio.to_thread(square.prove, Placement(header.height, header.data_root, start, end - start))
        if not _of_one_namespace(proof):
            raise failure("mismatched namespace: the shares of a range are all of one")
        return await encoded(lambda: range_json(proof))

    async def sampling_stats() -> object:
        head = await node.layer.latest()
        return {
            "head_of_sampled_chain": head,
            "head_of_catchup": head,
            "network_head_height": head,
            "concurrency": 0,
            "catch_up_done": True,
            "is_running": True,
        }

    async def wait_catch_up() -> None:
        return None

    row, column = Param("row", _read_place), Param("col", _read_place)
    rooms.add("share.SharesAvailable", "read", shares_available, HEIGHT)
    rooms.add("share.GetShare", "read", get_share, HEIGHT, row, column)
    rooms.add("share.GetSamples", "read", get_samples, HEIGHT, Param("indices", read_coordinates))
    rooms.add("share.GetEDS", "read", get_eds, HEIGHT)
    rooms.add("share.GetRow", "read", get_row, HEIGHT, row)
    rooms.add("share.GetNamespaceData", "read", get_namespace_data, HEIGHT, NAMESPACE)
    rooms.add("share.GetRange", "read", get_range, HEIGHT, Param("start", _read_place), Param("end", _read_place))
    rooms.add("das.SamplingStats", "read", sampling_stats)
    rooms.add("das.WaitCatchUp", "read", wait_catch_up)


def _eds_json(square: ServedSquare) -> dict[str, object]:
    rows = (square.extended.axis(0, row) for row in range(2 * square.size))
    return {"data_square": [base64_text(share) for row in rows for share in row], "codec": CODEC}


def _of_one_namespace(proof: ShareProof) -> bool:
    return len({share[:NAMESPACE_BYTES] for row in proof.rows for share in row.shares}) == 1


def _read_place(value: object) -> int:
    return read_integer(value, "a place", -_PLACES, _PLACES)

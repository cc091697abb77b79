"""What services keep in their stores: JSON records with bytes in hex, read back strictly.

>>> unpack(pack({"height": 3, "hash": b"\\x01"}))["height"]
3
"""

from __future__ import annotations

from typing import Any

import orjson

from dougong.errors import StoreCorrupt
from dougong.types import BatchReference, Placement

__all__ = ["pack", "pack_placement", "pack_reference", "unpack", "unpack_placement", "unpack_reference"]


def _hex(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} has no record form")


def pack(record: dict[str, Any]) -> bytes:
    return orjson.dumps(record, default=_hex)


def unpack(raw: bytes) -> dict[str, Any]:
    try:
        record = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise StoreCorrupt(
            f"a record does not read: {error}", remedy="remove the service's folder; it is rebuilt from the layers below"
        ) from error
    if not isinstance(record, dict):
        raise StoreCorrupt("a record is not an object", remedy="remove the service's folder; it is rebuilt from the layers below")
    return record


def pack_placement(placement: Placement | None) -> dict[str, Any] | None:
    if placement is None:
        return None
    return {
        "height": placement.height,
        "data_root": placement.data_root,
        "start_share": placement.start_share,
        "share_count": placement.share_count,
    }


def unpack_placement(record: dict[str, Any] | None) -> Placement | None:
    if record is None:
        return None
    return Placement(record["height"], bytes.fromhex(record["data_root"]), record["start_share"], record["share_count"])


def pack_reference(reference: BatchReference) -> dict[str, Any]:
    return {
        "index": reference.index,
        "da_id": reference.da_id,
        "placement": pack_placement(reference.placement),
        "inbox_end": reference.inbox_end,
        "timestamp": reference.timestamp,
    }


def unpack_reference(record: dict[str, Any]) -> BatchReference:
    return BatchReference(
        record["index"],
        bytes.fromhex(record["da_id"]),
        unpack_placement(record["placement"]),
        record["inbox_end"],
        record["timestamp"],
    )

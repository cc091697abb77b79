"""The namespaces that the square keeps for itself, and which ones a blob may use.

    >>> check_blob_namespace(Namespace.user(b"alpha"))

Source: celestia-app specs, "Namespace" (reserved namespaces). The lowest 256 are primary reserved, the highest 256 secondary
reserved: blobs may use neither.
"""

from __future__ import annotations

from dougong.errors import InvalidNamespace
from dougong.types import NAMESPACE_BYTES, Namespace


def _primary(last: int) -> Namespace:
    return Namespace(bytes(NAMESPACE_BYTES - 1) + bytes([last]))


def _secondary(last: int) -> Namespace:
    return Namespace(b"\xff" * (NAMESPACE_BYTES - 1) + bytes([last]))


TRANSACTION = _primary(0x01)
PAY_FOR_BLOB = _primary(0x04)
PRIMARY_RESERVED_PADDING = _primary(0xFF)
TAIL_PADDING = _secondary(0xFE)
PARITY = _secondary(0xFF)

MAX_PRIMARY_RESERVED = PRIMARY_RESERVED_PADDING
MIN_SECONDARY_RESERVED = _secondary(0x00)
COMPACT = frozenset({TRANSACTION, PAY_FOR_BLOB})


def is_reserved(namespace: Namespace) -> bool:
    return namespace <= MAX_PRIMARY_RESERVED or namespace >= MIN_SECONDARY_RESERVED


def check_blob_namespace(namespace: Namespace) -> None:
    """Raises `InvalidNamespace` unless a blob may be published under it: version 0 and not reserved."""
    if is_reserved(namespace):
        raise InvalidNamespace(f"namespace {namespace.hex()} is reserved")
    if namespace.raw[0] != 0:
        raise InvalidNamespace(f"blobs need a namespace of version 0, not {namespace.raw[0]}")

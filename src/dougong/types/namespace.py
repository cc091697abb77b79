"""The key that blobs are sorted and looked up by."""

from __future__ import annotations

from dataclasses import dataclass

from dougong.errors import InvalidNamespace

NAMESPACE_BYTES = 29
NAMESPACE_USER_BYTES = 10
_USER_PREFIX = bytes(NAMESPACE_BYTES - NAMESPACE_USER_BYTES)


@dataclass(frozen=True, slots=True, order=True)
class Namespace:
    """One version byte and a 28-byte id: the key that blobs are sorted and looked up by.

    Source: celestia-app specs, "Namespace". Raises `InvalidNamespace` when the bytes are not 29 long, the version is
    neither 0 nor 255, or a version-0 id does not start with 18 zero bytes.
    """

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != NAMESPACE_BYTES:
            raise InvalidNamespace(f"a namespace is {NAMESPACE_BYTES} bytes, not {len(self.raw)}")
        if self.raw[0] not in (0, 255):
            raise InvalidNamespace(f"namespace version {self.raw[0]} is not in use")
        if self.raw[0] == 0 and any(self.raw[1 : NAMESPACE_BYTES - NAMESPACE_USER_BYTES]):
            raise InvalidNamespace("a version 0 namespace starts with 18 zero bytes after its version")

    @classmethod
    def user(cls, label: bytes) -> Namespace:
        """The version 0 namespace whose 10-byte id is `label`, padded with zeros on the left."""
        if not 0 < len(label) <= NAMESPACE_USER_BYTES:
            raise InvalidNamespace(f"a version 0 namespace label is 1 to {NAMESPACE_USER_BYTES} bytes, not {len(label)}")
        return cls(_USER_PREFIX + label.rjust(NAMESPACE_USER_BYTES, b"\0"))

    def hex(self) -> str:
        return self.raw.hex()

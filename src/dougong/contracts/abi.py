"""Calls, answers and events of a contract, by the names in its ABI.

    token = Abi(artifact("Token"))
    data = token.call("transfer", recipient, 10**18)
    (done,) = token.result("transfer", answer)

Addresses are 20 bytes and structs are tuples, both ways (web3's checksummed strings are for people). What a node
answered and does not decode raises `InvalidInput`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

from dougong._native import keccak256
from dougong.contracts import Artifact
from dougong.errors import InvalidInput

__all__ = ["Abi", "Event"]


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of log entry. `topic` is keccak256 of its signature; `fields` are (name, type, indexed) in order."""

    name: str
    topic: bytes
    fields: tuple[tuple[str, str, bool], ...]


class Abi:
    """The functions and events of one contract."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self._functions: dict[str, tuple[bytes, list[str], list[str]]] = {}
        self._events: dict[str, Event] = {}
        self._constructor: list[str] = []
        for entry in artifact.abi:
            inputs = [canonical_type(item) for item in entry.get("inputs", [])]
            if entry["type"] == "function":
                selector = keccak256(f"{entry['name']}({','.join(inputs)})".encode())[:4]
                self._functions[entry["name"]] = (selector, inputs, [canonical_type(item) for item in entry["outputs"]])
            elif entry["type"] == "event":
                fields = tuple(
                    (item["name"], kind, bool(item["indexed"])) for item, kind in zip(entry["inputs"], inputs, strict=True)
                )
                self._events[entry["name"]] = Event(
                    entry["name"], keccak256(f"{entry['name']}({','.join(inputs)})".encode()), fields
                )
            elif entry["type"] == "constructor":
                self._constructor = inputs

    def call(self, function: str, *arguments: Any) -> bytes:
        """The calldata of a call."""
        selector, inputs, _ = self._functions[function]
        return selector + encode(inputs, arguments)

    def result(self, function: str, data: bytes) -> tuple[Any, ...]:
        """What a call returned."""
        return self._decode(self._functions[function][2], data, f"{self.artifact.name}.{function}")

    def deployment(self, *arguments: Any) -> bytes:
        """The init code with the constructor's arguments."""
        return self.artifact.bytecode + encode(self._constructor, arguments)

    def topic(self, event: str) -> bytes:
        return self._events[event].topic

    def event(self, event: str, topics: Sequence[bytes], data: bytes) -> dict[str, Any]:
        """The fields of a log entry. Raises `InvalidInput` when it is not such an event."""
        kind = self._events[event]
        indexed = [item for item in kind.fields if item[2]]
        if not topics or topics[0] != kind.topic or len(topics) != 1 + len(indexed):
            raise InvalidInput(f"a log entry is not a {event} of {self.artifact.name}")
        plain = [item for item in kind.fields if not item[2]]
        found = dict(zip((item[0] for item in plain), self._decode([item[1] for item in plain], data, event), strict=True))
        for (name, type_, _), topic in zip(indexed, topics[1:], strict=True):
            (found[name],) = self._decode([type_], topic, event)
        return found

    def _decode(self, types: Sequence[str], data: bytes, what: str) -> tuple[Any, ...]:
        try:
            values = decode(types, data)
        except (DecodingError, ValueError, OverflowError) as error:
            raise InvalidInput(f"what should be {what} does not decode as ({', '.join(types)}): {error}") from error
        return tuple(_plain(type_, value) for type_, value in zip(types, values, strict=True))


def canonical_type(item: dict[str, Any]) -> str:
    """The type as signatures spell it: a struct is the tuple of its members."""
    kind: str = item["type"]
    if kind.startswith("tuple"):
        return f"({','.join(canonical_type(member) for member in item['components'])}){kind[5:]}"
    return kind


def _plain(type_: str, value: Any) -> Any:
    """eth_abi gives addresses as hex strings; everything of ours has bytes. Structs hold few addresses, so look at the value."""
    if isinstance(value, tuple):
        members = _members(type_)
        return tuple(_plain(member, item) for member, item in zip(members, value, strict=True)) if members else value
    if type_ == "address":
        return bytes.fromhex(value[2:])
    return value


def _members(type_: str) -> list[str]:
    """The member types of "(a,(b,c),d)"; empty for an array."""
    if not type_.endswith(")"):
        return []
    members, depth, start = [], 0, 1
    for position, letter in enumerate(type_):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if (letter == "," and depth == 1) or (letter == ")" and depth == 0):
            members.append(type_[start:position])
            start = position + 1
    return members

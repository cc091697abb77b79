"""Which logs somebody wants: an eth_getLogs filter's address and topics, read once, asked of many logs.

    criteria = Criteria.read({"address": "0x…", "topics": ["0x…", None]})
    criteria.matches(address, topics)

Source: ethereum/execution-apis `src/schemas/filter.yaml`. `LogTable` holds the criteria of many listeners: each stands under one
place of its own that a log must have, so a log is compared with those alone that could want it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson

from dougong.errors import InvalidInput
from dougong.rpc.params import hex_data, read_address, read_hash

__all__ = ["FIELDS", "SPAN", "Criteria", "LogTable"]

SPAN = ("fromBlock", "toBlock", "blockHash")
FIELDS = frozenset({*SPAN, "address", "topics"})
MAX_TOPICS = 4
MAX_CHOICES = 1_000  # addresses, or alternatives for one topic
ITEMS_PER_WEIGHT = 16

T = TypeVar("T")
_ADDRESS = -1
_ANY = (-2, b"")


@dataclass(frozen=True, slots=True)
class Criteria:
    """`addresses` and each of `topics` are alternatives; an empty set of them matches anything."""

    addresses: frozenset[bytes]
    topics: tuple[frozenset[bytes], ...]

    @classmethod
    def read(cls, given: dict[str, Any]) -> Criteria:
        """Raises `InvalidInput`."""
        unknown = given.keys() - FIELDS
        if unknown:
            raise InvalidInput(f"unknown field {min(unknown)[:40]} in the filter")
        address = given.get("address")
        addresses = [] if address is None else address if isinstance(address, list) else [address]
        topics = given.get("topics") or []
        if not isinstance(topics, list) or len(topics) > MAX_TOPICS:
            raise InvalidInput(f"topics are an array of at most {MAX_TOPICS}")
        choices = [topic if isinstance(topic, list) else [topic] for topic in topics]
        if max(map(len, [addresses, *choices])) > MAX_CHOICES:
            raise InvalidInput(f"at most {MAX_CHOICES} addresses or alternatives for a topic")
        return cls(
            frozenset(map(read_address, addresses)),
            # null, alone or among others, and an empty list, match any topic
            tuple(frozenset() if None in some else frozenset(map(read_hash, some)) for some in choices),
        )

    @property
    def json(self) -> str:
        """As `Evm.logs_json` takes it."""
        topics = [[hex_data(topic) for topic in sorted(some)] or None for some in self.topics]
        wanted: dict[str, object] = {"topics": topics}
        if self.addresses:
            wanted["address"] = [hex_data(address) for address in sorted(self.addresses)]
        return orjson.dumps(wanted).decode()

    @property
    def weight(self) -> int:
        """How many ordinary ones it counts as."""
        return 1 + (len(self.addresses) + sum(map(len, self.topics))) // ITEMS_PER_WEIGHT

    def matches(self, address: bytes, topics: Sequence[bytes]) -> bool:
        return (
            (not self.addresses or address in self.addresses)
            and len(topics) >= len(self.topics)
            and all(not wanted or topic in wanted for wanted, topic in zip(self.topics, topics, strict=False))
        )

    def places(self) -> list[tuple[int, bytes]]:
        """Of which a log must have one, or the one that every log has."""
        if self.addresses:
            return [(_ADDRESS, address) for address in self.addresses]
        closed = [(place, some) for place, some in enumerate(self.topics) if some]
        if not closed:
            return [_ANY]
        place, fewest = min(closed, key=lambda one: len(one[1]))
        return [(place, topic) for topic in fewest]


class LogTable(Generic[T]):
    """Listeners by their criteria."""

    def __init__(self) -> None:
        self._groups: dict[Criteria, dict[T, None]] = {}
        self._at: dict[tuple[int, bytes], dict[Criteria, None]] = {}

    def __bool__(self) -> bool:
        return bool(self._groups)

    def __iter__(self) -> Iterator[T]:
        return iter([listener for group in self._groups.values() for listener in group])

    def add(self, criteria: Criteria, listener: T) -> None:
        if criteria not in self._groups:
            self._groups[criteria] = {}
            for place in criteria.places():
                self._at.setdefault(place, {})[criteria] = None
        self._groups[criteria][listener] = None

    def remove(self, criteria: Criteria, listener: T) -> None:
        group = self._groups.get(criteria, {})
        group.pop(listener, None)
        if not group and self._groups.pop(criteria, None) is not None:
            for place in criteria.places():
                self._at[place].pop(criteria)
                if not self._at[place]:
                    del self._at[place]

    def find(self, address: bytes, topics: Sequence[bytes]) -> list[T]:
        """Who wants this log."""
        found: list[T] = []
        for place in (_ANY, (_ADDRESS, address), *enumerate(topics)):
            for criteria in self._at.get(place, ()):
                if criteria.matches(address, topics):
                    found.extend(self._groups[criteria])
        return found

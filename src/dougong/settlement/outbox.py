"""The outbox tree outside the EVM: leaf, root, proofs.

>>> tree = OutboxTree()
>>> tree.append(OutboxMessage(0, bytes(20), bytes(20), 5))
>>> verify_message(tree.root, OutboxMessage(0, bytes(20), bytes(20), 5), tree.prove(0))

Messages come from the predeploy's `MessageSent` log; a claim's outbox root says up to which message it covers. Source:
docs/spec/derivation.md, "Outbox".
"""

from __future__ import annotations

from collections.abc import Iterable

from dougong.contracts import artifact
from dougong.contracts.abi import Abi
from dougong.contracts.predeploys import OUTBOX_ADDRESS, OUTBOX_DEPTH
from dougong.crypto.hashing import sha256
from dougong.errors import Divergence, InvalidInput, InvalidProof, NotFound
from dougong.net.jsonrpc import JsonRpc
from dougong.settlement.logs import logs
from dougong.types import ZERO_HASH, OutboxMessage, OutboxProof

__all__ = ["OutboxTree", "outbox_leaf", "read_outbox", "verify_message"]


def _empty_nodes() -> tuple[bytes, ...]:
    nodes = [ZERO_HASH]
    for _ in range(OUTBOX_DEPTH):
        nodes.append(sha256(nodes[-1], nodes[-1]))
    return tuple(nodes)


EMPTY = _empty_nodes()
"""The root of an empty subtree of each height, 0 to 32."""


def outbox_leaf(message: OutboxMessage) -> bytes:
    return sha256(message.sender, message.recipient, message.value.to_bytes(32), sha256(message.data))


class OutboxTree:
    """An append-only binary tree of depth 32, empty leaves zero. Keeps every node: an append costs 32 hashes."""

    def __init__(self) -> None:
        self._levels: list[list[bytes]] = [[] for _ in range(OUTBOX_DEPTH + 1)]

    @classmethod
    def replay(cls, messages: Iterable[OutboxMessage], root: bytes) -> OutboxTree:
        """The tree of the first messages that has this root. Raises `NotFound` if no number of them has."""
        tree = cls()
        if tree.root == root:
            return tree
        for message in messages:
            tree.append(message)
            if tree.root == root:
                return tree
        raise NotFound(
            f"none of the {len(tree)} outbox messages leads to the root 0x{root.hex()}",
            remedy="read the rollup's log up to the claim's block",
        )

    def __len__(self) -> int:
        return len(self._levels[0])

    @property
    def root(self) -> bytes:
        top = self._levels[OUTBOX_DEPTH]
        return top[0] if top else EMPTY[OUTBOX_DEPTH]

    def append(self, message: OutboxMessage) -> None:
        """Raises `InvalidInput` when it is not the next one."""
        if message.index != len(self):
            raise InvalidInput(f"outbox message {message.index} does not follow number {len(self) - 1}")
        node, position = outbox_leaf(message), message.index
        for height in range(OUTBOX_DEPTH + 1):
            level = self._levels[height]
            if position < len(level):
                level[position] = node
            else:
                level.append(node)
            if height < OUTBOX_DEPTH:
                sibling = self._sibling(height, position)
                node = sha256(sibling, node) if position % 2 else sha256(node, sibling)
                position //= 2

    def prove(self, index: int) -> OutboxProof:
        """Raises `NotFound` for a message that is not in the tree."""
        if not 0 <= index < len(self):
            raise NotFound(f"the outbox holds no message {index}, only {len(self)}")
        return OutboxProof(index, tuple(self._sibling(height, index >> height) for height in range(OUTBOX_DEPTH)))

    def _sibling(self, height: int, position: int) -> bytes:
        level, sibling = self._levels[height], position ^ 1
        return level[sibling] if sibling < len(level) else EMPTY[height]


def verify_message(root: bytes, message: OutboxMessage, proof: OutboxProof) -> None:
    """Raises `InvalidProof` unless the message is at its index of the outbox under `root`."""
    if proof.index != message.index or not 0 <= proof.index < 1 << OUTBOX_DEPTH or len(proof.siblings) != OUTBOX_DEPTH:
        raise InvalidProof(f"not a proof of outbox message {message.index}")
    node, position = outbox_leaf(message), proof.index
    for sibling in proof.siblings:
        node = sha256(sibling, node) if position % 2 else sha256(node, sibling)
        position //= 2
    if node != root:
        raise InvalidProof(f"the proof of outbox message {message.index} leads to another root")


async def read_outbox(rpc: JsonRpc, last_block: int, *, first_block: int = 0, start: int = 0) -> list[OutboxMessage]:
    """Messages from index `start` on, sent in blocks `first_block` to `last_block` of a rollup. `rpc` is a node of the rollup
    and not trusted: check the messages against an outbox root. Raises `Divergence` when the numbering has a gap."""
    abi = Abi(artifact("Outbox"))
    found: list[OutboxMessage] = []
    async for log in logs(rpc, OUTBOX_ADDRESS, [abi.topic("MessageSent")], first_block, last_block):
        event = abi.event("MessageSent", log.topics, log.data)
        if event["index"] < start:
            continue
        if event["index"] != start + len(found):
            raise Divergence(f"{rpc.url} gave outbox message {event['index']} where number {start + len(found)} was due")
        found.append(OutboxMessage(event["index"], event["sender"], event["recipient"], event["value"], event["data"]))
    return found

"""One deployed contract behind a node: questions, and transactions where there is a key.

token = Contract(rpc, address, artifact("Token"), transactor)
balance = await token.ask("balanceOf", owner)
receipt = await token.send("transfer", recipient, 10**18)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dougong.contracts import Artifact
from dougong.contracts.abi import Abi
from dougong.errors import InvalidInput, Rejected
from dougong.net.jsonrpc import JsonRpc, data
from dougong.settlement.transactor import Note, Offer, Receipt, Transactor
from dougong.types import BlobSidecar

__all__ = ["Contract", "deploy"]


class Contract:
    """`address` is 20 bytes. Without a transactor it only reads."""

    def __init__(self, rpc: JsonRpc, address: bytes, artifact: Artifact, transactor: Transactor | None = None) -> None:
        self.address = address
        self.rpc = rpc
        self.abi = Abi(artifact)
        self._transactor = transactor

    async def ask(self, function: str, *arguments: Any, block: int | str = "latest") -> Any:
        """The answer of a view, at a block. Raises `Rejected` with the contract's reason when it reverts."""
        (answer,) = await self.ask_all([(function, arguments)], block=block)
        return answer

    async def ask_all(self, questions: Sequence[tuple[str, Sequence[Any]]], *, block: int | str = "latest") -> list[Any]:
        """Several answers at one block, in one round trip."""
        at = block if isinstance(block, str) else hex(block)
        calls = [
            ("eth_call", [{"to": "0x" + self.address.hex(), "data": "0x" + self.abi.call(function, *arguments).hex()}, at])
            for function, arguments in questions
        ]
        answers = []
        for (function, _), raw in zip(questions, await self.rpc.batch(calls), strict=True):
            answer = data(raw)
            if not answer:
                raise InvalidInput(
                    f"there is no {self.abi.artifact.name} contract at 0x{self.address.hex()} on {self.rpc.url}",
                    remedy="check the contract's address and the node's chain",
                )
            values = self.abi.result(function, answer)
            answers.append(values[0] if len(values) == 1 else values)
        return answers

    async def send(
        self,
        function: str,
        *arguments: Any,
        value: int = 0,
        sidecar: BlobSidecar | None = None,
        budget: int | None = None,
        note: Note | None = None,
        earlier: Offer | None = None,
    ) -> Receipt:
        """Returns once it is in a block. Raises `Rejected` with the contract's reason, or `Unavailable` (outcome unknown)."""
        if self._transactor is None:
            raise InvalidInput("this client only reads: it was given no key")
        calldata = self.abi.call(function, *arguments)
        return await self._transactor.send(
            self.address, calldata, value, sidecar=sidecar, budget=budget, note=note, earlier=earlier
        )

    def event(self, receipt: Receipt, name: str) -> dict[str, Any]:
        """The first event of this kind that the contract logged in a transaction."""
        topic = self.abi.topic(name)
        for log in receipt.logs:
            if log.address == self.address and log.topics and log.topics[0] == topic:
                return self.abi.event(name, log.topics, log.data)
        raise Rejected(f"the transaction 0x{receipt.tx_hash.hex()} took effect, but logged no {name}")


async def deploy(transactor: Transactor, artifact: Artifact, *arguments: Any) -> Contract:
    """Deploys a contract with its constructor's arguments."""
    receipt = await transactor.send(None, Abi(artifact).deployment(*arguments))
    if receipt.contract is None:
        raise InvalidInput(f"{transactor.rpc.url} gave no address for the contract {artifact.name} that it deployed")
    return Contract(transactor.rpc, receipt.contract, artifact, transactor)

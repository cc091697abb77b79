"""A settlement chain's storage, proven under a header that proves itself.

    storage = SettledStorage(rpc, EmbeddedChain(node, genesis_hash))
    header = await storage.header()
    (count,) = await storage.values(header, contract, [batch_count_slot(rollup_id)])

In this order: the chain's headers follow from its genesis hash, by its validators' signatures (an embedded chain; a plain
Ethereum node's word for its latest block is taken); the last header's app hash is the hash of an EVM block; the block's header,
put together from JSON-RPC, hashes to that and holds the state root; the slots are proven under it (EIP-1186).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dougong._native import HeaderInfo, decode_header, verify_account_proof, verify_storage_proof
from dougong.codec import rlp
from dougong.consensus.light import LightClient
from dougong.crypto.hashing import keccak256
from dougong.errors import InvalidHeader, InvalidProof
from dougong.net.header import header_fields
from dougong.net.jsonrpc import JsonRpc, data
from dougong.net.node import NodeClient
from dougong.services.nodes.remote import trusted_genesis

__all__ = ["EmbeddedChain", "SettledStorage"]


@dataclass(frozen=True, slots=True)
class EmbeddedChain:
    """A settlement chain whose headers can be checked: its node, and the genesis hash that is trusted."""

    node: NodeClient
    genesis_hash: bytes


class SettledStorage:
    """`chain` None: a plain Ethereum node, whose consensus is not checked."""

    def __init__(self, rpc: JsonRpc, chain: EmbeddedChain | None) -> None:
        self._rpc = rpc
        self._chain = chain
        self._client: LightClient | None = None

    async def header(self) -> HeaderInfo:
        """The latest EVM block's header, as far as it can be shown."""
        block_hash = None if self._chain is None else await self._app_hash(self._chain)
        if block_hash is None:
            block = await self._rpc.call("eth_getBlockByNumber", "latest", False)
        else:
            block = await self._rpc.call("eth_getBlockByHash", "0x" + block_hash.hex(), False)
        if not isinstance(block, dict):
            raise InvalidHeader(f"{self._rpc.url} does not have the block that its chain commits to")
        raw = rlp.encode(header_fields(block))
        expected = data(block.get("hash"), 32) if block_hash is None else block_hash
        if keccak256(raw) != expected:
            raise InvalidHeader(f"{self._rpc.url} gave another header for the block {expected.hex()}")
        return decode_header(raw)

    async def _app_hash(self, chain: EmbeddedChain) -> bytes:
        """The EVM block that the last header commits to: a header's app hash is the state after the block before it."""
        if self._client is None:
            genesis = await trusted_genesis(chain.node, chain.genesis_hash)
            self._client = LightClient(genesis, chain.node.signed_header)
        height = max((await chain.node.status()).height, self._client.height)
        return (await self._client.header(height)).app_hash

    async def values(self, header: HeaderInfo, contract: bytes, wanted: Sequence[bytes]) -> list[bytes]:
        """The values of the slots in a contract's storage at the block, each proven under its state root."""
        answer = await self._rpc.call(
            "eth_getProof", "0x" + contract.hex(), ["0x" + slot.hex() for slot in wanted], hex(header.number)
        )
        try:
            account = [data(node) for node in answer["accountProof"]]
            storage = [[data(node) for node in entry["proof"]] for entry in answer["storageProof"]]
        except (KeyError, TypeError) as error:
            raise InvalidProof(f"{self._rpc.url} answered eth_getProof with something else") from error
        if len(storage) != len(wanted):
            raise InvalidProof(f"{len(wanted)} slots were asked for, {len(storage)} came")
        found = verify_account_proof(header.state_root, contract, account)
        if found is None:
            raise InvalidProof(f"there is no contract at {contract.hex()} in block {header.number}")
        return [verify_storage_proof(found[2], slot, proof) for slot, proof in zip(wanted, storage, strict=True)]

"""Methods about accounts, and calls that change nothing. Source: ethereum/execution-apis `src/eth/state.yaml`, `execute.yaml`."""

from __future__ import annotations

from typing import Any

import orjson

from dougong.errors import InvalidInput
from dougong.net.codes import REVERTED
from dougong.net.reverts import ERROR_SELECTOR, PANIC_SELECTOR, revert_reason
from dougong.rpc.errors import RpcError
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.params import LATEST, BlockId, hex_data, quantity, read_address, read_block, read_object, read_slot
from dougong.rpc.protocol import Methods, Param

__all__ = ["state_methods"]

ADDRESS = Param("address", read_address)
BLOCK = Param("block", read_block, LATEST)


def state_methods(chain: Chain) -> Methods:
    methods = Methods()
    evm, options = chain.evm, chain.options

    # A point read takes microseconds, a trip to a thread a hundred: these stay on the event loop.
    async def balance(address: bytes, block: BlockId) -> str:
        return quantity(evm.account(address, chain.need(block))[1])

    async def nonce(address: bytes, block: BlockId) -> str:
        if block.tag == "pending":
            return quantity(chain.backend.pending_nonce(address))
        return quantity(evm.account(address, chain.need(block))[0])

    async def code(address: bytes, block: BlockId) -> str:
        return hex_data(evm.code(address, chain.need(block)))

    async def storage(address: bytes, slot: bytes, block: BlockId) -> str:
        return hex_data(evm.storage(address, slot, chain.need(block)))

    async def proof(address: bytes, slots: list[bytes], block: BlockId) -> orjson.Fragment:
        return orjson.Fragment(await chain.call(evm.proof_json, address, slots, chain.need(block)))

    async def call(request: dict[str, Any], block: BlockId, state: object, header: object) -> str:
        body, overrides = orjson.dumps(request).decode(), (orjson.dumps(state).decode(), orjson.dumps(header).decode())
        success, data, _ = await chain.call(evm.call_json, body, chain.need(block), options.gas_cap, overrides)
        if not success:
            raise reverted(data)
        return hex_data(data)

    async def estimate_gas(request: dict[str, Any], block: BlockId, state: object, header: object) -> str:
        body, overrides = orjson.dumps(request).decode(), (orjson.dumps(state).decode(), orjson.dumps(header).decode())
        success, data, gas = await chain.call(evm.estimate_gas_json, body, chain.need(block), options.gas_cap, overrides)
        if not success:
            raise reverted(data)
        return quantity(gas)

    def read_slots(value: object) -> list[bytes]:
        if not isinstance(value, list) or len(value) > options.proof_slots:
            raise InvalidInput(f"want an array of at most {options.proof_slots} storage slots")
        return [_read_key(slot) for slot in value]

    request = Param("transaction", read_object)
    methods.add("eth_getBalance", balance, ADDRESS, BLOCK)
    methods.add("eth_getTransactionCount", nonce, ADDRESS, BLOCK)
    methods.add("eth_getCode", code, ADDRESS, BLOCK)
    methods.add("eth_getStorageAt", storage, ADDRESS, Param("slot", read_slot), BLOCK)
    methods.add("eth_getProof", proof, ADDRESS, Param("storageKeys", read_slots), BLOCK)
    overrides = (Param("stateOverrides", read_object, None), Param("blockOverrides", read_object, None))
    methods.add("eth_call", call, request, BLOCK, *overrides)
    methods.add("eth_estimateGas", estimate_gas, request, BLOCK, *overrides)
    return methods


def _read_key(value: object) -> bytes:
    """A slot in as many bytes as it was written in: fewer than 32 are a number, and the proof shows them so."""
    slot = read_slot(value)
    return slot if len(str(value)) == 2 + 2 * len(slot) else slot.lstrip(b"\0")


def reverted(data: bytes) -> RpcError:
    """geth's error for a call that reverted: code 3, the revert data, and the reason where Solidity's ABI has one."""
    reason = f": {revert_reason(data)}" if data[:4] in (ERROR_SELECTOR, PANIC_SELECTOR) else ""
    return RpcError(REVERTED, f"execution reverted{reason}", hex_data(data))

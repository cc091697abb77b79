"""Many storage slots in one call: `eth_getStorageValues`. Source: ethereum/execution-apis `src/eth/state.yaml`.

One call reads at most `MOST_SLOTS` slots, as geth has it.
"""

from __future__ import annotations

from dougong.errors import InvalidInput
from dougong.net.codes import INVALID_PARAMS
from dougong.rpc.errors import RpcError
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.params import LATEST, BlockId, hex_data, read_address, read_block, read_object, read_slot
from dougong.rpc.protocol import Methods, Param

__all__ = ["storage_methods"]

MOST_SLOTS = 1_024


def storage_methods(chain: Chain) -> Methods:
    methods = Methods()
    evm = chain.evm

    def read(wanted: dict[bytes, list[bytes]], number: int) -> dict[str, list[str]]:
        return {hex_data(who): [hex_data(evm.storage(who, slot, number)) for slot in slots] for who, slots in wanted.items()}

    async def values(wanted: dict[bytes, list[bytes]], block: BlockId) -> dict[str, list[str]]:
        if not any(wanted.values()):
            raise RpcError(INVALID_PARAMS, "empty request")
        return await chain.call(read, wanted, chain.need(block))

    methods.add("eth_getStorageValues", values, Param("requests", _read_wanted), Param("block", read_block, LATEST))
    return methods


def _read_wanted(value: object) -> dict[bytes, list[bytes]]:
    wanted: dict[bytes, list[bytes]] = {}
    count = 0
    for address, slots in read_object(value).items():
        if not isinstance(slots, list):
            raise InvalidInput("want an array of slots for each address")
        count += len(slots)
        if count > MOST_SLOTS:
            raise InvalidInput(f"too many slots: the limit is {MOST_SLOTS}")
        wanted.setdefault(read_address(address), []).extend(read_slot(slot) for slot in slots)
    return wanted

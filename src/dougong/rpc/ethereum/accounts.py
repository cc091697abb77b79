"""Methods that need a key. A node here keeps none: whoever asks is told so in geth's words, so that a wallet signs itself.

Source: ethereum/execution-apis `src/eth/sign.yaml`, `submit.yaml`; go-ethereum `internal/ethapi/api.go`, whose order of checks
this follows.
"""

from __future__ import annotations

from typing import Any, NoReturn

from dougong.net.codes import SERVER_ERROR
from dougong.rpc.errors import RpcError
from dougong.rpc.ethereum.chain import Chain
from dougong.rpc.params import read_address, read_data, read_object, read_quantity
from dougong.rpc.protocol import Methods, Param

__all__ = ["account_methods"]

_READERS = {
    "from": read_address,
    "to": read_address,
    **dict.fromkeys(("gas", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "value", "nonce"), read_quantity),
    **dict.fromkeys(("data", "input"), read_data),
}


def account_methods(chain: Chain) -> Methods:
    methods = Methods()

    async def sign(address: bytes, data: bytes) -> NoReturn:
        raise RpcError(SERVER_ERROR, "unknown account")

    async def send(request: dict[str, Any]) -> NoReturn:
        raise RpcError(SERVER_ERROR, "unknown account")

    async def sign_transaction(request: dict[str, Any]) -> NoReturn:
        given = {key for key, value in request.items() if value is not None}
        if "gas" not in given:
            raise RpcError(SERVER_ERROR, "gas not specified")
        if "gasPrice" not in given and not {"maxFeePerGas", "maxPriorityFeePerGas"} <= given:
            raise RpcError(SERVER_ERROR, "missing gasPrice or maxFeePerGas/maxPriorityFeePerGas")
        if "nonce" not in given:
            raise RpcError(SERVER_ERROR, "nonce not specified")
        raise RpcError(SERVER_ERROR, "unknown account")

    request = Param("transaction", _read_request)
    methods.add("eth_sign", sign, Param("address", read_address), Param("message", read_data))
    methods.add("eth_sendTransaction", send, request)
    methods.add("eth_signTransaction", sign_transaction, request)
    return methods


def _read_request(value: object) -> dict[str, object]:
    request = read_object(value)
    for key, read in _READERS.items():
        if request.get(key) is not None:
            read(request[key])
    return request

"""Kill -9 under load: every transaction that the JSON-RPC acknowledged is in the chain after the restart."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from dougong._native import keccak256
from dougong.execution.evm.genesis import GenesisAccount
from dougong.net.child import see_off
from dougong.net.jsonrpc import JsonRpc
from dougong.testing.wallet import Wallet
from tests.rpc.world import CHAIN_ID, running

WALLETS = [Wallet.of(f"sender {number}", CHAIN_ID) for number in range(4)]
ALLOC = {wallet.address: GenesisAccount(10**21) for wallet in WALLETS}
PER_SENDER = 500
KILLED_AFTER = 300


def transactions(wallet: Wallet) -> list[bytes]:
    return wallet.sign_all([wallet.fields(b"\x7e" * 20, nonce=nonce, value=1) for nonce in range(PER_SENDER)])


async def main(folder: Path) -> None:
    """Sends until it is killed, and prints each hash once it is acknowledged."""
    async with running(folder, ALLOC) as world:

        async def send(wallet: Wallet) -> None:
            async with JsonRpc(world.url) as node:
                for raw in transactions(wallet):
                    print(await node.call("eth_sendRawTransaction", "0x" + raw.hex()), flush=True)

        await asyncio.gather(*(send(wallet) for wallet in WALLETS))


async def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.rpc.test_kill", str(tmp_path)),
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    acknowledged: list[str] = []
    while line := await child.stdout.readline():
        acknowledged.append(line.decode().strip())
        if len(acknowledged) == KILLED_AFTER:
            child.kill()
    assert await see_off(child) == -signal.SIGKILL
    assert KILLED_AFTER <= len(acknowledged) < PER_SENDER * len(WALLETS)
    names = {"0x" + keccak256(raw).hex() for wallet in WALLETS for raw in transactions(wallet)}
    assert names > set(acknowledged)
    async with running(tmp_path, ALLOC) as world, JsonRpc(world.url) as node:
        calls = [("eth_getTransactionReceipt", [tx_hash]) for tx_hash in acknowledged]
        while not all(receipts := await node.batch(calls)):
            await world.chain.wait_for_height(world.backend.heads().latest + 1)
        assert [receipt["status"] for receipt in receipts] == ["0x1"] * len(acknowledged)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))

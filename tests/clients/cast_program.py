"""What the programs beside this file do, by foundry's `cast`: each step is a command as a user types it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from typing import Any

from eth_account import Account

from dougong.contracts import artifact
from dougong.net.child import see_off
from tests.engines import ROOT

CAST = ROOT / "engines/node_modules/@foundry-rs/cast-linux-amd64/bin/cast"
NEVER, MOST = str(2**63), str(2**256 - 1)
PLAIN = "0x" + "0a" * 20
FEES = ("--gas-price", "100gwei", "--priority-gas-price", "1gwei", "--gas-limit", "300000")
OLD_FEES = ("--gas-price", "100gwei", "--gas-limit", "300000")


class CastError(Exception):
    """What the command wrote to its standard error."""


async def cast_program(url: str, secret: bytes) -> list[dict[str, Any]]:
    """The steps and what came of each, as the JavaScript programs print them."""
    program = _Program(url, secret)
    parts = (program.deploy_both, program.trade, program.read, program.suppose, program.look_back)
    for part in (*parts, program.fail, program.replace, program.wait, program.follow):
        await part()
    return program.printed


async def cast(*arguments: str) -> str:
    if not CAST.exists():
        raise FileNotFoundError(f"{CAST} is missing: run `make engines`")
    process = await asyncio.create_subprocess_exec(
        str(CAST), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(30):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise CastError(f"cast {' '.join(arguments)[:200]} does not end") from None
    if process.returncode != 0:
        raise CastError(errors.decode())
    return output.decode().strip()


class _Program:
    def __init__(self, url: str, secret: bytes) -> None:
        self.url, self.secret = url, "0x" + secret.hex()
        self.me = Account.from_key(secret).address
        self.authority = Account.from_key(hashlib.sha256(b"authority of " + secret).digest())
        self.printed: list[dict[str, Any]] = []

    def show(self, step: str, value: Any) -> None:
        self.printed.append({"step": step, "value": value})

    async def ask(self, command: str, *arguments: str) -> str:
        return await cast(command, *arguments, "--rpc-url", self.url)

    async def ask_json(self, command: str, *arguments: str) -> Any:
        return json.loads(await self.ask(command, *arguments, "--json"))

    async def send(self, *arguments: str) -> Any:
        """The receipt."""
        return json.loads(await self.send_words("--json", *arguments))

    async def send_words(self, *arguments: str) -> str:
        # --create takes what is left of the line, so it has to come last
        return await cast("send", "--rpc-url", self.url, "--private-key", self.secret, *arguments)

    async def mined(self, *arguments: str) -> list[Any]:
        receipt = await self.send(*arguments)
        return [receipt, await self.ask_json("tx", receipt["transactionHash"])]

    async def nonce(self, block: str) -> int:
        return int(await self.ask("nonce", self.me, "--block", block))

    # --- the network, and two contracts ---------------------------------------------------------------------------------

    async def deploy_both(self) -> None:
        self.show("network", [await self.ask("chain-id"), await self.nonce("pending")])
        self.show("balance", await self.ask("balance", self.me, "--block", "0"))
        constructor = "constructor(string,string,uint256)"
        self.token = await self._deploy("Token", constructor, "Token of cast", "TKC", str(10**24))
        self.market = await self._deploy("Exchange", "constructor(address)", self.token)
        self.show("the token", [await self.ask("call", self.token, f"{name}()(string)") for name in ("name", "symbol")])
        self.show("code", [await self.ask("codehash", self.market), await self.ask("codesize", self.market)])

    async def _deploy(self, name: str, constructor: str, *arguments: str) -> str:
        receipt = await self.send("--create", "0x" + artifact(name).bytecode.hex(), constructor, *arguments)
        self.show(f"deploy {name}", [receipt["status"], receipt["contractAddress"], receipt["gasUsed"]])
        return str(receipt["contractAddress"])

    # --- trade, with a transaction of each type ---------------------------------------------------------------------------

    async def trade(self) -> None:
        token, market = self.token, self.market
        approve = ("approve(address,uint256)", market, MOST)
        self.show("legacy: approve", await self.mined(token, *approve, *OLD_FEES, "--legacy"))
        access = json.dumps([{"address": market, "storageKeys": ["0x" + "00" * 32]}])
        add = ("add_liquidity(uint256,uint256,uint256)", str(10**22), "0", NEVER, "--value", "10ether")
        self.show("2930: add liquidity", await self.mined(market, *add, *OLD_FEES, "--legacy", "--access-list", access))
        swap = ("swap_ether(uint256,uint256)", "1", NEVER, "--value", "1ether")
        self.show("estimate", hex(int(await self.ask("estimate", market, *swap, "--from", self.me))))
        self.swap = await self.mined(market, *swap, *FEES)
        self.show("1559: swap ether", self.swap)
        sold = await self.send(market, "swap_tokens(uint256,uint256,uint256)", str(10**20), "1", NEVER)
        self.show("all by default: swap tokens", sold["status"])
        self.show("a new account", await self.mined(self.authority.address, "--value", "1", *FEES))
        sign = ("wallet", "sign-auth", token, "--private-key", "0x" + self.authority.key.hex(), "--nonce", "0")
        authorization = await cast(*sign, "--rpc-url", self.url)
        delegated = (self.authority.address, "approve(address,uint256)", PLAIN, "5", "--auth", authorization)
        self.show("7702", await self.mined(*delegated, *FEES))
        self.show("7702: code", await self.ask("code", self.authority.address))
        allowance = ("allowance(address,address)(uint256)", self.me, PLAIN)
        self.show("7702: storage", await self.ask("call", self.authority.address, *allowance))

    # --- read -------------------------------------------------------------------------------------------------------------

    async def read(self) -> None:
        market, (receipt, _) = self.market, self.swap
        number = int(receipt["blockNumber"], 16)
        self.show("call", await self.ask("call", market, "quote_ether(uint256)(uint256)", str(10**18)))
        held = ("balanceOf(address)(uint256)", market, "--block", str(number - 1))
        self.show("call in the past", await self.ask("call", self.token, *held))
        place = {"transactionHash", "blockNumber", "blockHash", "blockTimestamp"}
        logs = await self.ask_json("logs", "--from-block", "0", "--address", market)
        self.show("logs", [{key: value for key, value in log.items() if key not in place} for log in logs])
        event = "Swapped(address indexed,uint256,uint256,uint256,uint256)"
        mine = await self.ask_json("logs", "--from-block", "0", "--address", market, event, self.me)
        self.show("logs by topic", [log["topics"] for log in mine])
        self.show("block", await self.ask_json("block", str(number), "--full"))
        self.show("block by hash", (await self.ask_json("block", receipt["blockHash"]))["number"] == hex(number))
        self.show(
            "tags", [(await self.ask_json("block", tag))["gasLimit"] for tag in ("latest", "safe", "finalized", "earliest")]
        )
        self.show("receipt", await self.ask_json("receipt", receipt["transactionHash"]))
        self.show("raw", await self.ask("tx", receipt["transactionHash"], "--raw"))
        self.show("receipts of a block", await self.ask_json("rpc", "eth_getBlockReceipts", hex(number)))
        self.show("storage", await self.ask("storage", market, "0"))
        self.show("storage root", await self.ask("storage-root", market))
        self.show("fees", [(await self.ask(name)).isdigit() for name in ("gas-price", "base-fee")])
        self.show("fee history", await self.ask_json("rpc", "eth_feeHistory", "2", "latest", "[25,75]"))
        self.show("proof", await self.ask_json("proof", market, "0x" + "00" * 32))
        made = (await self.ask_json("block", "1"))["timestamp"]
        self.show("nearest block", (await self.ask("find-block", str(int(made, 16)))).isdigit())
        self.show("nothing there", await self._refused(self.ask("receipt", "--async", "0x" + "12" * 32), "tx not found"))

    # --- what would be, and what was ------------------------------------------------------------------------------------------

    async def suppose(self) -> None:
        """Access lists, and calls on another state and in another block."""
        swap = (self.market, "swap_ether(uint256,uint256)", "1", NEVER, "--value", "1ether", "--from", self.me)
        listed = await self.ask_json("access-list", *swap)
        self.show("access list: gas", listed["gasUsed"])
        slots = {entry["address"]: sorted(entry["storageKeys"]) for entry in listed["accessList"]}
        self.show("access list", sorted(slots.items()))
        # Returns what the word at its slot 7 is, its own balance, and the block's time and number.
        reader = "0x" + "60075460005247602052426040524360605260806000f3"
        told = ("--override-code", f"{PLAIN}:{reader}", "--override-balance", f"{PLAIN}:1234", "--block.time", "2000000000")
        slot = ("--block.number", "999", "--override-state-diff", f"{PLAIN}:7:42")
        self.show("overrides", await self.ask("call", PLAIN, "--data", "0x", *told, *slot))
        whole = ("--override-code", f"{PLAIN}:{reader}", "--override-state", f"{PLAIN}:7:43")
        self.show("overrides: whole state", (await self.ask("call", PLAIN, "--data", "0x", *whole))[:66])
        rich = ("--override-balance", f"{PLAIN}:{10**18}", "--from", PLAIN, "--value", "1ether")
        self.show("overrides: money", await self.ask("call", "0x" + "0b" * 20, "--data", "0x", *rich))
        self.show("without them", await self._refused(self.ask("call", self.me, "--data", "0x", *rich[2:]), "insufficient funds"))

    async def look_back(self) -> None:
        """`cast run` fetches the state before a transaction, slot by slot, and executes it on this machine."""
        trace = await self.ask("run", self.swap[0]["transactionHash"], "--quick", "--disable-labels")
        self.show("run", [line for line in trace.splitlines() if line.strip() and "Traces" not in line])

    # --- what is refused, and what reverts --------------------------------------------------------------------------------

    async def _refused(self, command: Any, *words: str) -> list[str]:
        """Which of the words the refusal has."""
        try:
            await command
        except CastError as error:
            return [some for some in words if re.search(some, str(error), re.IGNORECASE)]
        raise AssertionError("this should have been refused")

    async def fail(self) -> None:
        late = ("swap_ether(uint256,uint256)", "1", "0", "--value", "1")
        words = ("execution reverted: too late", "0x08c379a0")
        self.show("revert: estimate", await self._refused(self.ask("estimate", self.market, *late, "--from", self.me), *words))
        self.show("revert: call", await self._refused(self.ask("call", self.market, *late), *words))
        self.show("revert: mined", await self.mined(self.market, *late, *FEES))
        for name, fields, said in (
            ("a spent nonce", ("--nonce", "0"), "nonce too low"),
            ("too poor", ("--value", str(10**30)), "insufficient funds"),
        ):
            self.show(f"refused: {name}", await self._refused(self.send(PLAIN, *FEES, *fields), said))

    # --- a nonce gap, and what is replaced while it waits behind it ---------------------------------------------------------

    async def replace(self) -> None:
        nonce = await self.nonce("pending")
        behind = ("--nonce", str(nonce + 1))
        first = await self.send_words("--async", PLAIN, *FEES, *behind, "--value", "1")
        self.show("behind a gap", await self.ask_json("tx", first))
        self.show("behind a gap: nonces", [await self.nonce("pending") - nonce, await self.nonce("latest") - nonce])
        again = self.send_words("--async", PLAIN, *FEES, *behind, "--value", "2")
        self.show("refused: as cheap", await self._refused(again, "underpriced"))
        dearer = ("--gas-price", "150gwei", "--priority-gas-price", "2gwei", "--gas-limit", "300000")
        second = await self.send_words("--async", PLAIN, *dearer, *behind, "--value", "2")
        await self.send(PLAIN, *FEES, "--nonce", str(nonce))
        self.show("replaced", (await self.ask_json("receipt", second))["status"])
        self.show("replaced: the first", await self._refused(self.ask("receipt", "--async", first), "tx not found"))
        self.show("nonces at the end", [await self.nonce("pending"), await self.nonce("latest")])

    # --- sending and waiting in one call (EIP-7966) -----------------------------------------------------------------------------

    async def wait(self) -> None:
        self.show("sent and waited", await self.send(PLAIN, "--value", "3", *FEES, "--sync"))
        make = ("--value", "4", *FEES)
        raw = await cast("mktx", "--rpc-url", self.url, "--private-key", self.secret, PLAIN, *make)
        self.show("signed apart", raw)
        self.show("published", json.loads(await self.ask("publish", raw))["status"])

    async def follow(self) -> None:
        event = "Transfer(address indexed,address indexed,uint256)"
        socket = self.url.replace("http", "ws")
        process = await asyncio.create_subprocess_exec(
            *(str(CAST), "logs", "--subscribe", "--rpc-url", socket, "--address", self.token, event, "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdout is not None
        try:
            first = asyncio.ensure_future(process.stdout.readuntil(b"}"))  # an array that does not end
            async with asyncio.timeout(30):
                while not first.done():  # it does not say when it listens
                    await self.send(self.token, "transfer(address,uint256)", PLAIN, "77", *FEES)
                    await asyncio.wait([first], timeout=0.3)
            self.show("an event as it comes", json.loads((await first).lstrip(b"["))["data"])
        finally:
            process.kill()
            await see_off(process)

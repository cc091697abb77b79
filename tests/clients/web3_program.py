"""What the programs beside this file do, in web3.py: deploys, trades, reads, and meets every refusal that a wallet meets."""

from __future__ import annotations

import hashlib
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import AsyncHTTPProvider, AsyncWeb3, WebSocketProvider
from web3.exceptions import BlockNotFound, ContractLogicError, TransactionNotFound, Web3RPCError
from web3.middleware import SignAndSendRawMiddlewareBuilder

from dougong.contracts import artifact

GWEI, ETHER = 10**9, 10**18
NEVER = 2**63
PLAIN = "0x0A0A0a0a0a0a0a0A0a0a0A0a0A0A0A0a0a0a0a0a"
FEES = {"maxFeePerGas": 100 * GWEI, "maxPriorityFeePerGas": GWEI, "gas": 300_000}
OLD_FEES = {"gasPrice": 100 * GWEI, "gas": 300_000}


async def web3_program(url: str, secret: bytes) -> list[dict[str, Any]]:
    """The steps and what came of each, as the JavaScript programs print them."""
    web3 = AsyncWeb3(AsyncHTTPProvider(url))
    account: LocalAccount = Account.from_key(secret)
    web3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(account), layer=0)
    web3.eth.default_account = account.address
    try:
        return await _Program(web3, account, url).run()
    finally:
        await web3.provider.disconnect()


def plain(value: Any) -> Any:
    """As JSON would have it."""
    if isinstance(value, (bytes, bytearray)):
        return "0x" + bytes(value).hex()
    if hasattr(value, "items"):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(part) for part in value]
    return value


class _Program:
    def __init__(self, web3: AsyncWeb3[Any], account: LocalAccount, url: str) -> None:
        self.web3, self.eth, self.account, self.url = web3, web3.eth, account, url
        self.printed: list[dict[str, Any]] = []

    def show(self, step: str, value: Any) -> None:
        self.printed.append({"step": step, "value": plain(value)})

    async def run(self) -> list[dict[str, Any]]:
        await self._deploy_both()
        await self._trade()
        await self._read()
        await self._fail()
        await self._replace()
        await self._follow()
        return self.printed

    async def receipt(self, tx_hash: Any) -> Any:
        return await self.eth.wait_for_transaction_receipt(tx_hash, timeout=20, poll_latency=0.03)

    async def mined(self, tx_hash: Any) -> list[Any]:
        return [await self.receipt(tx_hash), await self.eth.get_transaction(tx_hash)]

    async def send(self, transaction: dict[str, Any]) -> Any:
        fields: Any = {"from": self.account.address, **transaction}
        return await self.eth.send_transaction(fields)

    async def by_name(self, method: str, *params: Any) -> Any:
        """What web3.py has no function for."""
        return (await self.web3.provider.make_request(method, params))["result"]

    # --- the network, and two contracts ---------------------------------------------------------------------------------

    async def _deploy_both(self) -> None:
        self.show("network", [await self.eth.chain_id, await self.nonce("pending"), await self.web3.is_connected()])
        self.show("balance", await self.eth.get_balance(self.account.address, 0))
        self.token = await self._deploy("Token", "Token of web3", "TKW", 10**24)
        self.market = await self._deploy("Exchange", self.token.address)
        names = [self.token.functions[name]().call() for name in ("name", "symbol", "decimals", "issuer")]
        self.show("the token", [await name for name in names])
        self.show("code", self.web3.keccak(await self.eth.get_code(self.market.address)))

    async def _deploy(self, name: str, *arguments: Any) -> Any:
        built = artifact(name)
        factory = self.eth.contract(abi=built.abi, bytecode=built.bytecode)
        receipt = await self.receipt(await factory.constructor(*arguments).transact())
        self.show(f"deploy {name}", [receipt["status"], receipt["contractAddress"], receipt["gasUsed"]])
        return self.eth.contract(address=receipt["contractAddress"], abi=built.abi)

    async def nonce(self, block: str) -> int:
        return int(await self.eth.get_transaction_count(self.account.address, block))  # type: ignore[arg-type]

    # --- trade, with a transaction of each type ---------------------------------------------------------------------------

    async def _trade(self) -> None:
        token, market = self.token.functions, self.market.functions
        slots = ["0x" + "00" * 32, "0x" + "00" * 31 + "01"]
        access = [{"address": self.market.address, "storageKeys": slots}]
        self.show("legacy: approve", await self.mined(await token.approve(self.market.address, 2**256 - 1).transact(OLD_FEES)))
        options: dict[str, Any] = {**OLD_FEES, "type": 1, "accessList": access, "value": 10 * ETHER}
        self.show("2930: add liquidity", await self.mined(await market.add_liquidity(10**22, 0, NEVER).transact(options)))
        self.show("estimate", hex(await market.swap_ether(1, NEVER).estimate_gas({"value": ETHER})))
        self.swap = await self.mined(await market.swap_ether(1, NEVER).transact({**FEES, "value": ETHER}))
        self.show("1559: swap ether", self.swap)
        sold = await self.receipt(await market.swap_tokens(10**20, 1, NEVER).transact())
        self.show("all by default: swap tokens", sold["status"])
        authority: LocalAccount = Account.from_key(hashlib.sha256(b"authority of " + self.account.key).digest())
        self.show("a new account", await self.mined(await self.send({**FEES, "to": authority.address, "value": 1})))
        signed = authority.sign_authorization({"chainId": await self.eth.chain_id, "address": self.token.address, "nonce": 0})
        data = self.token.encode_abi("approve", [PLAIN, 5])
        delegating = {**FEES, "to": authority.address, "data": data, "value": 0, "authorizationList": [signed]}
        self.show("7702", await self.mined(await self.send(delegating)))
        self.show("7702: code", await self.eth.get_code(authority.address))
        delegated = self.eth.contract(address=authority.address, abi=self.token.abi)
        self.show("7702: storage", await delegated.functions.allowance(self.account.address, PLAIN).call())

    # --- read -------------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        eth, token, market = self.eth, self.token.functions, self.market.functions
        me, place = self.account.address, self.market.address
        held = await token.balanceOf(me).call()
        self.show("call", [await market.quote_ether(ETHER).call(), await market.ether_reserve().call(), held])
        receipt = self.swap[0]
        past = await token.balanceOf(place).call(block_identifier=receipt["blockNumber"] - 1)
        self.show("call in the past", past)
        logs = await eth.get_logs({"fromBlock": 0, "address": place})
        self.show("logs", [{key: log[key] for key in ("data", "topics", "logIndex", "removed")} for log in logs])
        swapped = await self.market.events.Swapped().get_logs(from_block=0, argument_filters={"trader": me})
        self.show("logs by topic", [event["args"] for event in swapped])
        block = await eth.get_block(receipt["blockNumber"], full_transactions=True)
        self.show("block", {key: value for key, value in block.items() if key != "transactions"})
        self.show("the transaction in it", block["transactions"])
        by_hash = await eth.get_block(receipt["blockHash"])
        count = await eth.get_block_transaction_count(receipt["blockHash"])
        self.show("block by hash", [by_hash["number"] == block["number"], count])
        placed = await eth.get_transaction_by_block(receipt["blockHash"], 0)
        self.show("by its place", placed)
        self.show("raw", await eth.get_raw_transaction(receipt["transactionHash"]))
        self.show("tags", [type((await eth.get_block(tag))["number"]).__name__ for tag in ("safe", "finalized", "earliest")])
        self.show("receipts of a block", await eth.get_block_receipts(receipt["blockHash"]))
        slot = "0x" + "00" * 32
        self.show("storage", await eth.get_storage_at(place, 0))
        self.show("fees", [type(fee).__name__ for fee in (await eth.gas_price, await eth.max_priority_fee)])
        self.show("fee history", await eth.fee_history(2, "latest", [25, 75]))
        self.show("proof", await self.by_name("eth_getProof", place, [slot], "latest"))
        missing: list[str] = []
        for asked in (
            eth.get_transaction_receipt("0x" + "12" * 32),  # type: ignore[arg-type]
            eth.get_transaction("0x" + "12" * 32),  # type: ignore[arg-type]
            eth.get_block(0xFFFFFFF),
        ):
            try:
                await asked
            except (TransactionNotFound, BlockNotFound) as error:
                missing.append(type(error).__name__)
        self.show("nothing there", missing)

    # --- what is refused, and what reverts --------------------------------------------------------------------------------

    async def _fail(self) -> None:
        late = self.market.functions.swap_ether(1, 0)
        for name, asked in (("estimate", late.transact({"value": 1})), ("call", late.call({"value": 1}))):
            try:
                await asked
            except ContractLogicError as error:
                self.show(f"revert: {name}", [error.message, error.data])
        self.show("revert: mined", await self.mined(await late.transact({**FEES, "value": 1})))
        await self._refused("a spent nonce", {"nonce": 0})
        await self._refused("too poor", {"value": 10**30})

    async def _refused(self, name: str, fields: dict[str, Any]) -> None:
        try:
            await self.send({**FEES, "to": PLAIN, **fields})
        except Web3RPCError as error:
            words = str(error.rpc_response).lower()
            known = ("nonce too low", "insufficient funds", "underpriced")
            self.show(f"refused: {name}", [some for some in known if some in words])

    # --- a nonce gap, and what is replaced while it waits behind it ---------------------------------------------------------

    async def _replace(self) -> None:
        fields = {**FEES, "to": PLAIN}
        nonce = await self.nonce("pending")
        first = await self.send({**fields, "nonce": nonce + 1, "value": 1})
        self.show("behind a gap", await self.eth.get_transaction(first))
        self.show("behind a gap: nonces", [await self.nonce("pending") - nonce, await self.nonce("latest") - nonce])
        await self._refused("as cheap", {"nonce": nonce + 1, "value": 2})
        dearer = {**fields, "maxFeePerGas": 150 * GWEI, "maxPriorityFeePerGas": 2 * GWEI}
        second = await self.eth.replace_transaction(first, {**dearer, "from": self.account.address, "value": 2})  # type: ignore[typeddict-item]
        await self.receipt(await self.send({**fields, "nonce": nonce}))
        self.show("replaced", (await self.receipt(second))["status"])
        try:
            await self.eth.get_transaction_receipt(first)
        except TransactionNotFound as error:
            self.show("replaced: the first", type(error).__name__)
        self.show("nonces at the end", [await self.nonce("pending"), await self.nonce("latest")])

    # --- sending and waiting in one call (EIP-7966), and events as they come ---------------------------------------------------

    async def _follow(self) -> None:
        fields: dict[str, Any] = {
            **FEES,
            "to": PLAIN,
            "value": 3,
            "nonce": await self.nonce("pending"),
            "chainId": await self.eth.chain_id,
        }
        raw = self.account.sign_transaction(fields).raw_transaction
        self.show("sent and waited", await self.by_name("eth_sendRawTransactionSync", "0x" + raw.hex()))
        start = await self.eth.block_number
        by_filter = await self.token.events.Transfer.create_filter(from_block="latest", argument_filters={"receiver": PLAIN})
        blocks = await self.eth.filter("latest")
        url = self.url.replace("http", "ws")
        async with AsyncWeb3(WebSocketProvider(url)) as socket:
            logs = {"address": self.token.address, "topics": [self.token.events.Transfer().topic]}
            topics = {await socket.eth.subscribe("newHeads"): "head", await socket.eth.subscribe("logs", logs): "log"}
            topics[await socket.eth.subscribe("newPendingTransactions")] = "waits"
            self.show(
                "calls over the socket", [await socket.eth.chain_id, await socket.eth.get_transaction_count(self.account.address)]
            )
            sent = await self.receipt(await self.token.functions.transfer(PLAIN, 77).transact(FEES))
            told: dict[str, Any] = {}
            async for message in socket.socket.process_subscriptions():
                told.setdefault(topics[message["subscription"]], message["result"])
                if len(told) == len(topics):
                    break
            event = self.token.events.Transfer().process_log(told["log"])
            self.show("an event as it comes", [event["args"], told["head"]["number"] > start])
            self.show("a transaction as it comes", told["waits"] == sent["transactionHash"])
            self.show("unsubscribed", [await socket.eth.unsubscribe(name) for name in topics])
        self.show("an event by filter", [found["args"] for found in await by_filter.get_new_entries()])
        self.show("blocks by filter", sent["blockHash"] in await blocks.get_new_entries())
        found = await self.token.events.Transfer().get_logs(from_block=start + 1)
        self.show("an event", [event["args"] for event in found])

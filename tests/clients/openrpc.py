"""What Ethereum's JSON-RPC takes, as a table, and requests that are almost that.

Source: the OpenRPC document of ethereum/execution-apis (`src/eth`, `src/debug`, `src/schemas`), go-ethereum for `net`, `web3`,
`txpool` and tracing, Otterscan's `docs/custom-jsonrpc.md` for `ots`. A method that the server names and this table does not is
asked with anything.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from dougong.crypto.hashing import keccak256
from dougong.rpc.protocol import Method

__all__ = ["METHODS", "requests"]

BLOCK_FIRST = ("block",)
TRANSACTION_AND_BLOCK = ("transaction", "block?")

# The kinds of a method's parameters in order; a question mark: it may be missing.
METHODS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("eth_blockNumber", "eth_chainId", "eth_syncing", "eth_accounts", "eth_coinbase", "eth_config"), ()),
    **dict.fromkeys(("eth_gasPrice", "eth_maxPriorityFeePerGas", "eth_blobBaseFee", "eth_baseFee", "eth_newBlockFilter"), ()),
    **dict.fromkeys(("net_version", "net_listening", "net_peerCount", "web3_clientVersion", "eth_mining", "eth_hashrate"), ()),
    **dict.fromkeys(("txpool_status", "txpool_content", "txpool_inspect", "ots_getApiLevel", "eth_capabilities"), ()),
    "web3_sha3": ("data",),
    "eth_getBlockByNumber": ("block", "bool"),
    "eth_getBlockByHash": ("hash", "bool"),
    "eth_getHeaderByNumber": BLOCK_FIRST,
    "eth_getHeaderByHash": ("hash",),
    "eth_getBlockTransactionCountByNumber": BLOCK_FIRST,
    "eth_getBlockTransactionCountByHash": ("hash",),
    "eth_getUncleCountByBlockNumber": BLOCK_FIRST,
    "eth_getUncleCountByBlockHash": ("hash",),
    "eth_getUncleByBlockNumberAndIndex": ("block", "quantity"),
    "eth_getUncleByBlockHashAndIndex": ("hash", "quantity"),
    "eth_getBlockReceipts": BLOCK_FIRST,
    "eth_getBalance": ("address", "block?"),
    "eth_getTransactionCount": ("address", "block?"),
    "eth_getCode": ("address", "block?"),
    "eth_getStorageAt": ("address", "slot", "block?"),
    "eth_getStorageValues": ("slots by address", "block?"),
    "eth_getProof": ("address", "slots", "block?"),
    "eth_call": ("transaction", "block?", "state override?", "block override?"),
    "eth_estimateGas": ("transaction", "block?", "state override?", "block override?"),
    "eth_createAccessList": (*TRANSACTION_AND_BLOCK, "state override?"),
    "eth_fillTransaction": ("transaction",),
    "eth_simulateV1": ("simulation", "block?"),
    "eth_sign": ("address", "data"),
    "eth_signTransaction": ("transaction",),
    "eth_sendTransaction": ("transaction",),
    "eth_sendRawTransaction": ("data",),
    "eth_sendRawTransactionSync": ("data", "milliseconds?"),
    **dict.fromkeys(("eth_getTransactionByHash", "eth_getTransactionReceipt", "eth_getRawTransactionByHash"), ("hash",)),
    **dict.fromkeys(
        ("eth_getTransactionByBlockNumberAndIndex", "eth_getRawTransactionByBlockNumberAndIndex"), ("block", "quantity")
    ),
    **dict.fromkeys(("eth_getTransactionByBlockHashAndIndex", "eth_getRawTransactionByBlockHashAndIndex"), ("hash", "quantity")),
    "eth_feeHistory": ("quantity", "block", "percentiles?"),
    "eth_getLogs": ("filter",),
    "eth_newFilter": ("filter",),
    "eth_newPendingTransactionFilter": ("bool?",),
    **dict.fromkeys(("eth_getFilterChanges", "eth_getFilterLogs", "eth_uninstallFilter", "eth_unsubscribe"), ("quantity",)),
    "eth_subscribe": ("subscription", "filter?"),
    "debug_getRawTransaction": ("hash",),
    **dict.fromkeys(("debug_getRawBlock", "debug_getRawHeader", "debug_getRawReceipts", "debug_getBadBlocks"), BLOCK_FIRST),
    "debug_traceTransaction": ("hash", "trace options?"),
    "debug_traceBlock": ("data", "trace options?"),
    "debug_traceBlockByNumber": ("block", "trace options?"),
    "debug_traceBlockByHash": ("hash", "trace options?"),
    "trace_replayTransaction": ("hash", "replay kinds"),
    "debug_traceCall": ("transaction", "block", "trace options?"),
    **dict.fromkeys(("txpool_contentFrom", "ots_getContractCreator"), ("address",)),
    "ots_hasCode": ("address", "block?"),
    **dict.fromkeys(("ots_searchTransactionsBefore", "ots_searchTransactionsAfter"), ("address", "count", "count")),
    "ots_getTransactionBySenderAndNonce": ("address", "count"),
    "ots_getBlockTransactions": ("block", "count", "count"),
    "ots_getBlockDetails": BLOCK_FIRST,
    "ots_getBlockDetailsByHash": ("hash",),
    **dict.fromkeys(("ots_getTransactionError", "ots_traceTransaction", "ots_getInternalOperations"), ("hash",)),
}

Values = dict[str, st.SearchStrategy[Any]]


def valid_values(addresses: list[str], hashes: list[str], raws: list[str]) -> Values:
    """One that each kind allows; `addresses`, `hashes` and `raws` are of things that are there."""
    address = st.sampled_from([*addresses, "0x" + "00" * 20, "0x" + "ff" * 20])
    hash_ = st.sampled_from([*hashes, "0x" + "12" * 32])
    quantity = st.one_of(st.integers(0, 40), st.integers(0, 2**256 - 1)).map(hex)
    small = st.integers(0, 10).map(hex)
    word = st.integers(0, 2**256 - 1).map(lambda number: f"0x{number:064x}")
    code = st.sampled_from(
        ["0x", "0x00", "0x5f5ff3", "0x5f5ffd", "0xfe", "0x5b5f56", "0x5f355f5500", "0x5f5f5f5f5f305af1", "0x5f5fa000"]
    )
    block = st.one_of(
        st.sampled_from(["latest", "safe", "finalized", "earliest", "pending"]),
        small,
        hash_.map(lambda one: {"blockHash": one, "requireCanonical": True}),
        small.map(lambda one: {"blockNumber": one}),
    )
    access = st.lists(st.fixed_dictionaries({"address": address, "storageKeys": st.lists(word, max_size=2)}), max_size=2)
    authorization = st.fixed_dictionaries(
        {
            "chainId": small,
            "address": address,
            "nonce": small,
            "yParity": st.sampled_from(["0x0", "0x1"]),
            "r": quantity,
            "s": quantity,
        }
    )
    fees = {
        "gasPrice": quantity,
        "maxFeePerGas": quantity,
        "maxPriorityFeePerGas": small,
        "gas": st.integers(0, 200_000).map(hex),
    }
    lists = {"accessList": access, "authorizationList": st.lists(authorization, max_size=2)}
    blobs = {"maxFeePerBlobGas": quantity, "blobVersionedHashes": st.lists(hash_, max_size=2), "chainId": small, "type": small}
    transaction = st.fixed_dictionaries(
        {},
        optional={
            "from": address,
            "to": address,
            "value": small,
            "data": code,
            "input": code,
            "nonce": quantity,
            **fees,
            **lists,
            **blobs,
        },
    )
    topics = st.lists(st.one_of(hash_, st.none(), st.lists(hash_, max_size=2)), max_size=4)
    a_filter = st.fixed_dictionaries(
        {},
        optional={
            "fromBlock": block,
            "toBlock": block,
            "address": st.one_of(address, st.lists(address, max_size=2)),
            "topics": topics,
        },
    )
    slots = st.lists(word, max_size=3)
    account = st.fixed_dictionaries(
        {},
        optional={
            **{"balance": quantity, "nonce": small, "code": code, "movePrecompileToAddress": address},
            **dict.fromkeys(("state", "stateDiff"), st.dictionaries(word, word, max_size=2)),
        },
    )
    overrides = st.dictionaries(address, account, max_size=2)
    of_block = st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("number", "time", "gasLimit", "baseFeePerGas", "blobBaseFee", "difficulty"), quantity),
            **{"feeRecipient": address, "prevRandao": word, "withdrawals": st.just([])},
        },
    )
    simulated = st.fixed_dictionaries(
        {}, optional={"blockOverrides": of_block, "stateOverrides": overrides, "calls": st.lists(transaction, max_size=2)}
    )
    flags = st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("validation", "traceTransfers", "returnFullTransactions"), st.booleans())
    )
    tracers = st.sampled_from(["callTracer", "prestateTracer", "4byteTracer", "noopTracer", "flatCallTracer", "muxTracer", "{}"])
    trace = st.fixed_dictionaries(
        {},
        optional={
            **{"tracer": tracers, "timeout": st.sampled_from(["1s", "5ms"]), "tracerConfig": st.just({"onlyTopCall": True})},
            **dict.fromkeys(("enableMemory", "disableStack", "disableStorage", "enableReturnData"), st.booleans()),
        },
    )
    return {
        **{
            "address": address,
            "hash": hash_,
            "quantity": quantity,
            "slot": st.one_of(small, word),
            "slots": slots,
            "block": block,
        },
        **{"bool": st.booleans(), "data": st.one_of(code, st.sampled_from(raws)), "transaction": transaction, "filter": a_filter},
        **{"state override": overrides, "block override": of_block, "trace options": trace, "milliseconds": st.integers(1, 30)},
        "simulation": st.builds(
            lambda blocks, more: {"blockStateCalls": blocks, **more}, st.lists(simulated, min_size=1, max_size=2), flags
        ),
        "percentiles": st.lists(st.floats(0, 100), max_size=4).map(sorted),
        "count": st.integers(0, 30),
        "replay kinds": st.lists(st.sampled_from(["stateDiff", "stateDiff", "trace", "vmTrace"]), min_size=1, max_size=2),
        "slots by address": st.dictionaries(address, slots, max_size=2),
        "subscription": st.sampled_from(["newHeads", "logs", "newPendingTransactions", "syncing"]),
    }


def nested(depth: int, inner: Any = 0) -> Any:
    for level in range(depth):
        inner = [inner] if level % 2 else {"to": inner}
    return inner


# What no parameter should be, and what some may nearly be.
WRONG: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2**31,
        2**63 - 1,
        2**63,
        2**64 - 1,
        -(2**63),
        0.5,
        -0.0,
        1e308,
        1e-320,
        [],
        {},
        "",
        " ",
        "0",
        "1",
    ),
    *(
        "0x",
        "0X",
        "x",
        "0x0",
        "0x00",
        "0x01",
        "0X1",
        "0xg",
        "0x 1",
        " 0x1",
        "0x1 ",
        "0x1\n",
        "-0x1",
        "0x-1",
        "+0x1",
        "0x+1",
        "0x1_0",
    ),
    *("0x" + "f" * 16, "0x1" + "0" * 16, "0x" + "f" * 64, "0x1" + "0" * 64, "0x" + "f" * 65, "0x" + "0" * 64, "0x" + "1" * 1_001),
    *(
        "0x" + "00" * 100_000,
        "0x" + "1" * 4_000,
        "a" * 100_000,
        "latest ",
        "LATEST",
        "late\u017ft",
        "\x00",
        "0x1\x00",
        "\u202e0x1",
    ),
    *(
        "\uff10x\uff11",
        "0x\uff11",
        "\u0663",
        "🧱" * 50,
        "nan",
        "inf",
        "null",
        "[]",
        "{}",
        "__proto__",
        "constructor",
        "%s%n",
        "' or 1=1 --",
        "../../etc",
    ),
    *([None], [[]], [{}], ["0x"], [0] * 300, ["0x" + "12" * 32] * 1_500, {"": ""}, {"blockHash": None}, {"blockNumber": None}),
    *(
        {"blockHash": "0x1"},
        {"blockHash": {}},
        {"blockNumber": "latest", "blockHash": "0x" + "00" * 32},
        {"blockNumber": {"blockNumber": 1}},
    ),
    *(
        {"to": None, "data": None},
        {str(key): key for key in range(300)},
        {"topics": [[[]]]},
        {"topics": [None] * 9},
        {"address": [[]]},
    ),
    *(
        {"fromBlock": "0x" + "f" * 16, "toBlock": "0x0"},
        {"fromBlock": "earliest", "toBlock": "pending"},
        nested(40),
        nested(200, "0x1"),
    ),
]


@st.composite
def requests(draw: st.DrawFn, method: Method, values: Values) -> dict[str, Any]:
    """A call of the method: as the table has it, and then spoilt in up to three places, by position or by name."""
    kinds = METHODS.get(method.name)
    if kinds is None:
        anything = st.one_of(*values.values(), st.sampled_from(WRONG))
        params = draw(st.lists(anything, max_size=len(method.params) + 1))
    else:
        given = draw(st.integers(sum(not kind.endswith("?") for kind in kinds), len(kinds)))
        params = [draw(values[kind.rstrip("?")]) for kind in kinds[:given]]
    for _ in range(draw(st.integers(0, 3))):
        params = _spoil(draw, params)
    if draw(st.integers(0, 3)) or not isinstance(params, list):
        return {"method": method.name, "params": params}
    names = [param.name for param in method.params]
    by_name = dict(zip(names, params, strict=False))
    if draw(st.integers(0, 5)) == 0:
        by_name[draw(st.sampled_from(["", "Address", "0", "params", "🧱" * 30, "x" * 5_000]))] = 1
    return {"method": method.name, "params": by_name}


def _spoil(draw: st.DrawFn, value: Any) -> Any:
    """The value with something in it replaced, left out or added."""
    places = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if places and len(places) < 50 and draw(st.integers(0, 3)):
        place = draw(st.sampled_from(places))
        changed = dict(value) if isinstance(value, dict) else list(value)
        if draw(st.integers(0, 7)) == 0:
            del changed[place]
        else:
            changed[place] = _spoil(draw, changed[place])
        return changed
    if isinstance(value, list) and draw(st.booleans()):
        return [*value, draw(st.sampled_from(WRONG))]
    if isinstance(value, dict) and draw(st.booleans()):
        return {**value, draw(st.sampled_from(["", "to", "gas", "unknown", "🧱"])): draw(st.sampled_from(WRONG))}
    if isinstance(value, str) and value and draw(st.booleans()):
        at = draw(st.integers(0, len(value) - 1))
        return (
            value[:at] + draw(st.sampled_from(["", "x", " ", "ff", "\ud7ff", "0" * 100])) + value[at + draw(st.integers(0, 1)) :]
        )
    return draw(st.sampled_from(WRONG))


def some_hash(number: int) -> str:
    return "0x" + keccak256(b"%d" % number).hex()

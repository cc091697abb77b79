"""What stack.toml may say: the models; `docs/configuration.md` describes every key.

    config = load(Path("stack.toml"))
    config.rollup["alpha"].settlement                     # 'base'

Strict on purpose: a chain's parameters go into its genesis, so a misspelt key must stop the start and not become a default.
What a layer cannot do yet is refused by name. Reading and the line numbers of errors are in `dougong.stack.reading`.
"""

from __future__ import annotations

import hashlib
import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, StringConstraints, Tag
from pydantic_core import PydanticCustomError

from dougong.availability.chain.cosmos_tx import parse_address
from dougong.errors import InvalidInput

__all__ = [
    "LATER",
    "Api",
    "CelestiaAvailability",
    "EmbeddedSettlement",
    "EthereumBlobsAvailability",
    "EthereumSettlement",
    "FeesConfig",
    "RollupConfig",
    "SquareAvailability",
    "StackConfig",
]

# Kinds that the design names and that are not built: refused as such, and never listed as allowed.
LATER: dict[str, frozenset[str]] = {
    "consensus": frozenset({"cometbft"}),
    "execution": frozenset({"exchange", "python"}),
    "proof": frozenset({"fraud", "validity", "hybrid"}),
}

# A rollup's name is its namespace's label, which Celestia limits to 10 bytes.
RollupName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,9}$")]
LayerName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
ChainId = Annotated[int, Field(ge=1, lt=1 << 52)]  # wallets hold chain ids in a double
GasLimit = Annotated[int, Field(ge=5_000_000, le=500_000_000)]
Milliseconds = Annotated[int, Field(ge=50, le=60_000)]
Seconds = Annotated[int, Field(ge=1, le=30 * 86_400)]


def _address(text: str) -> str:
    digits = text[2:]
    if not text.startswith("0x") or len(digits) != 40 or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
        raise PydanticCustomError("address", "an address is 0x and 40 hexadecimal digits")
    return text.lower()


def _listen(text: str) -> str:
    host, _, port = text.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        if host != "localhost":
            raise PydanticCustomError("listen", "an address to listen on is IP:PORT, such as 127.0.0.1:8545") from None
    if not port.isdecimal() or int(port) > 65_535:
        raise PydanticCustomError("listen", "a port is a number from 0 (any free port) to 65535")
    return text


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise PydanticCustomError("ip", "a proxy is named by its IP address") from None


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  reading it is what checks it
    except ValueError as error:
        raise PydanticCustomError("url", "not a URL: {reason}", {"reason": str(error)}) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PydanticCustomError("url", "a node's URL starts with http:// or https:// and names a host")
    return text


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        raise PydanticCustomError("power_of_two", "a square is a power of two shares wide")
    return value


def _written_path(value: object) -> object:
    return Path(value) if isinstance(value, str) and value else value


def _celestia_account(text: str) -> str:
    try:
        parse_address(text)
    except InvalidInput as error:
        raise PydanticCustomError("account", "an account is celestia1…: {reason}", {"reason": str(error)}) from None
    return text


def host_and_port(listen: str) -> tuple[str, int]:
    """Of an address to listen on."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


Address = Annotated[str, AfterValidator(_address)]
Account = Annotated[str, AfterValidator(_celestia_account)]


Blocks = Annotated[int, Field(ge=128, le=10**9)]


class Table(BaseModel):
    """A table of stack.toml: no unknown keys, no conversions, not changed after it was read."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Listen = Annotated[str, AfterValidator(_listen)]


class Api(Table):
    """The one HTTP server: JSON-RPC of every chain, by path, and the node API; and what one client may take of it."""

    listen: Listen = "127.0.0.1:8545"
    client_mib_per_s: Annotated[int, Field(ge=0, le=65_536)] = 32
    client_burst_mib: Annotated[int, Field(ge=1, le=65_536)] = 256
    client_calls: Annotated[int, Field(ge=1, le=4_096)] = 32
    client_requests: Annotated[int, Field(ge=1, le=4_096)] = 256
    client_connections: Annotated[int, Field(ge=1, le=2_048)] = 256
    client_subscriptions: Annotated[int, Field(ge=1, le=65_536)] = 4_096
    client_filters: Annotated[int, Field(ge=1, le=16_384)] = 1_024
    proxies: list[Annotated[str, AfterValidator(_ip)]] = []

    @property
    def host(self) -> str:
        return host_and_port(self.listen)[0]

    @property
    def port(self) -> int:
        return host_and_port(self.listen)[1]


class SquareAvailability(Table):
    """A DA chain of our own in Celestia's formats."""

    kind: Literal["square"]
    consensus: Literal["solo"]
    block_time_ms: Milliseconds = 500
    max_square_size: Annotated[int, Field(ge=1, le=128), AfterValidator(_power_of_two)] = 64
    min_base_fee: Annotated[int, Field(ge=0, le=10**12)] = 4_000_000
    fund: dict[Account, Annotated[int, Field(ge=1, le=10**15)]] = {}
    window_blocks: Annotated[int, Field(ge=16, lt=1 << 52)] | None = None
    window_s: Annotated[int, Field(ge=60, le=100 * 366 * 86_400)] | None = None
    celestia_api: Listen | None = None
    celestia_auth: Literal["all", "writes"] = "all"


class CelestiaAvailability(Table):
    """A Celestia network, through one node of it that is not trusted."""

    kind: Literal["celestia"]
    url: Annotated[str, AfterValidator(_url)]
    chain_id: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,50}$")]
    account: Annotated[str, AfterValidator(_celestia_account)]
    start_height: Annotated[int, Field(ge=1, lt=1 << 52)]
    trusted_height: Annotated[int, Field(ge=1, lt=1 << 52)]
    trusted_hash: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")]
    token_file: Annotated[Path, BeforeValidator(_written_path)] | None = None
    max_blob_bytes: Annotated[int, Field(ge=1_000, le=7 << 20)] = 1_500_000
    gas_price: Annotated[float, Field(ge=0, le=1_000)] = 0.004
    max_gas_price: Annotated[float, Field(gt=0, le=1_000)] | None = None


class EthereumBlobsAvailability(Table):
    """The blobs of an Ethereum chain that the stack settles on: `settlement` is that chain's table. `confirmations`: how many
    blocks lie above one that counts as final, or the chain's own word for it."""

    kind: Literal["ethereum-blobs"]
    settlement: str
    beacon_url: Annotated[str, AfterValidator(_url)] | None = None
    confirmations: Literal["finalized", "safe"] | Annotated[int, Field(ge=0, le=1_000)] = "finalized"


class EmbeddedSettlement(Table):
    """A settlement chain of our own: the EVM application under a consensus."""

    kind: Literal["evm"]
    consensus: Literal["solo"]
    chain_id: ChainId = 900
    block_time_ms: Milliseconds = 500
    gas_limit: GasLimit = 60_000_000
    fund: dict[Address, Annotated[int, Field(ge=1, le=10**12)]] = {}


class EthereumSettlement(Table):
    """Any Ethereum node that answers JSON-RPC."""

    kind: Literal["ethereum"]
    url: Annotated[str, AfterValidator(_url)]
    chain_id: ChainId


def _kind(value: Any) -> str | None:
    return value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)


AvailabilityConfig = Annotated[
    Annotated[SquareAvailability, Tag("square")]
    | Annotated[CelestiaAvailability, Tag("celestia")]
    | Annotated[EthereumBlobsAvailability, Tag("ethereum-blobs")],
    Discriminator(_kind),
]
SettlementConfig = Annotated[
    Annotated[EmbeddedSettlement, Tag("evm")] | Annotated[EthereumSettlement, Tag("ethereum")],
    Discriminator(_kind),
]


class FeesConfig(Table):
    """What the layers' money is worth in a rollup's ether, and how a batch's cost is laid on its transactions."""

    availability_rate: Annotated[float, Field(ge=0, le=10**15)] | None = None
    settlement_rate: Annotated[float, Field(ge=0, le=10**6)] | None = None
    margin_percent: Annotated[int, Field(ge=0, le=1_000)] = 10
    least_batch_bytes: Annotated[int, Field(ge=1, le=1 << 20)] = 4_096


class RollupConfig(Table):
    """A rollup: an execution over a DA layer, settled somewhere, or sovereign when `settlement` is absent."""

    execution: Literal["evm"]
    availability: str
    settlement: str | None = None
    proof: Literal["none"] | None = None
    chain_id: ChainId | None = None
    block_time_ms: Milliseconds = 50
    gas_limit: GasLimit = 30_000_000
    batch_interval_ms: Milliseconds = 1_000
    claim_interval_ms: Milliseconds = 5_000
    blob_budget: Annotated[int, Field(ge=0, le=10**18)] | None = None
    fees: FeesConfig = FeesConfig()
    sequencer: Literal["run", "follow"] = "run"
    sequencer_url: Annotated[str, AfterValidator(_url)] | None = None
    process: bool = False
    history: Literal["archive"] | Blocks = "archive"
    bodies: Literal["archive"] | Blocks = "archive"
    snapshot_interval: Blocks | None = None
    trace_seconds: Annotated[int, Field(ge=1, le=600)] = 30
    trace_bytes: Annotated[int, Field(ge=1 << 10, le=1 << 30)] = 64 << 20
    snapshot: Annotated[Path, BeforeValidator(_written_path)] | None = None
    snapshot_claim: Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{64}$")] | None = None
    challenge_window_s: Seconds | None = None
    force_delay_s: Seconds | None = None
    sequencer_timeout_s: Seconds | None = None
    data_window: Annotated[int, Field(ge=0, le=1 << 32)] | None = None
    fund: dict[Address, Annotated[int, Field(ge=1, le=10**12)]] = {}
    ignore_senders: list[Address] = []

    @property
    def follows(self) -> bool:
        """Whether it stands by for another sequencer."""
        return self.sequencer == "follow"

    @property
    def sovereign(self) -> bool:
        return self.settlement is None

    @property
    def window(self) -> int:
        return self.challenge_window_s or 60

    @property
    def force_delay(self) -> int:
        return self.force_delay_s or 60

    @property
    def sequencer_timeout(self) -> int:
        return self.sequencer_timeout_s or 600


def default_chain_id(name: str) -> int:
    """A chain id of its own for every rollup name: a transaction signed for one rollup must not replay on another."""
    return 1_000_000 + int.from_bytes(hashlib.sha256(b"dougong/chain-id/" + name.encode()).digest()[:8]) % 1_000_000_000


class StackConfig(Table):
    """The whole file. References between tables are checked by `dougong.stack.reading.check`."""

    data_dir: Annotated[Path, BeforeValidator(_written_path)] = Path("dougong-data")
    dev: bool = False
    api: Api = Api()
    availability: dict[LayerName, AvailabilityConfig]
    settlement: dict[LayerName, SettlementConfig] = {}
    rollup: dict[RollupName, RollupConfig] = {}

    def chain_id(self, rollup: str) -> int:
        written = self.rollup[rollup].chain_id
        return default_chain_id(rollup) if written is None else written

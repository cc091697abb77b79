"""What the phases of the demo share: the chains, the people, and the figures that they gather."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dougong.cli.demo.chain import Chain
from dougong.cli.demo.workload import Account, Market, make_accounts
from dougong.errors import ConfigError
from dougong.settlement.client import SettlementClient
from dougong.settlement.transactor import Transactor
from dougong.stack.keys import DEV_ACCOUNTS

__all__ = ["SETTLED", "SOVEREIGN", "Options", "Rollup", "Scene", "write_stack_toml"]

SETTLED, SOVEREIGN = ("alpha", "beta"), "free"
WINDOW_S = 4
LEAST_ACCOUNTS, FUNDERS = 10, 10


@dataclass(frozen=True, slots=True)
class Options:
    """How much: `transactions` in the trading phase over all rollups, from `accounts` accounts."""

    transactions: int = 2_400
    accounts: int = 120

    def __post_init__(self) -> None:
        if self.accounts < LEAST_ACCOUNTS:
            raise ConfigError(f"--accounts {self.accounts}: the demo needs {LEAST_ACCOUNTS} accounts or more")
        if self.transactions < 3 * self.accounts:
            raise ConfigError(
                f"--transactions {self.transactions}: give each of {self.accounts} accounts one on each rollup, or more"
            )
        if self.transactions > 100 * self.accounts:
            raise ConfigError(
                f"--transactions {self.transactions}: an account makes at most 100 of them", remedy="raise --accounts"
            )


@dataclass(slots=True)
class Rollup:
    """One rollup and those who use it. Nonces are a chain's own, so are the accounts."""

    name: str
    chain: Chain
    rollup_id: int | None
    traders: list[Account]
    maker: Account
    silenced: Account
    market: Market | None = None
    share: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Scene:
    """The whole stage. `figures` is what `--json` prints in the end."""

    options: Options
    folder: Path
    api: str
    facts: dict[str, Any]
    base: Chain
    settlement: SettlementClient
    rollups: list[Rollup]
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def settled(self) -> list[Rollup]:
        return [rollup for rollup in self.rollups if rollup.rollup_id is not None]

    @classmethod
    async def open(cls, options: Options, folder: Path, facts: dict[str, Any]) -> Scene:
        base = await Chain.connect(facts["base"]["url"])
        contract = bytes.fromhex(facts["base"]["settlement"][2:])
        settlement = SettlementClient(base.rpc, contract, Transactor(base.rpc, DEV_ACCOUNTS[1], base.chain_id))
        rollups = [await _open_rollup(name, facts[name], options) for name in (*SETTLED, SOVEREIGN)]
        for rollup, share in zip(rollups, _shares(options.transactions, len(rollups)), strict=True):
            rollup.share = share
        api = facts["base"]["url"].rsplit("/", 1)[0]
        return cls(options, folder, api, facts, base, settlement, rollups)

    async def aclose(self) -> None:
        for chain in (self.base, *(rollup.chain for rollup in self.rollups)):
            await chain.aclose()


async def _open_rollup(name: str, facts: dict[str, Any], options: Options) -> Rollup:
    traders = make_accounts(options.accounts)
    maker = make_accounts(1, "maker")[0] if facts["rollup_id"] is not None else Account(DEV_ACCOUNTS[2])
    return Rollup(name, await Chain.connect(facts["url"]), facts["rollup_id"], traders, maker, silenced(), facts=facts)


def silenced() -> Account:
    """Whose transactions alpha's sequencer ignores."""
    return make_accounts(1, "silenced")[0]


def _shares(total: int, parts: int) -> Sequence[int]:
    return [total // parts + (1 if number < total % parts else 0) for number in range(parts)]


def write_stack_toml(path: Path) -> None:
    """The demo's stack: the built-in one with short times, a free port, and a sequencer that ignores somebody."""
    lines = ['data_dir = "data"', "dev = true", "[api]", 'listen = "127.0.0.1:0"']
    lines += ["[availability.square]", 'kind = "square"', 'consensus = "solo"', "block_time_ms = 500"]
    lines += ["[settlement.base]", 'kind = "evm"', 'consensus = "solo"', "block_time_ms = 250"]
    for name in SETTLED:
        lines += [f"[rollup.{name}]", 'execution = "evm"', 'availability = "square"', 'settlement = "base"', 'proof = "none"']
        lines += [f"challenge_window_s = {WINDOW_S}", "force_delay_s = 10", "claim_interval_ms = 1000"]
        lines += [f'ignore_senders = ["0x{silenced().address.hex()}"]']
    lines += [f"[rollup.{SOVEREIGN}]", 'execution = "evm"', 'availability = "square"']
    path.write_text("\n".join(lines) + "\n")

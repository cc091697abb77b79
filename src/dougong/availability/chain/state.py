"""The DA chain's state: what each account holds and signed, the base fee, the supply; and what a block makes of it.

    state = State(store)
    block = state.begin_block()
    block.take(offer)                               # raises Refused: then the transaction leaves no trace
    changes = block.finish(data_root, proposer)
    state.write(height, changes)

A transaction pays its whole fee: the base fee for its gas is burnt, the rest (the tip) goes to the proposer's payout account at
the end of the block, or is burnt if there is none. No money comes into being after genesis, so every sum fits 63 bits.
The app hash is a hash chain over what blocks changed: docs/spec/da-chain.md, "State".
"""

from __future__ import annotations

from dataclasses import dataclass

from dougong.availability.chain.admission import UNFUNDED, WRONG_SEQUENCE, Offer, Refused
from dougong.availability.chain.fees import base_cost, next_base_fee
from dougong.availability.chain.params import SquareParams
from dougong.crypto import merkle
from dougong.crypto.hashing import sha256
from dougong.errors import StoreCorrupt
from dougong.store import Store, height_key

TABLES = ("meta", "accounts")
_TIP, _CHAIN = b"tip", b"chain"
_FEE_BYTES, _AMOUNT_BYTES = 16, 8


@dataclass(frozen=True, slots=True)
class Account:
    """`balance` in utia; `sequence`: that of its next transaction."""

    balance: int = 0
    sequence: int = 0

    def pack(self) -> bytes:
        return self.sequence.to_bytes(8) + self.balance.to_bytes(_AMOUNT_BYTES)


_EMPTY = Account()


@dataclass(frozen=True, slots=True)
class Tip:
    """Where the chain stands. `base_fee`: that of the next block; `used`: bytes of the square by the last block since this was
    opened."""

    height: int
    base_fee: int
    supply: int
    app_hash: bytes
    used: int = 0

    def pack(self) -> bytes:
        figures = self.base_fee.to_bytes(_FEE_BYTES) + self.supply.to_bytes(_AMOUNT_BYTES)
        return height_key(self.height) + figures + self.app_hash

    @classmethod
    def unpack(cls, raw: bytes) -> Tip:
        fee_end, supply_end = 8 + _FEE_BYTES, 8 + _FEE_BYTES + _AMOUNT_BYTES
        return cls(
            int.from_bytes(raw[:8]), int.from_bytes(raw[8:fee_end]), int.from_bytes(raw[fee_end:supply_end]), raw[supply_end:]
        )


@dataclass(frozen=True, slots=True)
class Changes:
    """What a block does to the state. `used`: bytes of the square that were paid for."""

    accounts: dict[bytes, Account]
    base_fee: int
    supply: int
    used: int
    app_hash: bytes


class State:
    """What was committed."""

    def __init__(self, store: Store) -> None:
        """Reads it. Before `start` on a new chain it has no accounts, and the parameters' defaults."""
        self._store = store
        self.chain_id = ""
        self.params = SquareParams()
        self.first_hash = b""
        self.tip = Tip(0, 0, 0, b"")  # replaced as a whole: a block is written in a thread
        self._begun = 0
        chain = store.get("meta", _CHAIN)
        if chain is not None:
            self._configure(chain)

    def start(self, chain_id: str, app_state: bytes) -> bytes:
        """A chain's beginning; may be repeated. Returns the first app hash. Raises `ConfigError`."""
        params = SquareParams.parse(app_state)
        chain = len(chain_id.encode()).to_bytes(1) + chain_id.encode() + app_state
        with self._store.write() as txn:
            txn.put("meta", _CHAIN, chain)
            for address, amount in params.balances().items():
                txn.put("accounts", address, Account(amount).pack())
        self._configure(chain)
        return sha256(app_state)

    def account(self, address: bytes) -> Account:
        value = self._store.get("accounts", address)
        return _EMPTY if value is None else Account(int.from_bytes(value[8:]), int.from_bytes(value[:8]))

    @property
    def seen_height(self) -> int:
        """What `account` answered before is of no later block than this. It may be one above the tip, whose thread has written
        the block and does not say so yet."""
        return max(self.tip.height, self._begun)

    def begin_block(self) -> BlockState:
        if self._store.get("meta", _CHAIN) is None:
            raise StoreCorrupt("a DA chain's application was asked for a block before init_chain")
        return BlockState(self)

    def write(self, height: int, changes: Changes) -> None:
        """Durable when it returns."""
        tip = Tip(height, changes.base_fee, changes.supply, changes.app_hash, changes.used)
        self._begun = height
        with self._store.write() as txn:
            for address, account in changes.accounts.items():
                txn.put("accounts", address, account.pack())
            txn.put("meta", _TIP, tip.pack())
        self.tip = tip

    def _configure(self, chain: bytes) -> None:
        end = 1 + chain[0]
        self.chain_id = chain[1:end].decode()
        self.params = SquareParams.parse(chain[end:])
        self.first_hash = sha256(chain[end:])
        tip = self._store.get("meta", _TIP)
        beginning = Tip(0, self.params.min_base_fee, sum(self.params.accounts.values()), b"")
        self.tip = beginning if tip is None else Tip.unpack(tip)


class BlockState:
    """The state within a block, transaction after transaction. Nothing of it is durable."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._accounts: dict[bytes, Account] = {}
        self._burnt = self._tips = self._used = 0

    def take(self, offer: Offer) -> None:
        """Executes a transaction that is valid by itself. Raises `Refused`, having changed nothing."""
        account = self._account(offer.signer)
        if offer.sequence != account.sequence:
            raise Refused(WRONG_SEQUENCE, f"sequence {offer.sequence} is not {account.sequence}")
        offer.check_fee(self._state.tip.base_fee)
        check_funds(offer.signer, account.balance, offer.spend, offer.fee)
        burnt = base_cost(self._state.tip.base_fee, offer.gas)
        self._accounts[offer.signer] = Account(account.balance - offer.spend, account.sequence + 1)
        self._burnt += burnt
        self._tips += offer.fee - burnt
        self._used += offer.used
        if offer.amount:
            self._credit(offer.recipient, offer.amount)

    def finish(self, data_root: bytes, proposer: bytes) -> Changes:
        """Pays the tips out and moves the base fee."""
        state, params = self._state, self._state.params
        payout = params.payout(proposer)
        if payout is None:
            self._burnt += self._tips
        elif self._tips:
            self._credit(payout, self._tips)
        floor = params.min_base_fee
        base_fee = next_base_fee(state.tip.base_fee, used=self._used, target=params.target_bytes, floor=floor)
        supply = state.tip.supply - self._burnt
        entries = [address + account.pack() for address, account in sorted(self._accounts.items())]
        figures = base_fee.to_bytes(_FEE_BYTES) + supply.to_bytes(_AMOUNT_BYTES)
        app_hash = state.tip.app_hash or state.first_hash
        if entries or (base_fee, supply) != (state.tip.base_fee, state.tip.supply):
            app_hash = sha256(app_hash, data_root, merkle.root(entries), figures)
        # else nothing changed, and the hash says so: a chain without empty blocks then comes to rest
        return Changes(self._accounts, base_fee, supply, self._used, app_hash)

    def _account(self, address: bytes) -> Account:
        return self._accounts[address] if address in self._accounts else self._state.account(address)

    def _credit(self, address: bytes, amount: int) -> None:
        account = self._account(address)
        self._accounts[address] = Account(account.balance + amount, account.sequence)


def check_funds(signer: bytes, balance: int, spend: int, fee: int) -> None:
    """Raises `Refused` when an account cannot pay."""
    if spend > balance:
        raise Refused(UNFUNDED, f"insufficient funds: account {signer.hex()} has {balance}utia and needs {spend}utia", fee)

"""Values of the consensus seam: transactions, proposals, blocks, headers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Validator:
    """A consensus validator: its Ed25519 public key (32 bytes) and voting power."""

    public_key: bytes
    power: int


@dataclass(frozen=True, slots=True)
class CheckTxResult:
    """Verdict on a transaction offered to the mempool. `code` 0 admits it; anything else refuses, `log` says why, and `data`
    says it to machines, in the application's own form."""

    code: int = 0
    log: str = ""
    gas_wanted: int = 0
    priority: int = 0
    data: bytes = b""

    @property
    def accepted(self) -> bool:
        return self.code == 0


@dataclass(frozen=True, slots=True)
class TxResult:
    """Outcome of one transaction of a decided block. `code` 0 means that it took effect."""

    code: int = 0
    data: bytes = b""
    log: str = ""
    gas_wanted: int = 0
    gas_used: int = 0


@dataclass(frozen=True, slots=True)
class AppInfo:
    """Where an application stands: the last height that it committed (0 before the first) and its hash."""

    last_height: int
    app_hash: bytes
    app_version: int


@dataclass(frozen=True, slots=True)
class InitChain:
    """What a new chain starts from. `app_state` is the application's own part of the genesis document (JSON)."""

    chain_id: str
    time_ns: int
    initial_height: int
    validators: tuple[Validator, ...]
    app_state: bytes


@dataclass(frozen=True, slots=True)
class InitChainResult:
    """The app hash before the first block, and the validator set (empty: keep the genesis document's)."""

    app_hash: bytes
    validators: tuple[Validator, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """A block on its way to a decision: what PrepareProposal is asked to fill and ProcessProposal to judge.

    `max_tx_bytes` bounds the sum of the transactions' sizes (0 in ProcessProposal, where it does not apply).
    """

    height: int
    time_ns: int
    txs: tuple[bytes, ...]
    proposer_address: bytes
    max_tx_bytes: int = 0


@dataclass(frozen=True, slots=True)
class DecidedBlock:
    """A block that consensus has decided; the same for every node."""

    height: int
    time_ns: int
    txs: tuple[bytes, ...]
    proposer_address: bytes
    block_hash: bytes


@dataclass(frozen=True, slots=True)
class FinalizeResult:
    """One `TxResult` a transaction, the new app hash, and changes to the validator set (power 0 removes)."""

    tx_results: tuple[TxResult, ...]
    app_hash: bytes
    validator_updates: tuple[Validator, ...] = ()


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """Where a chain stands. `genesis_hash` is the SHA-256 of its genesis document."""

    chain_id: str
    genesis_hash: bytes
    height: int
    block_hash: bytes
    app_hash: bytes
    time_ns: int


@dataclass(frozen=True, slots=True)
class SignedHeader:
    """A header and the commit that decided it, both in CometBFT's protobuf encoding (so that a light client hashes
    exactly what was signed), and the validator set that `header.validators_hash` commits to."""

    height: int
    header: bytes
    commit: bytes
    validators: tuple[Validator, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A decided block as stored: its signed header, its transactions, and their results once executed."""

    signed_header: SignedHeader
    txs: tuple[bytes, ...]
    tx_results: tuple[TxResult, ...] = ()

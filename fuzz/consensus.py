"""CometBFT's formats: headers, commits, blocks, results and genesis documents."""

from __future__ import annotations

from collections.abc import Iterator

from dougong.codec.timestamp import decode_time, encode_time
from dougong.consensus.block import decode_block, decode_results, encode_block, encode_results
from dougong.consensus.commit import BlockIdFlag, Commit, CommitSig, verify_commit
from dougong.consensus.genesis import Genesis
from dougong.consensus.header import BlockId, Header
from dougong.crypto.keys import Ed25519Key
from dougong.types import TxResult, Validator
from fuzz.target import Target, accepted, refused, round_trip

KEY = Ed25519Key(b"\3" * 32)
GENESIS = Genesis.create("fuzz-1", 1_767_323_045_000_000_001, [Validator(KEY.public_key, 10)], app_state={"max_square_size": 8})
BLOCK_ID = BlockId(bytes(range(32)), 1, bytes(range(1, 33)))
HEADER = Header(
    chain_id="fuzz-1",
    height=7,
    time_ns=1_767_323_046_000_000_005,
    last_block_id=BLOCK_ID,
    last_commit_hash=b"\1" * 32,
    data_hash=b"\2" * 32,
    validators_hash=b"\3" * 32,
    next_validators_hash=b"\4" * 32,
    consensus_hash=b"\5" * 32,
    app_hash=b"\6" * 32,
    last_results_hash=b"\7" * 32,
    evidence_hash=b"\x08" * 32,
    proposer_address=b"\x09" * 20,
    app_version=1,
)
COMMIT = Commit(7, 0, BLOCK_ID, (CommitSig(BlockIdFlag.COMMIT, KEY.address, HEADER.time_ns, b"\1" * 64),))


def _check_header(data: bytes) -> None:
    round_trip(Header.decode, Header.encode, data)
    header = accepted(Header.decode, data)
    if header is not None:
        header.hash()


def _check_commit(data: bytes) -> None:
    round_trip(Commit.decode, Commit.encode, data)
    commit = accepted(Commit.decode, data)
    if commit is not None:
        commit.hash()
        assert refused(lambda: verify_commit("fuzz-1", GENESIS.validators, BLOCK_ID, 7, commit)), "a vote of nobody is taken"


def _check_block(data: bytes) -> None:
    round_trip(decode_block, lambda value: encode_block(*value), data)


def _check_results(data: bytes) -> None:
    round_trip(decode_results, lambda value: encode_results(*value), data)


def _check_genesis(data: bytes) -> None:
    genesis = accepted(Genesis.parse, data)
    if genesis is not None:
        assert genesis.raw == data
        assert genesis.init_chain.chain_id == genesis.chain_id
        assert accepted(encode_time, genesis.time_ns) is not None  # type: ignore[arg-type]


def _check_time(data: bytes) -> None:
    round_trip(decode_time, encode_time, data)


TARGETS = (
    Target("consensus-header", _check_header, lambda: [HEADER.encode()]),
    Target("commit", _check_commit, lambda: [COMMIT.encode(), Commit().encode()]),
    Target("block", _check_block, lambda: [encode_block(HEADER, [b"tx", b""], COMMIT), encode_block(HEADER, [], Commit())]),
    Target("results", _check_results, lambda: [encode_results([TxResult(), TxResult(3, b"data", "log", 5, 6)], b"\1" * 32)]),
    Target("genesis", _check_genesis, lambda: _documents(), runs=10_000),
    Target("time", _check_time, lambda: [encode_time(0), encode_time(HEADER.time_ns)]),
)


def _documents() -> Iterator[bytes]:
    yield GENESIS.raw
    yield GENESIS.raw.replace(b'"22020096"', b"1e999")

"""CometBFT's JSON for headers, commits and validator sets, both ways: what its RPC and celestia-node's write.

    shape = header_json(header)
    read_header(shape) == header

Source: CometBFT v0.38 `libs/json` (64-bit integers are strings, hashes upper-case hex, other bytes base64) and the json tags of
`types/block.go`, `types/validator.go`. With `plain` integers are numbers, as Go's own encoder writes them. Readers take either,
ignore what they do not know, and raise `InvalidHeader`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from dougong.codec.timestamp import NANOSECONDS, format_time
from dougong.consensus.commit import MAX_COMMIT_SIGNATURES, BlockIdFlag, Commit, CommitSig
from dougong.consensus.header import BlockId, Header
from dougong.crypto.keys import ed25519_address
from dougong.errors import InvalidHeader, InvalidInput
from dougong.types import Validator

__all__ = ["commit_json", "header_json", "read_commit", "read_header", "read_validators", "validators_json"]

KEY_TYPE = "tendermint/PubKeyEd25519"
_HASHES = ("last_commit", "data", "validators", "next_validators", "consensus")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z\Z", re.ASCII)
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,18})\Z")


def header_json(header: Header, *, plain: bool = False) -> dict[str, object]:
    number: Callable[[int], object] = int if plain else str
    version: dict[str, object] = {"block": number(header.block_version)}
    if header.app_version:
        version["app"] = number(header.app_version)
    return {
        "version": version,
        "chain_id": header.chain_id,
        "height": number(header.height),
        "time": format_time(header.time_ns),
        "last_block_id": _block_id_json(header.last_block_id),
        **{f"{name}_hash": _hex(getattr(header, f"{name}_hash")) for name in _HASHES},
        "app_hash": _hex(header.app_hash),
        "last_results_hash": _hex(header.last_results_hash),
        "evidence_hash": _hex(header.evidence_hash),
        "proposer_address": _hex(header.proposer_address),
    }


def read_header(value: object) -> Header:
    with _translated("header"):
        shape = _object(value)
        version = _object(shape["version"])
        header = Header(
            chain_id=_text(shape["chain_id"]),
            height=_integer(shape["height"]),
            time_ns=_time(shape["time"]),
            last_block_id=_block_id(shape["last_block_id"]),
            last_commit_hash=_unhex(shape["last_commit_hash"]),
            data_hash=_unhex(shape["data_hash"]),
            validators_hash=_unhex(shape["validators_hash"]),
            next_validators_hash=_unhex(shape["next_validators_hash"]),
            consensus_hash=_unhex(shape["consensus_hash"]),
            app_hash=_unhex(shape["app_hash"]),
            last_results_hash=_unhex(shape["last_results_hash"]),
            evidence_hash=_unhex(shape["evidence_hash"]),
            proposer_address=_unhex(shape["proposer_address"]),
            app_version=_integer(version.get("app", 0)),
            block_version=_integer(version["block"]),
        )
    header.check()
    return header


def commit_json(commit: Commit) -> dict[str, object]:
    return {
        "height": str(commit.height),
        "round": commit.round,
        "block_id": _block_id_json(commit.block_id),
        "signatures": [
            {
                "block_id_flag": int(entry.flag),
                "validator_address": _hex(entry.validator_address),
                "timestamp": format_time(entry.time_ns),
                "signature": base64.b64encode(entry.signature).decode() if entry.signature else None,
            }
            for entry in commit.signatures
        ],
    }


def read_commit(value: object) -> Commit:
    with _translated("commit"):
        shape = _object(value)
        entries = shape["signatures"]
        if not isinstance(entries, list) or len(entries) > MAX_COMMIT_SIGNATURES:
            raise InvalidInput(f"it needs a list of at most {MAX_COMMIT_SIGNATURES} signatures")
        signatures = tuple(_signature(_object(entry)) for entry in entries)
        commit = Commit(_integer(shape["height"]), _integer(shape["round"]), _block_id(shape["block_id"]), signatures)
    # One more way through the strict codec, so that no rule of it is written twice.
    return Commit.decode(commit.encode())


def validators_json(validators: Sequence[Validator], proposer: bytes) -> dict[str, object]:
    """`proposer` is the address of the block's proposer. Priorities, which nothing is proven by, are zero."""
    entries = {ed25519_address(validator.public_key): _validator_json(validator) for validator in validators}
    return {"validators": list(entries.values()), "proposer": entries.get(proposer)}


def read_validators(value: object) -> tuple[Validator, ...]:
    """In the order given. Whether they are the header's, its hash says."""
    with _translated("validator set"):
        entries = _object(value)["validators"]
        if not isinstance(entries, list) or len(entries) > MAX_COMMIT_SIGNATURES:
            raise InvalidInput(f"it needs a list of at most {MAX_COMMIT_SIGNATURES} validators")
        return tuple(_validator(_object(entry)) for entry in entries)


# --- parts ----------------------------------------------------------------------------------------------------------


def _validator_json(validator: Validator) -> dict[str, object]:
    return {
        "address": _hex(ed25519_address(validator.public_key)),
        "pub_key": {"type": KEY_TYPE, "value": base64.b64encode(validator.public_key).decode()},
        "voting_power": str(validator.power),
        "proposer_priority": "0",
    }


def _validator(shape: dict[str, Any]) -> Validator:
    key = _object(shape["pub_key"])
    if key["type"] != KEY_TYPE:
        raise InvalidInput(f"a validator's key is of type {str(key['type'])[:40]}")
    return Validator(_unbase64(key["value"]), _integer(shape["voting_power"]))


def _signature(shape: dict[str, Any]) -> CommitSig:
    signature = shape.get("signature")
    return CommitSig(
        BlockIdFlag(_integer(shape["block_id_flag"])),
        _unhex(shape.get("validator_address") or ""),
        _time(shape["timestamp"]),
        _unbase64(signature) if signature else b"",
    )


def _block_id_json(block_id: BlockId) -> dict[str, object]:
    return {"hash": _hex(block_id.hash), "parts": {"total": block_id.parts_total, "hash": _hex(block_id.parts_hash)}}


def _block_id(value: object) -> BlockId:
    shape = _object(value)
    parts = _object(shape["parts"])
    return BlockId(_unhex(shape["hash"]), _integer(parts["total"]), _unhex(parts["hash"]))


def _hex(data: bytes) -> str:
    return data.hex().upper()


def _unhex(value: object) -> bytes:
    return binascii.unhexlify(_text(value))


def _unbase64(value: object) -> bytes:
    return binascii.a2b_base64(_text(value).encode("ascii"), strict_mode=True)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInput("a string is missing")
    return value


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput("an object is missing")
    return value


def _integer(value: object) -> int:
    if isinstance(value, str) and _DECIMAL.match(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise InvalidInput("an integer is missing or out of range")
    return value


def _time(value: object) -> int:
    """RFC 3339 in UTC, to the nanosecond."""
    match = _TIME.match(_text(value))
    if match is None:
        raise InvalidInput("a time is not RFC 3339 in UTC")
    moment = datetime.fromisoformat(match[1]).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (moment.days * 86_400 + moment.seconds) * NANOSECONDS + int((match[2] or "").ljust(9, "0"))


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except InvalidHeader:
        raise
    except KeyError as error:
        raise InvalidHeader(f"a {what} in JSON lacks {error}") from error
    except (InvalidInput, ValueError) as error:
        raise InvalidHeader(f"a {what} in JSON does not read: {error}") from error

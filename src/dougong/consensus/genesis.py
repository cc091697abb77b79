"""The genesis document: CometBFT's JSON, and the one thing that a light client has to be given.

    genesis = Genesis.create("square-1", time_ns, [Validator(key.public_key, 10)], app_state={"size": 64})
    genesis.raw                     # the document as stored and served
    genesis.hash                    # SHA-256 of exactly these bytes

Source: CometBFT v0.38, types/genesis.go (64-bit integers are strings, keys are amino-JSON). Heights start at 1 here, so an
`initial_height` other than 1 is refused, as are vote extensions and key types other than Ed25519.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from dougong.codec.timestamp import NANOSECONDS, format_time
from dougong.consensus.block import MAX_BLOCK_BYTES, ConsensusParams
from dougong.consensus.header import MAX_CHAIN_ID_BYTES
from dougong.consensus.validators import check, ordered
from dougong.crypto.hashing import sha256
from dougong.crypto.keys import ed25519_address
from dougong.errors import ConfigError, InvalidInput
from dougong.types import InitChain, Validator

_KEY_TYPE = "tendermint/PubKeyEd25519"
_FIELDS = {"genesis_time", "chain_id", "initial_height", "consensus_params", "validators", "app_hash", "app_state"}


@dataclass(frozen=True, slots=True)
class Genesis:
    """A parsed genesis document. `validators` are in the set's order, `app_state` is JSON."""

    raw: bytes
    chain_id: str
    time_ns: int
    params: ConsensusParams
    validators: tuple[Validator, ...]
    app_hash: bytes
    app_state: bytes

    @property
    def hash(self) -> bytes:
        return sha256(self.raw)

    @property
    def init_chain(self) -> InitChain:
        return InitChain(self.chain_id, self.time_ns, 1, self.validators, self.app_state)

    @classmethod
    def create(
        cls,
        chain_id: str,
        time_ns: int,
        validators: Sequence[Validator],
        *,
        app_state: object = None,
        params: ConsensusParams | None = None,
    ) -> Genesis:
        """Writes the document and reads it back, so that what is created is what others will parse."""
        params = params or ConsensusParams()
        document = {
            "genesis_time": format_time(time_ns),
            "chain_id": chain_id,
            "initial_height": "1",
            "consensus_params": {
                "block": {"max_bytes": str(params.max_bytes), "max_gas": str(params.max_gas)},
                "evidence": {"max_age_num_blocks": "100000", "max_age_duration": "172800000000000", "max_bytes": "1048576"},
                "validator": {"pub_key_types": ["ed25519"]},
                "version": {"app": str(params.app_version)},
                "abci": {"vote_extensions_enable_height": "0"},
            },
            "validators": [
                {
                    "address": ed25519_address(validator.public_key).hex().upper(),
                    "pub_key": {"type": _KEY_TYPE, "value": base64.b64encode(validator.public_key).decode()},
                    "power": str(validator.power),
                    "name": "",
                }
                for validator in ordered(validators)
            ],
            "app_hash": "",
            "app_state": {} if app_state is None else app_state,
        }
        return cls.parse(_canonical(document))

    @classmethod
    def parse(cls, raw: bytes) -> Genesis:
        """Raises `ConfigError` for a document that CometBFT would not start from, or that we cannot follow."""
        try:
            orjson.loads(raw)  # bounds the nesting, which json leaves to the interpreter's stack
            document = json.loads(raw)
            if not isinstance(document, dict) or set(document) - _FIELDS:
                raise ValueError(f"its fields are not among {', '.join(sorted(_FIELDS))}")
            return cls._from_document(raw, document)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidInput) as error:
            detail = f"the field {error} is missing" if isinstance(error, KeyError) else str(error)
            raise ConfigError(
                f"the genesis document is not valid: {detail}", remedy="take it again from where the chain was set up"
            ) from error

    @classmethod
    def _from_document(cls, raw: bytes, document: dict[str, Any]) -> Genesis:
        chain_id = document["chain_id"]
        if not isinstance(chain_id, str) or not 0 < len(chain_id.encode()) <= MAX_CHAIN_ID_BYTES:
            raise ValueError(f"chain_id is not a text of 1 to {MAX_CHAIN_ID_BYTES} bytes")
        if document.get("initial_height", "1") not in ("1", "0"):
            raise ValueError("initial_height is not 1")
        params = document["consensus_params"]
        if int(params.get("abci", {}).get("vote_extensions_enable_height", "0")):
            raise ValueError("it turns vote extensions on")
        consensus_params = ConsensusParams(
            int(params["block"]["max_bytes"]), int(params["block"]["max_gas"]), int(params.get("version", {}).get("app", "0"))
        )
        if not (consensus_params.max_bytes == -1 or 1024 <= consensus_params.max_bytes <= MAX_BLOCK_BYTES):
            raise ValueError(f"block.max_bytes is not -1 or 1024 to {MAX_BLOCK_BYTES}")
        if not (-1 <= consensus_params.max_gas < 1 << 63 and 0 <= consensus_params.app_version < 1 << 64):
            raise ValueError("block.max_gas or version.app is out of range")
        validators = tuple(_parse_validator(entry) for entry in document["validators"])
        check(validators)
        return cls(
            raw=raw,
            chain_id=chain_id,
            time_ns=_parse_time(document["genesis_time"]),
            params=consensus_params,
            validators=ordered(validators),
            app_hash=bytes.fromhex(document.get("app_hash", "")),
            app_state=_canonical(document.get("app_state", {})),
        )


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _parse_validator(entry: dict[str, Any]) -> Validator:
    key = entry["pub_key"]
    if key["type"] != _KEY_TYPE:
        raise ValueError(f"a validator's key is of type {key['type']}, not {_KEY_TYPE}")
    try:
        public_key = base64.b64decode(key["value"], validate=True)
    except binascii.Error as error:
        raise ValueError(f"a validator's key is not base64: {error}") from error
    address = entry.get("address", "")
    if address and bytes.fromhex(address) != ed25519_address(public_key):
        raise ValueError("a validator's address is not that of its key")
    return Validator(public_key, int(entry["power"]))


def _parse_time(text: str) -> int:
    whole, _, decimals = text.removesuffix("Z").partition(".")
    if not text.endswith("Z") or (decimals and not (decimals.isdigit() and len(decimals) <= 9)):
        raise ValueError("genesis_time is not RFC 3339 in UTC")
    moment = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    return int(moment.timestamp()) * NANOSECONDS + int(decimals.ljust(9, "0") or "0")

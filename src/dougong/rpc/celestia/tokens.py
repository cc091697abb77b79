"""celestia-node's auth tokens: a JSON Web Token (HS256) that names what its bearer may do.

    token = make_token(secret, "write")                         # what `celestia light auth write` prints
    permissions_of(secret, token)                               # frozenset({'public', 'read', 'write'})

Source: celestia-node `api/rpc/perms`, `libs/authtoken`; RFC 7515 and 7519. The claims are `Allow`, a list of levels, a `Nonce`,
and `ExpiresAt`, which is the zero time when the token never ends. Deviations: the header must say HS256 and nothing that would
change how a token is read (`crit`), levels that do not exist are refused, and the signature is compared in constant time.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256

import orjson

from dougong.errors import InvalidInput, Rejected

__all__ = ["LEVELS", "NO_TOKEN", "Permissions", "allowed_by_level", "make_token", "permissions_of", "sign_token"]

Permissions = frozenset[str]

LEVELS = ("public", "read", "write", "admin")
"""From the least to the most; a token for one has those before it too."""

NO_TOKEN: Permissions = frozenset({"public"})
"""What who brings no token may do; no method is public."""

MAX_TOKEN_CHARACTERS = 4_096
_ZERO_TIME = "0001-01-01T00:00:00Z"
_SIGNATURE_BYTES = 32
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+\Z")


def allowed_by_level(level: str) -> Permissions:
    """Raises `InvalidInput` for a level that does not exist."""
    if level not in LEVELS:
        raise InvalidInput(f"{level[:40]} is not a level", remedy=f"levels are: {', '.join(LEVELS)}")
    return frozenset(LEVELS[: LEVELS.index(level) + 1])


def make_token(secret: bytes, level: str, *, seconds: float = 0) -> str:
    """A token for a level and those below it; `seconds` until it ends, 0 for never."""
    return sign_token(secret, sorted(allowed_by_level(level), key=LEVELS.index), seconds=seconds)


def sign_token(secret: bytes, permissions: Iterable[str], *, seconds: float = 0) -> str:
    """A token for exactly these permissions. Raises `InvalidInput` for one that does not exist."""
    allow = [level for level in permissions if allowed_by_level(level)]
    ends = datetime.fromtimestamp(time.time() + seconds, UTC).isoformat().replace("+00:00", "Z") if seconds else _ZERO_TIME
    claims = {"Allow": allow, "Nonce": base64.b64encode(os.urandom(32)).decode(), "ExpiresAt": ends}
    head = _segment(orjson.dumps({"alg": "HS256", "typ": "JWT"})) + "." + _segment(orjson.dumps(claims))
    return head + "." + _segment(_mac(secret, head))


def permissions_of(secret: bytes, token: str) -> Permissions:
    """What the token allows. Raises `Rejected` for one that this secret did not sign, or that has ended."""
    parts = token.split(".") if len(token) <= MAX_TOKEN_CHARACTERS else []
    if len(parts) != 3 or not all(_SEGMENT.match(part) for part in parts):
        raise Rejected("the token is not a JSON Web Token")
    # The signature first: nothing that an outsider wrote is parsed.
    if not hmac.compare_digest(_mac(secret, f"{parts[0]}.{parts[1]}"), _bytes(parts[2])):
        raise Rejected("the token was not signed by this node")
    header, claims = _object(parts[0]), _object(parts[1])
    if header.get("alg") != "HS256" or header.get("typ", "JWT") != "JWT" or "crit" in header:
        raise Rejected("the token is of another kind than HS256")
    allow = claims.get("Allow")
    if not isinstance(allow, list) or any(level not in LEVELS for level in allow):
        raise Rejected("the token names permissions that do not exist")
    if _ended(claims.get("ExpiresAt", _ZERO_TIME)):
        raise Rejected("the token has ended")
    return frozenset(allow)


def _ended(text: object) -> bool:
    if text == _ZERO_TIME:
        return False
    try:
        ends = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        ends = None
    # What does not say clearly when it ends has ended.
    return ends is None or ends.tzinfo is None or ends <= datetime.now(UTC)


def _mac(secret: bytes, text: str) -> bytes:
    return hmac.digest(secret, text.encode("ascii"), sha256)


def _segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(segment: str) -> bytes:
    try:
        data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        data = b""
    return data if _segment(data) == segment else bytes(_SIGNATURE_BYTES)  # one spelling of a signature only


def _object(segment: str) -> dict[str, object]:
    try:
        found = orjson.loads(_bytes(segment))
    except orjson.JSONDecodeError as error:
        raise Rejected("the token does not read") from error
    if not isinstance(found, dict):
        raise Rejected("the token does not read")
    return found

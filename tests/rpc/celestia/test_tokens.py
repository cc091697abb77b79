"""Tokens: what a forger, a thief of an old one and an optimist get."""

from __future__ import annotations

import base64
import hmac
import json
from hashlib import sha256

import pytest

from dougong.errors import InvalidInput, Rejected
from dougong.rpc.celestia.tokens import LEVELS, make_token, permissions_of, sign_token

SECRET = b"s" * 32


def forged(header: object, claims: object, secret: bytes = SECRET) -> str:
    def segment(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    head = segment(json.dumps(header).encode()) + "." + segment(json.dumps(claims).encode())
    return head + "." + segment(hmac.digest(secret, head.encode(), sha256))


HS256 = {"alg": "HS256", "typ": "JWT"}


@pytest.mark.parametrize("number", range(len(LEVELS)))
def test_a_token_has_its_level_and_those_below(number: int) -> None:
    assert permissions_of(SECRET, make_token(SECRET, LEVELS[number])) == frozenset(LEVELS[: number + 1])


def test_a_token_of_celestia_node_reads() -> None:
    """As celestia-node v0.32 writes it: Go's names, the zero time, a nonce in base64."""
    claims = {"Allow": ["public", "read"], "Nonce": base64.b64encode(bytes(32)).decode(), "ExpiresAt": "0001-01-01T00:00:00Z"}
    assert permissions_of(SECRET, forged({"alg": "HS256", "typ": "JWT"}, claims)) == {"public", "read"}
    assert permissions_of(SECRET, forged({"alg": "HS256", "typ": "JWT"}, {"Allow": ["admin"]})) == {"admin"}


def test_our_token_is_one_that_others_read() -> None:
    head, claims, _ = make_token(SECRET, "write").split(".")
    assert json.loads(base64.urlsafe_b64decode(head + "==")) == HS256
    found = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert (found["Allow"], found["ExpiresAt"]) == (["public", "read", "write"], "0001-01-01T00:00:00Z")


def unsigned(header: object, claims: object) -> str:
    return ".".join([*forged(header, claims).split(".")[:2], ""])


ADMIN = {"Allow": ["public", "read", "write", "admin"]}
BAD = {
    "nothing": "",
    "no token": "hello",
    "another secret": make_token(b"t" * 32, "admin"),
    "no signature": unsigned({"alg": "none"}, ADMIN),
    "alg none, signed": forged({"alg": "none", "typ": "JWT"}, ADMIN),
    "another algorithm": forged({"alg": "HS512", "typ": "JWT"}, ADMIN),
    "an algorithm in lower case": forged({"alg": "hs256"}, ADMIN),
    "no algorithm": forged({"typ": "JWT"}, ADMIN),
    "an extension that must be understood": forged({**HS256, "crit": ["exp"]}, ADMIN),
    "a level that does not exist": forged(HS256, {"Allow": ["root"]}),
    "a level that is no text": forged(HS256, {"Allow": [["admin"]]}),
    "no levels": forged(HS256, {}),
    "no list": forged(HS256, {"Allow": "admin"}),
    "no claims": forged(HS256, [1]),
    "ended": forged(HS256, {**ADMIN, "ExpiresAt": "2020-01-01T00:00:00Z"}),
    "an end that does not read": forged(HS256, {**ADMIN, "ExpiresAt": "soon"}),
    "an end in no zone": forged(HS256, {**ADMIN, "ExpiresAt": "2999-01-01T00:00:00"}),
    "an end that is a number": forged(HS256, {**ADMIN, "ExpiresAt": 99999999999}),
    "four parts": make_token(SECRET, "admin") + ".x",
    "padding": make_token(SECRET, "admin") + "=",
    "not ASCII": make_token(SECRET, "admin") + "é",
    "endless": "a" * 5_000 + ".b.c",
}


@pytest.mark.parametrize("name", BAD)
def test_every_other_token_is_refused(name: str) -> None:
    with pytest.raises(Rejected):
        permissions_of(SECRET, BAD[name])


def test_every_bit_of_a_token_counts() -> None:
    token = make_token(SECRET, "write")
    for index in range(len(token)):
        other = "A" if token[index] != "A" else "B"
        with pytest.raises(Rejected):
            permissions_of(SECRET, token[:index] + other + token[index + 1 :])


def test_a_token_ends() -> None:
    assert "read" in permissions_of(SECRET, make_token(SECRET, "read", seconds=60))
    with pytest.raises(Rejected, match="ended"):
        permissions_of(SECRET, make_token(SECRET, "read", seconds=-1))


def test_levels_that_do_not_exist_are_not_signed() -> None:
    with pytest.raises(InvalidInput):
        make_token(SECRET, "root")
    with pytest.raises(InvalidInput):
        sign_token(SECRET, ["read", "root"])

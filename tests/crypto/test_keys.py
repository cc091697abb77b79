"""Keys and signatures against published vectors, and against malleability."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dougong.crypto.hashing import keccak256, sha256
from dougong.crypto.keys import SECP256K1_ORDER, Ed25519Key, Secp256k1Key, ed25519_verify, recover_address
from dougong.errors import InvalidInput

DIGEST = keccak256(b"dougong")


def test_keccak_is_ethereums_and_sha256_takes_parts() -> None:
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert sha256(b"ab", b"c") == sha256(b"abc")


def test_ed25519_vector_of_rfc_8032() -> None:
    key = Ed25519Key(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert key.public_key.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    signature = key.sign(b"")
    assert signature.hex().startswith("e5564300c360ac729086e2cc806e828a")
    assert ed25519_verify(key.public_key, b"", signature)
    assert not ed25519_verify(key.public_key, b"x", signature)


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_ed25519_verify_never_raises(public_key: bytes, signature: bytes) -> None:
    assert not ed25519_verify(public_key, b"message", signature)


def test_the_first_development_account_of_ethereum_tools() -> None:
    key = Secp256k1Key(bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"))
    assert key.address.hex() == "f39fd6e51aad88f6f4ce6ab8827279cfffb92266"
    assert recover_address(DIGEST, key.sign_digest(DIGEST)) == key.address


@pytest.mark.parametrize("secret", [bytes(32), SECP256K1_ORDER.to_bytes(32), b"short"])
def test_a_secret_out_of_range_is_refused(secret: bytes) -> None:
    with pytest.raises(InvalidInput):
        Secp256k1Key(secret)


def test_the_mirrored_signature_is_refused() -> None:
    signature = Secp256k1Key(b"\1" * 32).sign_digest(DIGEST)
    mirrored_s = SECP256K1_ORDER - int.from_bytes(signature[32:64])
    mirrored = signature[:32] + mirrored_s.to_bytes(32) + bytes([55 - signature[64]])
    with pytest.raises(InvalidInput, match="malleable"):
        recover_address(DIGEST, mirrored)


@given(st.binary(max_size=70))
def test_recovery_of_noise_is_a_typed_error_or_some_address(noise: bytes) -> None:
    with contextlib.suppress(InvalidInput):
        assert len(recover_address(DIGEST, noise)) == 20

"""Keys and signatures, thin over libsodium (Ed25519, for consensus) and libsecp256k1 (for accounts and attestations)."""

from __future__ import annotations

import hashlib

from coincurve import PrivateKey, PublicKey
from coincurve.ecdsa import cdata_to_der, deserialize_compact
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from dougong.crypto.hashing import keccak256
from dougong.errors import InvalidInput

SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class Ed25519Key:
    """A consensus key. `address` is CometBFT's: the first 20 bytes of SHA-256 of the public key."""

    def __init__(self, seed: bytes) -> None:
        self._key = SigningKey(seed)
        self.seed = seed
        self.public_key = bytes(self._key.verify_key)
        self.address = ed25519_address(self.public_key)

    def sign(self, message: bytes) -> bytes:
        return bytes(self._key.sign(message).signature)


def ed25519_address(public_key: bytes) -> bytes:
    return hashlib.sha256(public_key).digest()[:20]


def ed25519_verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        VerifyKey(public_key).verify(message, signature)
    except (BadSignatureError, ValueError, TypeError):
        return False
    return True


class Secp256k1Key:
    """An account key. `address` is Ethereum's: the last 20 bytes of keccak256 of the public key."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != 32 or not 0 < int.from_bytes(secret) < SECP256K1_ORDER:
            raise InvalidInput("a secp256k1 secret is 32 bytes, above zero and below the group's order")
        self._key = PrivateKey(secret)
        self.secret = secret
        self.public_key = self._key.public_key.format(compressed=True)
        self.address = keccak256(self._key.public_key.format(compressed=False)[1:])[12:]

    def sign_digest(self, digest: bytes) -> bytes:
        """65 bytes: r, s (low), v (27 or 28)."""
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([27 + signature[64]])


def recover_address(digest: bytes, signature: bytes) -> bytes:
    """The address that signed. Raises `InvalidInput` for a malformed or high-s signature."""
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise InvalidInput("a recoverable signature is 65 bytes and ends in 27 or 28")
    if int.from_bytes(signature[32:64]) > SECP256K1_ORDER // 2:
        raise InvalidInput("the signature's s is in the upper half: malleable")
    try:
        key = PublicKey.from_signature_and_message(signature[:64] + bytes([signature[64] - 27]), digest, hasher=None)
    except Exception as error:  # coincurve raises bare Exception subclasses for bad points
        raise InvalidInput(f"no key recovers from this signature: {error}") from error
    return keccak256(key.format(compressed=False)[1:])[12:]


def secp256k1_verify(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether a 64-byte signature r ‖ s with low s is that of a compressed public key (33 bytes)."""
    if len(public_key) != 33 or len(signature) != 64 or int.from_bytes(signature[32:]) > SECP256K1_ORDER // 2:
        return False
    try:
        key = PublicKey(public_key)
        return bool(key.verify(cdata_to_der(deserialize_compact(signature)), digest, hasher=None))
    except ValueError:
        return False

"""Who signs what: one key for each role, made at the first start and kept in `data_dir/keys`.

    keys = Keyring.open(data_dir / "keys", dev=False)
    keys.account("sequencer.alpha").address
    keys.validator("square").public_key

A key of its own for each role means that no two services share an account nonce, and that one leaked file is one lost role.
With `dev` the keys follow from public labels: the same on every machine, known to everybody.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from dougong.crypto.keys import Ed25519Key, Secp256k1Key
from dougong.errors import StoreCorrupt, StoreError
from dougong.store.files import write_durably

__all__ = ["DEV_ACCOUNTS", "Keyring"]

# m/44'/60'/0'/0/0..9 of "test test test test test test test test test test test junk", as in Hardhat and Foundry.
DEV_ACCOUNTS = tuple(
    Secp256k1Key(bytes.fromhex(secret))
    for secret in (
        "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
        "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
        "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
        "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
        "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
        "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
        "92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
        "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
        "dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
        "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
    )
)

_ROLE = re.compile(r"[a-z]+[0-9]*\.[a-z0-9-]+")


class Keyring:
    """Keys by role, `KIND.NAME`."""

    def __init__(self, folder: Path, *, dev: bool) -> None:
        self._folder = folder
        self._dev = dev

    @classmethod
    def open(cls, folder: Path, *, dev: bool) -> Keyring:
        """Makes the folder (0700) if need be. Raises `StoreError`."""
        if not dev:
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise StoreError(f"{folder} cannot be made: {error.strerror}", remedy="check the path and its rights") from error
        return cls(folder, dev=dev)

    def validator(self, chain: str) -> Ed25519Key:
        """The consensus key of our validator on a chain."""
        return Ed25519Key(self._secret(f"validator.{chain}"))

    def secret(self, role: str) -> bytes:
        """32 bytes that only this node knows, such as what signs its tokens. With `dev` everybody knows them."""
        return self._secret(role)

    def account(self, role: str) -> Secp256k1Key:
        """The account key of a role such as `sequencer.alpha`."""
        return Secp256k1Key(self._secret(role))

    def _secret(self, role: str) -> bytes:
        if not _ROLE.fullmatch(role):
            raise ValueError(f"{role} is not a role")
        if self._dev:
            return hashlib.sha256(b"dougong/dev-key/" + role.encode()).digest()
        path = self._folder / f"{role}.key"
        try:
            return _read(path) if path.exists() else _make(path)
        except OSError as error:
            raise StoreError(
                f"the key {path} cannot be used: {error.strerror}", remedy="check its rights and the disk"
            ) from error


def _read(path: Path) -> bytes:
    if path.stat().st_mode & 0o077:
        raise StoreError(f"others on this machine can read the key {path}", remedy=f"chmod 600 {path}")
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise StoreCorrupt(f"the key {path} is not 64 hexadecimal digits", remedy="restore it from your backup")
    return bytes.fromhex(text)


def _make(path: Path) -> bytes:
    """Durable before it is used: a chain that names a key which the disk then forgets is lost."""
    secret = os.urandom(32)  # above the group's order once in 2**128 draws; Secp256k1Key would refuse it
    write_durably(path, f"{secret.hex()}\n".encode(), mode=0o600)
    return secret

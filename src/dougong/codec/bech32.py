"""Bech32, as Cosmos chains write addresses: a readable prefix, 20 bytes, and a checksum that catches typing errors.

    >>> encode("celestia", bytes(20))
    'celestia1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqzf30as'
    >>> decode("celestia", encode("celestia", bytes(20))) == bytes(20)
    True

Source: BIP-173. Deviations, as in the Cosmos SDK: no witness version, and upper case is refused.
"""

from __future__ import annotations

from collections.abc import Iterable

from dougong.errors import InvalidInput

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_SYMBOLS = 6
_MAX_CHARACTERS = 90


def encode(prefix: str, data: bytes) -> str:
    symbols = _regroup(data, 8, 5, pad=True)
    check = _polymod([*_expand(prefix), *symbols, *[0] * _CHECKSUM_SYMBOLS]) ^ 1
    symbols += [check >> 5 * (_CHECKSUM_SYMBOLS - 1 - index) & 31 for index in range(_CHECKSUM_SYMBOLS)]
    return prefix + "1" + "".join(_ALPHABET[symbol] for symbol in symbols)


def decode(prefix: str, text: str) -> bytes:
    """Raises `InvalidInput` for another prefix, a wrong checksum, or anything that `encode` does not write."""
    start, data = text[: len(prefix) + 1], text[len(prefix) + 1 :]
    if start != prefix + "1" or not _CHECKSUM_SYMBOLS <= len(data) <= _MAX_CHARACTERS or any(c not in _ALPHABET for c in data):
        raise InvalidInput(f"not an address that starts with {prefix}1")
    symbols = [_ALPHABET.index(character) for character in data]
    if _polymod([*_expand(prefix), *symbols]) != 1:
        raise InvalidInput(f"the address {text} has a wrong checksum")
    return bytes(_regroup(symbols[:-_CHECKSUM_SYMBOLS], 5, 8, pad=False))


def _expand(prefix: str) -> list[int]:
    return [ord(character) >> 5 for character in prefix] + [0] + [ord(character) & 31 for character in prefix]


def _polymod(symbols: Iterable[int]) -> int:
    check = 1
    for symbol in symbols:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ symbol
        for index, value in enumerate(_GENERATOR):
            if top >> index & 1:
                check ^= value
    return check


def _regroup(values: Iterable[int], width: int, new_width: int, *, pad: bool) -> list[int]:
    pending = bits = 0
    groups: list[int] = []
    for value in values:
        pending = pending << width | value
        bits += width
        while bits >= new_width:
            bits -= new_width
            groups.append(pending >> bits & (1 << new_width) - 1)
        pending &= (1 << bits) - 1
    if pad and bits:
        groups.append(pending << new_width - bits & (1 << new_width) - 1)
    elif not pad and (bits >= width or pending):
        raise InvalidInput("an address does not end at a whole byte")
    return groups

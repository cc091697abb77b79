"""Why a contract reverted, in words.

>>> revert_reason(bytes.fromhex("4e487b71") + (0x11).to_bytes(32))
'arithmetic overflow or underflow'

Source: Solidity's ABI for `Error(string)` and `Panic(uint256)`, which Vyper follows (its bare asserts revert without data).
"""

from __future__ import annotations

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

__all__ = ["revert_reason"]

ERROR_SELECTOR = bytes.fromhex("08c379a0")
PANIC_SELECTOR = bytes.fromhex("4e487b71")
PANICS = {
    0x01: "assertion failed",
    0x11: "arithmetic overflow or underflow",
    0x12: "division by zero",
    0x21: "value outside its enum",
    0x31: "pop of an empty array",
    0x32: "index outside the array",
    0x41: "too much memory",
}


def revert_reason(data: bytes | None) -> str:
    """One line. A custom error that is not known here is given by its selector and data."""
    if not data:
        return "no reason given"
    selector, body = data[:4], data[4:]
    try:
        if selector == ERROR_SELECTOR:
            (text,) = decode(["string"], body)
            # A contract chose these characters; they are shown to people and written to logs.
            return "".join(letter if letter.isprintable() else "?" for letter in str(text)[:300])
        if selector == PANIC_SELECTOR:
            (code,) = decode(["uint256"], body)
            return PANICS.get(code, f"panic {code:#x}")
    except (DecodingError, ValueError, OverflowError):
        pass
    return f"custom error 0x{data[:100].hex()}"

"""The cases of ethereum/execution-apis that cannot apply to us, each with its reason. One that passes has no place here."""

from __future__ import annotations

__all__ = ["INAPPLICABLE"]

INAPPLICABLE: dict[str, str] = {
    "eth_sendRawTransaction/send-blob-tx": (
        "our chains take no blob transactions: there is no consensus layer here that would carry their blobs"
    ),
}

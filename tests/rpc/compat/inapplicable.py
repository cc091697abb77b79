"""The cases of ethereum/execution-apis that cannot apply to us, each with its reason. One that passes has no place here."""

from __future__ import annotations

__all__ = ["INAPPLICABLE"]

NO_BLOBS = "our chains take no blob transactions: there is no consensus layer here that would carry their blobs"
NO_ENGINE = "there is no engine API: blocks are made by the rollup's sequencer, or by the consensus that orders the chain"

INAPPLICABLE: dict[str, str] = {
    "eth_sendRawTransaction/send-blob-tx": NO_BLOBS,
    "testing_buildBlockV1/build-block-empty-transactions": NO_ENGINE,
    "testing_buildBlockV1/build-block-from-mempool": NO_ENGINE,
    "testing_buildBlockV1/build-block-invalid-transaction": NO_ENGINE,
    "testing_buildBlockV1/build-block-with-transactions": NO_ENGINE,
}

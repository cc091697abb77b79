"""What a JSON-RPC error object says, and which of the family's errors becomes which code.

The codes: `dougong.net.codes`.
"""

from __future__ import annotations

from dougong.errors import (
    ConfigError,
    DougongError,
    InvalidInput,
    InvalidTransaction,
    NotFound,
    Pruned,
    Rejected,
    StatePruned,
    Unavailable,
)
from dougong.net.codes import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    PRUNED,
    RESOURCE_NOT_FOUND,
    RESOURCE_UNAVAILABLE,
    SERVER_ERROR,
    TRANSACTION_REJECTED,
)

__all__ = ["LONGEST_MESSAGE", "RpcError", "error_of"]

LONGEST_MESSAGE = 1_000


class RpcError(DougongError):
    """A failure that the caller is told of, with its code and, where there is any, data."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data

    def to_json(self) -> dict[str, object]:
        message = str(self)
        if len(message) > LONGEST_MESSAGE:  # parsers quote what they were given
            message = message[: LONGEST_MESSAGE - 1] + "…"
        body: dict[str, object] = {"code": self.code, "message": message}
        if self.data is not None:
            body["data"] = self.data
        return body


_CODES: tuple[tuple[type[DougongError], int], ...] = (
    (InvalidTransaction, SERVER_ERROR),
    (ConfigError, INTERNAL_ERROR),
    (InvalidInput, INVALID_PARAMS),
    (StatePruned, SERVER_ERROR),
    (Pruned, PRUNED),
    (NotFound, RESOURCE_NOT_FOUND),
    (Unavailable, RESOURCE_UNAVAILABLE),
    (Rejected, TRANSACTION_REJECTED),
)


def error_of(error: Exception) -> RpcError:
    """The answer to a failure. What is not the caller's business stays here: such a caller learns "internal error" only."""
    if isinstance(error, RpcError):
        return error
    for kind, code in _CODES:
        if isinstance(error, kind) and code != INTERNAL_ERROR:
            return RpcError(code, f"{error}: {error.remedy}" if error.remedy else str(error))
    return RpcError(INTERNAL_ERROR, "internal error")

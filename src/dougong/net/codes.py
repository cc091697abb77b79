"""JSON-RPC error codes. Sources: JSON-RPC 2.0 section 5.1; EIP-1474 for −32000 to −32005; go-ethereum for 3 (a call reverted);
EIP-7966 for 4 (no receipt in time) and 5 (waits behind a missing nonce); Ethereum's execution-apis for 4444 (pruned history)."""

from __future__ import annotations

REVERTED = 3
SYNC_TIMEOUT = 4
NOT_READY = 5
PRUNED = 4444
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
SERVER_ERROR = -32000
RESOURCE_NOT_FOUND = -32001
RESOURCE_UNAVAILABLE = -32002
TRANSACTION_REJECTED = -32003
LIMIT_EXCEEDED = -32005

# pragma version 0.4.3
"""
@title Inbox: messages to a rollup, in order
@notice docs/spec/derivation.md, "Inbox". The contract keeps the hash chain after every message, so that batches and claims may stop
        at any of them; the payloads are in the log.
"""

import registry

uses: registry

event MessageEnqueued:
    rollup_id: indexed(uint256)
    index: indexed(uint256)
    kind: uint8
    sender: address
    timestamp: uint256
    payload: Bytes[MAX_FORCED_BYTES]

DEPOSIT: constant(uint8) = 0
FORCED_TRANSACTION: constant(uint8) = 1
MAX_FORCED_BYTES: constant(uint256) = 16384

message_count: public(HashMap[uint256, uint256])
# rollup -> n -> the accumulator over the first n messages
inbox_accumulator: public(HashMap[uint256, HashMap[uint256, bytes32]])
# rollup -> index -> time << 64 | block number, so that a reader knows where to look for the payload
_enqueued: HashMap[uint256, HashMap[uint256, uint256]]


@external
def force(rollup_id: uint256, transaction: Bytes[MAX_FORCED_BYTES]) -> uint256:
    """
    @notice Puts a user's signed transaction into the rollup's inbox, past the sequencer. Returns the message's index.
    """
    registry._require_rollup(rollup_id)
    assert len(transaction) > 0, "no transaction"
    return self._enqueue(rollup_id, FORCED_TRANSACTION, transaction)


@external
@view
def message_time(rollup_id: uint256, index: uint256) -> uint256:
    return self._time(rollup_id, index)


@external
@view
def message_block(rollup_id: uint256, index: uint256) -> uint256:
    """
    @notice The number of the settlement block whose log holds the message.
    """
    return self._enqueued[rollup_id][index] & (2**64 - 1)


@internal
def _enqueue(rollup_id: uint256, kind: uint8, payload: Bytes[MAX_FORCED_BYTES]) -> uint256:
    index: uint256 = self.message_count[rollup_id]
    assert index < 2**64 - 1, "the inbox is full"
    leaf: bytes32 = sha256(
        concat(
            convert(kind, bytes1),
            convert(convert(index, uint64), bytes8),
            convert(convert(block.timestamp, uint64), bytes8),
            convert(msg.sender, bytes20),
            sha256(payload),
        )
    )
    self.inbox_accumulator[rollup_id][index + 1] = sha256(concat(self.inbox_accumulator[rollup_id][index], leaf))
    self._enqueued[rollup_id][index] = block.timestamp << 64 | block.number
    self.message_count[rollup_id] = index + 1
    log MessageEnqueued(
        rollup_id=rollup_id, index=index, kind=kind, sender=msg.sender, timestamp=block.timestamp, payload=payload
    )
    return index


@internal
@view
def _time(rollup_id: uint256, index: uint256) -> uint256:
    return self._enqueued[rollup_id][index] >> 64

# pragma version 0.4.3
"""
@title Batches: which data a rollup's chain is made of
@notice docs/spec/derivation.md, "Batch accumulator". A reference is taken only with a proof that the data is published (by the
        attestors of the rollup's DA chain, not long ago, or by this very transaction, which carries it in blobs), so no batch can
        stall a rollup; and it must take along every inbox message that is overdue, so no sequencer can silence a user.
        Who appends names the index that the batch must get: a transaction that is sent twice, or crosses another's, fails.
"""

import inbox
import registry
import shares
import merkle
import IAttestations

uses: registry
uses: inbox

struct Placement:
    height: uint256
    data_root: bytes32
    start_share: uint256
    share_count: uint256

struct AvailabilityProof:
    attested_height: uint256
    history: DynArray[bytes32, merkle.MAX_DEPTH]    # data root -> the root attested at `attested_height`
    share: Bytes[shares.SHARE_BYTES]                # the batch's first share
    row_path: Bytes[shares.ROW_PATH_BYTES]          # share -> row root
    square_path: DynArray[bytes32, merkle.MAX_DEPTH]    # row root -> data root

# Of one transaction. Ethereum allows 6 (EIP-7594); a contract that nobody can change leaves room.
MAX_BLOBS: constant(uint256) = 64

event BatchAppended:
    rollup_id: indexed(uint256)
    index: indexed(uint256)
    da_id: bytes32
    height: uint256
    data_root: bytes32
    start_share: uint256
    share_count: uint256
    inbox_end: uint256
    timestamp: uint256

batch_count: public(HashMap[uint256, uint256])
# rollup -> n -> the accumulator over the first n batches
batch_accumulator: public(HashMap[uint256, HashMap[uint256, bytes32]])
# rollup -> n -> inbox messages consumed by the first n batches << 64 | block number of the nth, so that a reader finds its log
_consumed: HashMap[uint256, HashMap[uint256, uint256]]


@external
@nonreentrant
def append_batch(
    rollup_id: uint256, index: uint256, inbox_end: uint256, placement: Placement, proof: AvailabilityProof
):
    """
    @notice Appends a batch whose first share provably lies at `placement`, in the rollup's namespace, under a data root that the
            attestors signed. Its height must not lie deeper than the rollup's data window below the last one that they signed:
            what a DA chain has pruned nobody could derive, nor dispute a claim about.
    """
    self._require_appender(rollup_id)
    # Field by field: the whole registration has ten slots.
    namespace: uint256 = convert(registry.rollups[rollup_id].namespace, uint256)
    attestations: IAttestations = IAttestations(registry.rollups[rollup_id].attestations)
    assert attestations.address != empty(address), "this rollup's data lies in blobs"
    shares._require_sequence(proof.share, namespace, placement.share_count)
    data_root: bytes32 = shares._data_root(
        proof.share, placement.start_share, placement.share_count, proof.row_path, proof.square_path
    )
    assert data_root == placement.data_root and data_root != empty(bytes32), "the share is not under the data root"
    assert staticcall attestations.verify_data_root(
        proof.attested_height, placement.height, data_root, proof.history
    ), "the data root is not attested"
    # Attested, so not above the last height.
    window: uint256 = registry.rollups[rollup_id].data_window
    if window > 0:
        assert staticcall attestations.last_height() - placement.height <= window, "the data is too old"
    self._append(rollup_id, index, registry.rollups[rollup_id].da_id, inbox_end, placement)


@external
@nonreentrant
def append_blob_batch(rollup_id: uint256, index: uint256, inbox_end: uint256):
    """
    @notice Appends a batch whose data is all blobs (EIP-4844) of this very transaction: only here does the chain show their versioned
            hashes, whose SHA-256 is the data root. Its height is this block's number.
    """
    self._require_appender(rollup_id)
    da_id: bytes32 = registry.rollups[rollup_id].da_id
    assert da_id == registry._blob_da_id(), "this rollup's data does not lie in blobs"
    hashes: bytes32[MAX_BLOBS] = empty(bytes32[MAX_BLOBS])
    count: uint256 = 0
    for i: uint256 in range(MAX_BLOBS):
        hashes[i] = blobhash(i)
        # Past the last blob the hash is zero, which no versioned hash is.
        if hashes[i] == empty(bytes32):
            break
        count += 1
    assert count > 0, "the transaction carries no blobs"
    assert blobhash(count) == empty(bytes32), "too many blobs"
    self._append(
        rollup_id,
        index,
        da_id,
        inbox_end,
        Placement(
            height=block.number, data_root=sha256(slice(abi_encode(hashes), 0, count * 32)), start_share=0, share_count=count
        ),
    )


@external
@nonreentrant
def append_empty_batch(rollup_id: uint256, index: uint256, inbox_end: uint256):
    """
    @notice Appends a batch without data: it only moves the inbox on.
    """
    self._require_appender(rollup_id)
    self._append(rollup_id, index, registry.rollups[rollup_id].da_id, inbox_end, empty(Placement))


@external
@view
def consumed_messages(rollup_id: uint256, count: uint256) -> uint256:
    """
    @notice How many inbox messages the first `count` batches consume.
    """
    return self._consumed_by(rollup_id, count)


@external
@view
def batch_block(rollup_id: uint256, index: uint256) -> uint256:
    """
    @notice The number of the settlement block whose log holds the batch reference.
    """
    return self._consumed[rollup_id][index + 1] & (2**64 - 1)


@external
@view
def open_to_all(rollup_id: uint256) -> bool:
    """
    @notice Whether anyone may append now, because the sequencer has left a message lying for too long.
    """
    return self._open_to_all(rollup_id)


@internal
@view
def _consumed_by(rollup_id: uint256, count: uint256) -> uint256:
    return self._consumed[rollup_id][count] >> 64


@internal
@view
def _open_to_all(rollup_id: uint256) -> bool:
    waiting: uint256 = self._consumed_by(rollup_id, self.batch_count[rollup_id])
    if waiting == inbox.message_count[rollup_id]:
        return False
    patience: uint256 = registry.rollups[rollup_id].force_delay + registry.rollups[rollup_id].sequencer_timeout
    return block.timestamp > inbox._time(rollup_id, waiting) + patience


@internal
@view
def _require_appender(rollup_id: uint256):
    registry._require_rollup(rollup_id)
    assert msg.sender == registry.rollups[rollup_id].sequencer or self._open_to_all(rollup_id), "only the sequencer appends"


@internal
def _append(rollup_id: uint256, index: uint256, da_id: bytes32, inbox_end: uint256, placement: Placement):
    assert index == self.batch_count[rollup_id], "another batch has this index"
    message_count: uint256 = inbox.message_count[rollup_id]
    assert inbox_end >= self._consumed_by(rollup_id, index), "the inbox end went back"
    assert inbox_end <= message_count, "the inbox end is past the inbox"
    if inbox_end < message_count:
        # Times rise with the index: if the first message left out is not overdue, none is.
        due: uint256 = inbox._time(rollup_id, inbox_end) + registry.rollups[rollup_id].force_delay
        assert block.timestamp <= due, "an overdue message is left out"

    reference: Bytes[104] = concat(
        da_id,
        convert(convert(placement.height, uint64), bytes8),
        placement.data_root,
        convert(convert(placement.start_share, uint32), bytes4),
        convert(convert(placement.share_count, uint32), bytes4),
        convert(convert(inbox_end, uint64), bytes8),
        convert(convert(block.timestamp, uint64), bytes8),
    )
    self.batch_accumulator[rollup_id][index + 1] = sha256(concat(self.batch_accumulator[rollup_id][index], reference))
    self._consumed[rollup_id][index + 1] = inbox_end << 64 | block.number
    self.batch_count[rollup_id] = index + 1
    log BatchAppended(
        rollup_id=rollup_id,
        index=index,
        da_id=da_id,
        height=placement.height,
        data_root=placement.data_root,
        start_share=placement.start_share,
        share_count=placement.share_count,
        inbox_end=inbox_end,
        timestamp=block.timestamp,
    )

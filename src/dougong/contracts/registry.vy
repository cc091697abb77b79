# pragma version 0.4.3
"""
@title Registry: what each rollup is
@notice A rollup's configuration never changes after its registration and has no owner. Two things move: the sequencer hands its key
        over itself, in two steps, so that a mistyped address locks nobody out.
"""

import IAttestations

struct Rollup:
    namespace: bytes29            # where its batches lie; version 0, not a reserved one
    attestations: address         # who vouches for the data roots of its DA chain; zero: its data lies in this chain's own blobs
    da_id: bytes32                # that chain, as the attestations contract names it; or these blobs
    sequencer: address
    verifier: address             # who knows whether its claims hold; see IVerifier.vyi
    genesis_state: bytes32        # the first claim's pre-state
    spec_version: uint256
    force_delay: uint256          # seconds after which a batch may no longer skip an inbox message
    sequencer_timeout: uint256    # seconds past that after which anyone may append
    data_window: uint256          # how many DA heights below the last attested one a batch's data may lie; 0: as deep as it likes

event RollupRegistered:
    rollup_id: indexed(uint256)
    registrant: indexed(address)
    config: Rollup

event SequencerOffered:
    rollup_id: indexed(uint256)
    successor: indexed(address)

event SequencerChanged:
    rollup_id: indexed(uint256)
    sequencer: indexed(address)

MAX_DELAY: constant(uint256) = 30 * 86400
# What is above it bounds nothing: a DA chain of ten blocks a second takes 13 years to it.
MAX_DATA_WINDOW: constant(uint256) = 2**32
BLOB_DOMAIN: constant(Bytes[22]) = b"dougong/ethereum-blobs"

# Ids count from 1.
rollup_count: public(uint256)
rollups: public(HashMap[uint256, Rollup])
successors: public(HashMap[uint256, address])


@external
def register(config: Rollup) -> uint256:
    """
    @notice Anyone may register; what is registered here can harm only those who use it. `config.da_id` must be what
            `config.attestations` answers. Without attestations the rollup's data lies in the blobs of this chain's transactions, and
            `config.da_id` must say so; nothing else may, so that a reference's DA id tells how it was proven.
    """
    # One comparison says: version 0, 18 zero bytes, a 10-byte id above the reserved ones.
    namespace: uint256 = convert(config.namespace, uint256)
    assert namespace > 255 and namespace < 2**80, "not a user namespace"
    assert config.verifier.is_contract, "no verifier contract"
    assert config.sequencer != empty(address), "no sequencer"
    assert config.genesis_state != empty(bytes32), "no genesis state"
    assert config.spec_version != 0, "no spec version"
    assert config.force_delay <= MAX_DELAY, "force delay above 30 days"
    assert config.sequencer_timeout <= MAX_DELAY, "sequencer timeout above 30 days"
    assert config.data_window <= MAX_DATA_WINDOW, "data window above 2^32 heights"
    if config.attestations == empty(address):
        assert config.da_id == self._blob_da_id(), "not this chain's blobs"
        # Their height is the block that appends them: a bound would say nothing, and would look like one.
        assert config.data_window == 0, "blobs have no data window"
    else:
        assert config.attestations.is_contract, "no attestations contract"
        assert config.da_id != self._blob_da_id(), "blobs are not attested"
        assert staticcall IAttestations(config.attestations).DA_ID() == config.da_id, "another DA chain"

    self.rollup_count += 1
    rollup_id: uint256 = self.rollup_count
    self.rollups[rollup_id] = config
    log RollupRegistered(rollup_id=rollup_id, registrant=msg.sender, config=config)
    return rollup_id


@external
def offer_sequencer(rollup_id: uint256, successor: address):
    """
    @notice The sequencer names its successor, who takes over with `accept_sequencer`; zero withdraws the offer.
    """
    assert msg.sender == self.rollups[rollup_id].sequencer, "only the sequencer hands over"
    self.successors[rollup_id] = successor
    log SequencerOffered(rollup_id=rollup_id, successor=successor)


@external
def accept_sequencer(rollup_id: uint256):
    assert msg.sender == self.successors[rollup_id], "not the successor"
    self.successors[rollup_id] = empty(address)
    self.rollups[rollup_id].sequencer = msg.sender
    log SequencerChanged(rollup_id=rollup_id, sequencer=msg.sender)


@internal
@view
def _require_rollup(rollup_id: uint256):
    assert self.rollups[rollup_id].sequencer != empty(address), "no such rollup"


@internal
@view
def _blob_da_id() -> bytes32:
    # Not an immutable: where a fork takes another chain id, blobs there are another layer's.
    return sha256(concat(BLOB_DOMAIN, convert(chain.id, bytes32)))

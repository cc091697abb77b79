# pragma version 0.4.3
"""
@title Claims: what the inputs lead to
@notice docs/spec/claim.md. The contract fixed every input before; it checks that a claim names exactly those and rests on a known claim,
        and leaves the truth of it to the rollup's verifier. Final claims form one chain: when one is final, its siblings are dead.
"""

import batches
import inbox
import registry
import IVerifier

uses: registry
uses: inbox
uses: batches

struct Claim:
    chain_id: uint256
    settlement: address
    rollup_id: uint256
    spec_version: uint256
    parent: bytes32
    pre_state: bytes32
    post_state: bytes32
    batch_start: uint256
    batch_end: uint256
    batch_accumulator: bytes32
    inbox_start: uint256
    inbox_end: uint256
    inbox_accumulator: bytes32
    outbox_root: bytes32

# What later claims and withdrawals ask of a posted one.
struct Posted:
    status: uint256
    rollup_id: uint256
    parent: bytes32
    post_state: bytes32
    batch_end: uint256
    outbox_root: bytes32

event ClaimPosted:
    rollup_id: indexed(uint256)
    claim_id: indexed(bytes32)
    claimer: indexed(address)
    claim: Claim

event ClaimFinalized:
    rollup_id: indexed(uint256)
    claim_id: indexed(bytes32)

event ClaimRejected:
    rollup_id: indexed(uint256)
    claim_id: indexed(bytes32)

UNKNOWN: constant(uint256) = 0
PENDING: constant(uint256) = 1
FINAL: constant(uint256) = 2
REJECTED: constant(uint256) = 3

VERDICT_VALID: constant(uint8) = 1
VERDICT_INVALID: constant(uint8) = 2

posted_claims: public(HashMap[bytes32, Posted])
# rollup -> its last final claim; zero before the first
final_claim: public(HashMap[uint256, bytes32])


@external
@payable
@nonreentrant
def post_claim(claim: Claim) -> bytes32:
    """
    @notice Posts a claim; ether that comes along goes to the verifier, which says what it takes and from whom. Returns the claim id.
    """
    assert claim.chain_id == chain.id, "another chain"
    assert claim.settlement == self, "another contract"
    registry._require_rollup(claim.rollup_id)
    assert claim.spec_version == registry.rollups[claim.rollup_id].spec_version, "another spec version"
    claim_id: bytes32 = sha256(abi_encode(claim))
    assert self.posted_claims[claim_id].status == UNKNOWN, "posted before"

    if claim.parent == empty(bytes32):
        assert claim.pre_state == registry.rollups[claim.rollup_id].genesis_state, "the pre-state is not genesis"
        assert claim.batch_start == 0, "the first claim starts at batch 0"
    else:
        parent: Posted = self.posted_claims[claim.parent]
        assert parent.status == PENDING or parent.status == FINAL, "no such parent"
        assert parent.rollup_id == claim.rollup_id, "the parent is another rollup's"
        assert claim.pre_state == parent.post_state, "the pre-state is not the parent's post-state"
        assert claim.batch_start == parent.batch_end, "the batches do not follow the parent's"
    # What rests on the last final claim, or on one that may still become final, is alive; what has a final sibling is not.
    assert (
        claim.parent == self.final_claim[claim.rollup_id] or self.posted_claims[claim.parent].status == PENDING
    ), "a sibling is final"

    assert claim.batch_end > claim.batch_start, "a claim covers at least one batch"
    assert claim.batch_end <= batches.batch_count[claim.rollup_id], "the batches are not there yet"
    assert claim.batch_accumulator == batches.batch_accumulator[claim.rollup_id][claim.batch_end], "another batch accumulator"
    assert claim.inbox_start == batches._consumed_by(claim.rollup_id, claim.batch_start), "another inbox start"
    assert claim.inbox_end == batches._consumed_by(claim.rollup_id, claim.batch_end), "another inbox end"
    assert claim.inbox_accumulator == inbox.inbox_accumulator[claim.rollup_id][claim.inbox_end], "another inbox accumulator"

    self.posted_claims[claim_id] = Posted(
        status=PENDING,
        rollup_id=claim.rollup_id,
        parent=claim.parent,
        post_state=claim.post_state,
        batch_end=claim.batch_end,
        outbox_root=claim.outbox_root,
    )
    log ClaimPosted(rollup_id=claim.rollup_id, claim_id=claim_id, claimer=msg.sender, claim=claim)
    extcall IVerifier(registry.rollups[claim.rollup_id].verifier).opened(claim.rollup_id, claim_id, msg.sender, value=msg.value)
    return claim_id


@external
@nonreentrant
def finalize(claim_id: bytes32):
    """
    @notice Makes a claim final: its parent is the last final one and the verifier says that it is valid.
    """
    posted: Posted = self.posted_claims[claim_id]
    assert posted.status == PENDING, "not a pending claim"
    assert posted.parent == self.final_claim[posted.rollup_id], "the parent is not the last final claim"
    assert self._verdict(posted.rollup_id, claim_id) == VERDICT_VALID, "not valid yet"
    self.posted_claims[claim_id].status = FINAL
    self.final_claim[posted.rollup_id] = claim_id
    log ClaimFinalized(rollup_id=posted.rollup_id, claim_id=claim_id)


@external
@nonreentrant
def reject(claim_id: bytes32):
    """
    @notice Buries a claim: the verifier says that it is invalid, or it rests on a buried one, or a sibling is final.
    """
    posted: Posted = self.posted_claims[claim_id]
    assert posted.status == PENDING, "not a pending claim"
    parent_status: uint256 = self.posted_claims[posted.parent].status
    dead: bool = parent_status == REJECTED
    if parent_status != PENDING:
        dead = dead or posted.parent != self.final_claim[posted.rollup_id]
    assert dead or self._verdict(posted.rollup_id, claim_id) == VERDICT_INVALID, "not invalid"
    self.posted_claims[claim_id].status = REJECTED
    log ClaimRejected(rollup_id=posted.rollup_id, claim_id=claim_id)


@internal
@view
def _verdict(rollup_id: uint256, claim_id: bytes32) -> uint8:
    return staticcall IVerifier(registry.rollups[rollup_id].verifier).verdict(claim_id)


@internal
@view
def _final_outbox_root(rollup_id: uint256, claim_id: bytes32) -> bytes32:
    assert self.posted_claims[claim_id].rollup_id == rollup_id, "the claim is another rollup's"
    assert self.posted_claims[claim_id].status == FINAL, "the claim is not final"
    return self.posted_claims[claim_id].outbox_root

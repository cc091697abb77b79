# pragma version 0.4.3
# pragma evm-version prague
"""
@title No proof at all
@notice Claims rest on the word of one proposer: what it posts holds once the window has passed. Nobody can object on chain; the window
        is the time that users have to see a false claim coming and, if the rollup let them, leave. `proof = "none"` in stack.toml.
"""

import IVerifier

implements: IVerifier

PENDING: constant(uint8) = 0
VALID: constant(uint8) = 1

SETTLEMENT: public(immutable(address))
PROPOSER: public(immutable(address))
WINDOW: public(immutable(uint256))

# claim id -> the time at which the claim becomes valid; zero for one that this verifier was never told of
valid_from: public(HashMap[bytes32, uint256])


@deploy
def __init__(settlement: address, proposer: address, window: uint256):
    assert settlement.is_contract, "the settlement contract is not there"
    assert proposer != empty(address), "no proposer"
    assert window <= 365 * 86400, "window above a year"
    SETTLEMENT = settlement
    PROPOSER = proposer
    WINDOW = window


@external
@payable
def opened(rollup_id: uint256, claim_id: bytes32, claimer: address):
    assert msg.sender == SETTLEMENT, "only the settlement contract opens"
    assert claimer == PROPOSER, "only the proposer claims"
    assert msg.value == 0, "no bond here"
    self.valid_from[claim_id] = block.timestamp + WINDOW


@external
@view
def verdict(claim_id: bytes32) -> uint8:
    valid_from: uint256 = self.valid_from[claim_id]
    if valid_from == 0 or block.timestamp < valid_from:
        return PENDING
    return VALID

# pragma version 0.4.3
# pragma evm-version prague
"""
@title A verifier that says what it is told to, and may call back while a claim is opened
"""

answer: uint8
target: address
payload: Bytes[2048]
paid: public(uint256)


@external
def say(answer: uint8):
    self.answer = answer


@external
def arm(target: address, payload: Bytes[2048]):
    self.target = target
    self.payload = payload


@external
@payable
def opened(rollup_id: uint256, claim_id: bytes32, claimer: address):
    self.paid += msg.value
    if len(self.payload) > 0:
        raw_call(self.target, self.payload)


@external
@view
def verdict(claim_id: bytes32) -> uint8:
    return self.answer

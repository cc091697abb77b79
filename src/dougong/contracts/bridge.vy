# pragma version 0.4.3
"""
@title Bridge: ether into a rollup and out of it
@notice One balance for each rollup: whatever a rollup's chain or its verifier does, it takes out no more than came in for it. Way in:
        a deposit in the inbox. Way out: a leaf of the outbox under a final claim; every leaf pays once.
"""

import claims
import inbox
import registry

uses: registry
uses: inbox
uses: claims

event Withdrawn:
    rollup_id: indexed(uint256)
    index: indexed(uint256)
    recipient: indexed(address)
    amount: uint256

WEI_PER_GWEI: constant(uint256) = 10**9
OUTBOX_DEPTH: constant(uint256) = 32
MAX_DATA: constant(uint256) = 8192

# rollup -> wei held for it
balances: public(HashMap[uint256, uint256])
# rollup -> index // 256 -> one bit for each outbox message that has paid
_spent: HashMap[uint256, HashMap[uint256, uint256]]


@external
@payable
def deposit(rollup_id: uint256, recipient: address) -> uint256:
    """
    @notice Puts a deposit into the rollup's inbox. Rollups credit whole gwei. Returns the message's index.
    """
    registry._require_rollup(rollup_id)
    assert msg.value > 0 and msg.value % WEI_PER_GWEI == 0, "a deposit is a positive number of gwei"
    amount: bytes8 = convert(convert(msg.value // WEI_PER_GWEI, uint64), bytes8)
    self.balances[rollup_id] += msg.value
    return inbox._enqueue(rollup_id, inbox.DEPOSIT, concat(convert(recipient, bytes20), amount))


@external
@nonreentrant
def withdraw(
    rollup_id: uint256,
    claim_id: bytes32,
    index: uint256,
    sender: address,
    recipient: address,
    amount: uint256,
    proof: bytes32[OUTBOX_DEPTH],
):
    """
    @notice Pays an outbox message out to its recipient. Anyone may bring it, any final claim that covers it will do.
    """
    assert amount > 0, "nothing to withdraw"
    assert self._root_from(index, sender, recipient, amount, sha256(b""), proof) == claims._final_outbox_root(
        rollup_id, claim_id
    ), "the message is not in the outbox"
    bit: uint256 = 1 << (index % 256)
    word: uint256 = self._spent[rollup_id][index // 256]
    assert word & bit == 0, "withdrawn before"
    assert amount <= self.balances[rollup_id], "more than the rollup holds"
    # State first, then the call that hands control away.
    self._spent[rollup_id][index // 256] = word | bit
    self.balances[rollup_id] -= amount
    log Withdrawn(rollup_id=rollup_id, index=index, recipient=recipient, amount=amount)
    raw_call(recipient, b"", value=amount)


@external
@view
def proves_message(
    rollup_id: uint256,
    claim_id: bytes32,
    index: uint256,
    sender: address,
    recipient: address,
    amount: uint256,
    data: Bytes[MAX_DATA],
    proof: bytes32[OUTBOX_DEPTH],
) -> bool:
    """
    @notice Whether the rollup sent this message, for contracts here that act on it. Keeping it from acting twice is theirs.
    """
    return self._root_from(index, sender, recipient, amount, sha256(data), proof) == claims._final_outbox_root(
        rollup_id, claim_id
    )


@external
@view
def is_spent(rollup_id: uint256, index: uint256) -> bool:
    return self._spent[rollup_id][index // 256] >> (index % 256) & 1 == 1


@internal
@pure
def _root_from(
    index: uint256,
    sender: address,
    recipient: address,
    amount: uint256,
    data_hash: bytes32,
    proof: bytes32[OUTBOX_DEPTH],
) -> bytes32:
    # Without this bound one leaf would answer to many indices, and pay at each.
    assert index < 2**OUTBOX_DEPTH, "outside the outbox"
    node: bytes32 = sha256(concat(convert(sender, bytes20), convert(recipient, bytes20), convert(amount, bytes32), data_hash))
    for level: uint256 in range(OUTBOX_DEPTH):
        if (index >> level) & 1 == 0:
            node = sha256(concat(node, proof[level]))
        else:
            node = sha256(concat(proof[level], node))
    return node

# pragma version 0.4.3
# pragma evm-version prague
"""
@title The way out of a rollup
@notice docs/spec/derivation.md, "Outbox". Placed at 0xd0d0000000000000000000000000000000000001 by the genesis block, which also sets
        `root` to the empty tree's. Append-only binary tree of depth 32 over SHA-256, empty leaves zero. Ether that is sent along
        stays here for ever: its twin on settlement is released against the proof.
"""

event MessageSent:
    index: indexed(uint256)
    sender: indexed(address)
    recipient: indexed(address)
    value: uint256
    data: Bytes[MAX_DATA]

DEPTH: constant(uint256) = 32
MAX_DATA: constant(uint256) = 8192

# Read after each block by everyone who derives the rollup; its slot is in the compiled layout.
root: public(bytes32)
count: public(uint256)
# The root of the last full subtree on each level, waiting for its right sibling.
branch: bytes32[DEPTH]


@external
@payable
def withdraw(recipient: address) -> uint256:
    """
    @notice Sends the ether that comes with the call to `recipient` on settlement. Returns the message's index.
    """
    assert msg.value > 0, "nothing to withdraw"
    assert recipient != empty(address), "no recipient"
    return self._append(recipient, msg.value, b"")


@external
def send(recipient: address, data: Bytes[MAX_DATA]) -> uint256:
    """
    @notice Sends data to whoever reads it on settlement. Returns the message's index.
    """
    return self._append(recipient, 0, data)


@internal
def _append(recipient: address, amount: uint256, data: Bytes[MAX_DATA]) -> uint256:
    index: uint256 = self.count
    assert index < 2**DEPTH, "the outbox is full"
    self.count = index + 1

    node: bytes32 = sha256(concat(convert(msg.sender, bytes20), convert(recipient, bytes20), convert(amount, bytes32), sha256(data)))
    empty_node: bytes32 = empty(bytes32)
    # Below the lowest zero bit of the index every branch is full: this leaf's path waits there.
    waiting: bool = True
    for level: uint256 in range(DEPTH):
        if (index >> level) & 1 == 0:
            if waiting:
                self.branch[level] = node
                waiting = False
            node = sha256(concat(node, empty_node))
        else:
            node = sha256(concat(self.branch[level], node))
        empty_node = sha256(concat(empty_node, empty_node))
    self.root = node
    log MessageSent(index=index, sender=msg.sender, recipient=recipient, value=amount, data=data)
    return index

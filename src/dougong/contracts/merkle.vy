# pragma version 0.4.3
"""
@title RFC 6962 paths
@notice SHA-256 trees whose leaves are hashed behind 0x00 and whose nodes behind 0x01, so that neither can pass for the other.
"""

# A history of 2**40 heights, ample; a data root's tree has at most 13 levels.
MAX_DEPTH: constant(uint256) = 40


@internal
@pure
def _node(left: bytes32, right: bytes32) -> bytes32:
    return sha256(concat(0x01, left, right))


@internal
@pure
def _root_from(leaf_hash: bytes32, index: uint256, total: uint256, siblings: DynArray[bytes32, MAX_DEPTH]) -> bytes32:
    """
    @dev The root that the path leads to; zero, which is no root, if its length does not fit index and total.
    """
    if index >= total:
        return empty(bytes32)
    node: bytes32 = leaf_hash
    position: uint256 = index
    last: uint256 = total - 1
    used: uint256 = 0
    for _: uint256 in range(MAX_DEPTH):
        if last == 0:
            break
        # A position that is last and even has no sibling on this level: it is carried up.
        if position & 1 == 1 or position < last:
            if used == len(siblings):
                return empty(bytes32)
            sibling: bytes32 = siblings[used]
            used += 1
            if position & 1 == 1:
                node = self._node(sibling, node)
            else:
                node = self._node(node, sibling)
        position >>= 1
        last >>= 1
    if last != 0 or used != len(siblings):
        return empty(bytes32)
    return node

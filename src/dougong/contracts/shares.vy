# pragma version 0.4.3
"""
@title A share's place under a data root
@notice Celestia's formats: shares of 512 bytes, rows hashed into namespaced Merkle trees (nodes of 90 bytes: lowest namespace, highest
        namespace, SHA-256), row roots and column roots hashed by RFC 6962 into the data root.
@custom:source celestia-app specs "Shares" and "Data Structures"; celestiaorg/nmt v0.24 hasher.go (IgnoreMaxNamespace on)
"""

import merkle

SHARE_BYTES: constant(uint256) = 512
NODE_BYTES: constant(uint256) = 90
# Extended rows of up to 2**11 shares: original squares of up to 1024 x 1024.
MAX_ROW_DEPTH: constant(uint256) = 11
ROW_PATH_BYTES: constant(uint256) = MAX_ROW_DEPTH * NODE_BYTES
# The namespace of erasure-coded shares, 29 bytes of 0xff; it does not raise a node's highest namespace.
PARITY: constant(uint256) = 2**232 - 1


@internal
@pure
def _namespace_at(data: Bytes[SHARE_BYTES], offset: uint256) -> uint256:
    return extract32(data, offset, output_type=uint256) >> 24


@internal
@pure
def _require_sequence(share: Bytes[SHARE_BYTES], namespace: uint256, share_count: uint256):
    """
    @dev The share is in the namespace and is the first of a sequence (a blob) that fills exactly `share_count` shares.
    """
    assert len(share) == SHARE_BYTES, "a share is 512 bytes"
    assert self._namespace_at(share, 0) == namespace, "another namespace"
    info: uint256 = convert(slice(share, 29, 1), uint256)
    assert info & 1 == 1, "not the first share of a blob"
    version: uint256 = info >> 1
    assert version <= 1, "unknown share version"
    size: uint256 = convert(slice(share, 30, 4), uint256)
    assert size > 0, "padding, not a blob"
    # The first share spends 34 bytes on namespace, info and size, and 20 on the signer in version 1; the others 30.
    first: uint256 = 478
    if version == 1:
        first = 458
    needed: uint256 = 1
    if size > first:
        needed = 1 + (size - first + 481) // 482
    assert share_count == needed, "another share count"


@internal
@pure
def _row_root(share: Bytes[SHARE_BYTES], column: uint256, path: Bytes[ROW_PATH_BYTES]) -> Bytes[NODE_BYTES]:
    """
    @dev The root of the row that holds the share at `column`, an original (not an erasure-coded) one. `path` is the siblings,
         90 bytes each, from the leaf up.
    """
    own: Bytes[29] = slice(share, 0, 29)
    node: Bytes[NODE_BYTES] = concat(own, own, sha256(concat(0x00, own, share)))
    left: Bytes[NODE_BYTES] = b""
    right: Bytes[NODE_BYTES] = b""
    for level: uint256 in range(len(path) // NODE_BYTES, bound=MAX_ROW_DEPTH):
        if (column >> level) & 1 == 0:
            left = node
            right = slice(path, level * NODE_BYTES, NODE_BYTES)
        else:
            left = slice(path, level * NODE_BYTES, NODE_BYTES)
            right = node
        right_lowest: uint256 = self._namespace_at(right, 0)
        assert self._namespace_at(left, 29) <= right_lowest, "namespaces out of order"
        highest: Bytes[29] = slice(right, 29, 29)
        if right_lowest == PARITY:
            highest = slice(left, 29, 29)
        node = concat(slice(left, 0, 29), highest, sha256(concat(0x01, left, right)))
    return node


@internal
@pure
def _data_root(
    share: Bytes[SHARE_BYTES],
    start: uint256,
    share_count: uint256,
    row_path: Bytes[ROW_PATH_BYTES],
    square_path: DynArray[bytes32, merkle.MAX_DEPTH],
) -> bytes32:
    """
    @dev The data root of the k x k square that holds the share at `start`, counted along its rows, with room for `share_count`
         from there on. A row of the extended square has 2k leaves, the data root 4k, so the two paths' lengths fix k; that a leaf,
         a node and a root have different lengths and prefixes fixes the paths' lengths.
    """
    depth: uint256 = len(row_path) // NODE_BYTES
    assert depth > 0 and len(row_path) == depth * NODE_BYTES, "a row path is 90 bytes a level"
    assert len(square_path) == depth + 1, "the row path and the square path do not fit"
    width: uint256 = 1 << (depth - 1)
    assert start < width * width and share_count <= width * width - start, "outside the square"
    row_root: Bytes[NODE_BYTES] = self._row_root(share, start % width, row_path)
    return merkle._root_from(sha256(concat(0x00, row_root)), start // width, width * 4, square_path)

"""Bit for bit what Celestia computes: two blocks of its chains, and figures of its Go libraries (vectors/celestia_go.json)."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from dougong.availability import ServedSquare, construct_square, encode_blob_tx, share_commitment
from dougong.availability.square.namespaces import PARITY
from dougong.availability.square.nmt import leaf_node, root_of_nodes, verify_namespace
from dougong.types import Blob, Namespace, NmtProof

GO: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "celestia_go.json").read_text())
SIGNER = hashlib.shake_256(b"signer").digest(20)


def stream(seed: str, size: int) -> bytes:
    return hashlib.shake_256(seed.encode()).digest(size)


def data_root(txs: list[bytes]) -> bytes:
    square = construct_square(txs, max_size=512)
    return ServedSquare.extend(square.data, height=1, time_ns=0).header.data_root


def test_mocha_block_hashes_to_its_data_root(vectors: Path) -> None:
    block = json.loads((vectors / "celestia" / "mocha_block_10383867.json").read_text())
    assert data_root([base64.b64decode(tx) for tx in block["txs"]]).hex() == block["data_hash"].lower()


def test_mainnet_block_of_app_version_1_hashes_to_its_data_root(vectors: Path) -> None:
    block = json.loads(gzip.decompress((vectors / "celestia" / "mainnet_block_408.json.gz").read_bytes()))["block"]
    txs = [base64.b64decode(tx) for tx in block["data"]["txs"]]
    assert construct_square(txs, max_size=512).size == int(block["data"]["square_size"])
    assert data_root(txs) == base64.b64decode(block["header"]["data_hash"])


@pytest.mark.parametrize("k", [1 << bit for bit in range(10)])
def test_extension_and_roots_are_those_of_rsmt2d(k: int) -> None:
    shares = []
    for i in range(k * k):
        shares.append((256 + i // 3).to_bytes(29, "big") + stream(f"{k}/{i}", 483))
    square = ServedSquare.extend(b"".join(shares), height=1, time_ns=0)
    assert square.header.data_root.hex() == GO["extend"][str(k)]


@pytest.mark.parametrize("case", GO["commitments"], ids=lambda case: f"{case['Size']}-v{case['Version']}")
def test_commitments_are_those_of_go_square(case: dict[str, Any]) -> None:
    size, version = case["Size"], case["Version"]
    blob = Blob(Namespace.user(b"dougong"), stream(f"blob/{size}", size), version, SIGNER * version)
    assert share_commitment(blob).hex() == case["Commitment"]


def block_of(seed: int) -> list[bytes]:
    """A block chosen by the bytes of a stream, as the Go program chose it."""
    choices = stream(f"layout/{seed}", 4096)
    position = 0

    def choose(count: int) -> int:
        nonlocal position
        position += 2
        return int.from_bytes(choices[position - 2 : position], "big") % count

    txs = [b"\xff" + stream(f"tx/{seed}/{i}", choose(1500)) for i in range(choose(12))]
    for i in range(choose(10)):
        blobs = []
        for j in range(1 + choose(3)):
            size = 1 + choose([400, 5000, 65536][choose(3)])
            version = choose(2)
            namespace = Namespace.user(bytes([1, choose(7)]))
            blobs.append(Blob(namespace, stream(f"b/{seed}/{i}/{j}", size), version, SIGNER * version))
        txs.append(encode_blob_tx(stream(f"pfb/{seed}/{i}", 100 + choose(400)), blobs))
    return txs


@pytest.mark.parametrize("case", GO["squares"], ids=lambda case: str(case["Seed"]))
def test_layout_is_that_of_go_square(case: dict[str, Any]) -> None:
    txs = block_of(case["Seed"])
    assert len(txs) == case["Txs"]
    square = construct_square(txs, max_size=128)
    assert square.size == case["Size"]
    assert [list(starts) for starts in square.blob_starts] == case["Starts"]
    assert hashlib.sha256(square.data).hexdigest() == case["SharesSha"]


def test_namespace_proofs_are_those_of_nmt() -> None:
    proofs, total = GO["proofs"], 16
    leaves = []
    for i in range(total):
        raw = (10 + 2 * (i // 3)).to_bytes(29, "big") if i < 8 else PARITY.raw
        leaves.append((raw, stream(f"leaf/{i}", 512)))
    root = bytes.fromhex(proofs["root"])
    assert root_of_nodes([leaf_node(raw, share) for raw, share in leaves]) == root
    checked = 0
    for case in proofs["namespaces"]:
        if case["start"] == case["end"]:
            continue  # outside the root's range: nothing to prove
        nodes = tuple(bytes.fromhex(node) for node in case["nodes"])
        proof = NmtProof(case["start"], case["end"], nodes, bytes.fromhex(case["leaf"]))
        namespace = Namespace(case["namespace"].to_bytes(29, "big"))
        shares = [share for raw, share in leaves if raw == namespace.raw]
        verify_namespace(root, namespace, shares, proof, total)
        checked += 1
    assert checked == 5

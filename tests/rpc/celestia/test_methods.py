"""Documented requests and responses, method by method, over HTTP. Shapes: node-rpc-docs.celestia.org, release v0.32."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dougong.availability import ServedSquare, data_root, share_commitment, subtree_roots
from dougong.codec import bech32
from dougong.consensus.cometbft_json import read_commit, read_header, read_validators
from dougong.consensus.commit import verify_commit
from dougong.crypto import merkle
from dougong.crypto.hashing import sha256
from dougong.types import Blob, MerkleProof, Namespace
from tests.rpc.celestia.world import CHAIN_ID, WIDTH, Caller, World, calling, running

NAMESPACE = Namespace.user(b"rollup")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


NS = b64(NAMESPACE.raw)


def blob_shape(data: bytes, namespace: Namespace = NAMESPACE) -> dict[str, object]:
    return {"namespace": b64(namespace.raw), "data": b64(data), "share_version": 0, "commitment": None, "index": -1}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as found:
        yield found


@pytest.fixture
async def node(world: World) -> AsyncIterator[Caller]:
    async with calling(world) as found:
        yield found


async def test_blobs_are_submitted_found_and_proven(node: Caller, world: World) -> None:
    data = b"x" * 1_000
    wanted = share_commitment(Blob(NAMESPACE, data))
    options = {"gas_price": 0.002, "is_gas_price_set": True, "max_gas_price": 0.2, "gas": 142_225}
    height = await node.call("blob.Submit", [blob_shape(b"first"), blob_shape(data)], options)

    found = await node.call("blob.Get", height, NS, b64(wanted))
    assert found.keys() == {"namespace", "data", "share_version", "commitment", "index"}
    assert (found["data"], found["commitment"], found["share_version"]) == (b64(data), b64(wanted), 0)
    square = await world.layer.square(height)
    row, column = divmod(found["index"], 2 * square.size)
    assert square.cell(row, column).share.startswith(NAMESPACE.raw), "the index counts in the extended square"

    every = await node.call("blob.GetAll", height, [NS, b64(Namespace.user(b"other").raw)])
    assert [one["data"] for one in every] == [b64(b"first"), b64(data)]
    assert await node.call("blob.GetAll", height, [b64(Namespace.user(b"other").raw)]) is None

    proof = await node.call("blob.GetProof", height, NS, b64(wanted))
    assert all(one.keys() >= {"start", "end", "nodes", "is_max_namespace_ignored"} for one in proof)
    assert await node.call("blob.Included", height, NS, proof, b64(wanted)) is True
    assert await node.call("blob.Included", height, NS, proof, b64(bytes(32))) is False
    wrong = [{**proof[0], "end": proof[0]["end"] + 1}, *proof[1:]]
    assert (await node.refused("blob.Included", height, NS, wrong, b64(wanted)))["message"] == "blob: invalid proof"
    assert await node.refused("blob.Get", height, NS, b64(bytes(32))) == {"code": 1, "message": "blob: not found"}


async def test_a_commitment_is_proven_under_the_data_root(node: Caller, world: World) -> None:
    blob = Blob(NAMESPACE, b"y" * 9_000)
    height = await node.call("blob.Submit", [blob_shape(blob.data)], None)
    proof = await node.call("blob.GetCommitmentProof", height, NS, b64(share_commitment(blob)))

    roots = [base64.b64decode(root) for root in proof["subtree_roots"]]
    assert roots == subtree_roots(blob)
    assert merkle.root(roots) == share_commitment(blob)
    assert len(proof["subtree_root_proofs"]) == len(proof["row_proof"]["proofs"]) == len(proof["row_proof"]["row_roots"])
    assert base64.b64decode(proof["namespace_id"]) == NAMESPACE.raw[1:]
    assert proof["namespace_version"] == 0
    header = await world.layer.header(height)
    for root, shape in zip(proof["row_proof"]["row_roots"], proof["row_proof"]["proofs"], strict=True):
        siblings = tuple(base64.b64decode(aunt) for aunt in shape["aunts"])
        found = MerkleProof(int(shape["index"]), int(shape["total"]), siblings)
        merkle.verify(header.data_root, base64.b64decode(root), found)


async def test_an_extended_header_has_celestias_fields_and_verifies(node: Caller, world: World) -> None:
    height = await node.call("blob.Submit", [blob_shape(b"data")], None)
    shape = await node.call("header.GetByHeight", height)
    assert shape.keys() >= {"header", "commit", "validator_set", "dah"}
    header = shape["header"]
    assert (header["chain_id"], header["height"]) == (CHAIN_ID, str(height))
    assert header["version"]["block"] == "11"
    assert header["time"].endswith("Z")
    assert header["data_hash"] == header["data_hash"].upper()
    assert shape["commit"]["signatures"][0]["block_id_flag"] == 2
    assert shape["validator_set"]["validators"][0]["pub_key"]["type"] == "tendermint/PubKeyEd25519"
    assert shape["validator_set"]["proposer"] == shape["validator_set"]["validators"][0]

    rows = [base64.b64decode(root) for root in shape["dah"]["row_roots"]]
    columns = [base64.b64decode(root) for root in shape["dah"]["column_roots"]]
    root = data_root(rows, columns)
    assert header["data_hash"] == root.hex().upper(), "celestia-node: dah.hash() == header.data_hash"

    # What was signed has the chain's own data hash, under which the data root is proven.
    commit, validators = read_commit(shape["commit"]), read_validators(shape["validator_set"])
    signed = read_header({**header, "data_hash": shape["consensus"]["data_hash"]})
    assert signed.hash() == commit.block_id.hash
    verify_commit(CHAIN_ID, validators, commit.block_id, height, commit)
    proof = shape["consensus"]["data_root_proof"]
    siblings = tuple(base64.b64decode(aunt) for aunt in proof["aunts"])
    merkle.verify(signed.data_hash, sha256(root), MerkleProof(0, int(proof["total"]), siblings))

    assert await node.call("header.GetByHash", commit.block_id.hash.hex().upper()) == shape
    assert (await node.refused("header.GetByHash", "00" * 32))["message"] == "header: not found"


async def test_headers_by_range_and_of_times_to_come(node: Caller, world: World) -> None:
    await world.chain.wait_for_height(5)
    first = await node.call("header.GetByHeight", 1)
    found = await node.call("header.GetRangeByHeight", first, 5)
    assert [one["header"]["height"] for one in found] == ["2", "3", "4"]
    assert "must be less" in (await node.refused("header.GetRangeByHeight", first, 1))["message"]
    assert (await node.refused("header.GetRangeByHeight", first, 2))["message"] == "empty header range"
    assert "limit" in (await node.refused("header.GetRangeByHeight", first, 67))["message"]
    stranger = {**first, "commit": {**first["commit"], "block_id": {**first["commit"]["block_id"], "hash": "00" * 32}}}
    assert "not the one of this chain" in (await node.refused("header.GetRangeByHeight", stranger, 5))["message"]

    assert (await node.refused("header.GetByHeight", 0))["message"] == "height is equal to 0"
    future = await node.refused("header.GetByHeight", 1_000_000)
    assert future["code"] == 1
    assert future["message"].startswith("header: given height is from the future: networkHeight: ")
    for method in ("blob.GetAll", "share.GetNamespaceData"):
        params = [NS] if method == "blob.GetAll" else NS
        assert "from the future" in (await node.refused(method, 1_000_000, params))["message"]
    head = int((await node.call("header.LocalHead"))["header"]["height"])
    assert (await node.call("header.WaitForHeight", head + 3))["header"]["height"] == str(head + 3)
    assert int((await node.call("header.NetworkHead"))["header"]["height"]) >= head + 3
    assert (await node.call("header.Tail"))["header"]["height"] == "1"
    state = await node.call("header.SyncState")
    assert state.keys() == {"id", "height", "from_height", "to_height", "from_hash", "to_hash", "start", "end"}
    assert await node.call("header.SyncWait") is None


async def test_shares_rows_and_squares(node: Caller, world: World) -> None:
    height = await node.call("blob.Submit", [blob_shape(b"z" * 5_000)], None)
    square = await world.layer.square(height)
    width = 2 * square.size
    assert await node.call("share.SharesAvailable", height) is None
    assert base64.b64decode(await node.call("share.GetShare", height, 0, width - 1)) == square.cell(0, width - 1).share
    samples = await node.call("share.GetSamples", height, [{"row": 0, "col": 1}, {"row": width - 1, "col": 0}])
    assert all(one.keys() == {"share", "proof", "proof_type"} for one in samples)
    assert (samples[0]["proof"]["start"], samples[0]["proof"]["end"]) == (1, 2)
    row = await node.call("share.GetRow", height, width - 1)
    assert (len(row["shares"]), row["side"]) == (width, "BOTH")
    eds = await node.call("share.GetEDS", height)
    assert eds["codec"] == "Leopard"
    shares = [base64.b64decode(share) for share in eds["data_square"]]
    original = b"".join(shares[r * width + c] for r in range(square.size) for c in range(square.size))
    extended = ServedSquare.extend(original, height=height, time_ns=0)
    assert extended.header.data_root == square.header.data_root

    outside: list[tuple[str, list[Any]]] = [
        ("share.GetShare", [width, 0]),
        ("share.GetShare", [-1, 0]),
        ("share.GetRow", [width]),
        ("share.GetRow", [-1]),
        ("share.GetSamples", [[{"row": 0, "col": width}]]),
        ("share.GetRange", [0, square.size**2 + 1]),
        ("share.GetRange", [3, 3]),
        ("share.GetRange", [-1, 1]),
    ]
    for method, params in outside:
        assert (await node.refused(method, height, *params))["code"] == 1, (method, params)
    assert (await node.refused("share.GetRange", height, 0, square.size**2))["message"].startswith("mismatched namespace")


async def test_a_range_and_the_rows_of_a_namespace(node: Caller) -> None:
    height = await node.call("blob.Submit", [blob_shape(b"z" * 5_000)], None)
    rows = await node.call("share.GetNamespaceData", height, NS)
    assert [share for row in rows for share in row["shares"]]
    assert all(row.keys() == {"shares", "proof"} for row in rows)
    header = await node.call("header.GetByHeight", height)
    blob = (await node.call("blob.GetAll", height, [NS]))[0]
    width = len(header["dah"]["row_roots"])
    start = blob["index"] // width * (width // 2) + blob["index"] % width
    found = await node.call("share.GetRange", height, start, start + 11)
    assert found.keys() == {"Shares", "Proof"}
    assert found["Shares"] == found["Proof"]["data"]
    assert found["Proof"].keys() == {"data", "share_proofs", "namespace_id", "row_proof", "namespace_version"}
    assert found["Proof"]["row_proof"].keys() == {"row_roots", "proofs", "start_row", "end_row"}
    bytes.fromhex(found["Proof"]["row_proof"]["row_roots"][0])
    absent = await node.call("share.GetNamespaceData", height, b64(Namespace.user(b"rollua").raw))
    assert all(not row["shares"] and row["proof"].get("leaf_hash") for row in absent)
    for forbidden in (b"\xff" * 29, b"\xff" * 28 + b"\xfe"):
        assert (await node.refused("share.GetNamespaceData", height, b64(forbidden)))["code"] == 1
    pay_for_blobs = await node.call("share.GetNamespaceData", height, b64(bytes(28) + b"\4"))
    assert pay_for_blobs[0]["shares"], "reserved namespaces are read too"


async def test_accounts_and_the_node(node: Caller, world: World) -> None:
    address = await node.call("state.AccountAddress")
    assert bech32.decode("celestia", address) == world.client.address
    assert (await node.call("state.Balance")).keys() == {"denom", "amount"}
    assert (await node.call("state.BalanceForAddress", address))["denom"] == "utia"
    square_blob = {
        "namespace_id": b64(NAMESPACE.raw[1:]),
        "namespace_version": 0,
        "data": b64(b"signed"),
        "share_version": 1,
        "signer": b64(world.client.address),
    }
    sent = await node.call("state.SubmitPayForBlob", [square_blob], {"signer_address": address})
    assert (len(sent["txhash"]), sent["code"]) == (64, 0)
    found = (await node.call("blob.GetAll", sent["height"], [NS]))[0]
    assert (found["share_version"], found["signer"]) == (1, b64(world.client.address))
    other = bech32.encode("celestia", bytes(20))
    assert "signer_address" in (await node.refused("blob.Submit", [blob_shape(b"x")], {"signer_address": other}))["message"]
    assert await node.call("node.Info") == {"type": "Bridge", "api_version": "v0.32.1"}
    assert await node.call("node.Ready") is True
    stats = await node.call("das.SamplingStats")
    assert stats.keys() >= {"head_of_sampled_chain", "head_of_catchup", "network_head_height", "concurrency", "catch_up_done"}
    assert await node.call("das.WaitCatchUp") is None


async def test_what_no_chain_would_take_is_refused(node: Caller) -> None:
    reserved = {**blob_shape(b"x"), "namespace": b64(bytes(28) + b"\4")}
    too_large = blob_shape(bytes(WIDTH * WIDTH * 512))
    for blobs in ([], [blob_shape(b"")], [reserved], [too_large], [{**blob_shape(b"x"), "share_version": 9}], "text"):
        assert (await node.refused("blob.Submit", blobs, None))["code"] in (1, -32602), blobs
    for config in ({"gas": -1}, {"gas_price": "free"}, {"gas_price": 1e300}, {"key_name": "other"}, {"fee_granter_address": "x"}):
        assert (await node.refused("blob.Submit", [blob_shape(b"x")], config))["code"] == -32602, config

"""What a light node never forgets: forks and proofs of bad encoding, whoever tells of them, and how few may."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from dougong.availability import ServedSquare, prove_axis
from dougong.availability.square.shares import split_blob
from dougong.errors import Divergence, Unavailable
from dougong.net.codec import to_json
from dougong.services.nodes.fraud_watch import bad_encoding_proof
from dougong.services.nodes.rejections import ChainRejected
from dougong.services.nodes.remote import REMOTE_TABLES, RemoteSquare
from dougong.store import Store
from dougong.types import BadEncodingProof, Blob, Namespace, SquareNamespaceData
from tests.services.memory_chain import MemoryChain, MemoryNode, badly_encoded, square
from tests.services.test_bad_peers import CALM, CHAIN_OF_6, open_node


async def test_a_fork_that_validators_signed_ends_the_chain_for_ever(tmp_path: Path) -> None:
    other = MemoryChain([square(seed) for seed in range(6)], salt=b"!", forks=4)
    assert other.signed[3] == CHAIN_OF_6.signed[3]
    ours, theirs = MemoryNode(CHAIN_OF_6, "http://ours"), MemoryNode(other, "http://theirs")
    node = await open_node(tmp_path, [ours, theirs])
    with pytest.raises(ChainRejected) as caught:
        while True:
            await node.catch_up()
    rejection = caught.value.rejection
    assert rejection.kind == "fork"
    height = rejection.height
    assert 4 <= height <= 6
    signed = {str(CHAIN_OF_6.signed[height].header), str(other.signed[height].header)}
    assert isinstance(rejection.evidence, dict)
    assert rejection.evidence["ours"] in (to_json(CHAIN_OF_6.signed[height]), to_json(other.signed[height]))
    assert len(signed) == 2
    await node.close()
    again = await open_node(tmp_path, [ours])  # one of them alone is not believed any more either
    with pytest.raises(ChainRejected):
        await again.catch_up()
    assert again.report().rejection is not None
    assert again.height < height
    with pytest.raises(Divergence):
        again.data_root(height)
    await again.close()


def convicted(chain: MemoryChain, height: int) -> BadEncodingProof:
    served = chain.squares[height]
    proof = prove_axis(served.header, 0, 2 * served.size - 1, served.axis_cells(0, 2 * served.size - 1))
    assert proof is not None
    return proof


async def test_what_is_proven_badly_encoded_is_rejected_for_ever_with_all_above(tmp_path: Path) -> None:
    chain = MemoryChain([square(1), square(2), badly_encoded(), square(3), square(4)])
    deceived, knows = MemoryNode(chain, "http://deceived"), MemoryNode(chain, "http://knows")
    node = await open_node(tmp_path, [deceived, knows], chain)
    assert await node.catch_up() == 5, "sampling does not see it"
    knows.fraud = [convicted(chain, 3)]
    with pytest.raises(ChainRejected) as caught:
        await node.catch_up()
    assert (caught.value.height, node.height) == (3, 2)
    assert bad_encoding_proof(caught.value.rejection) == convicted(chain, 3)
    assert deceived.told == [convicted(chain, 3)], "the proof is passed on"
    assert knows.told == []
    report = node.report()
    assert report.rejection is not None
    assert report.height == 2
    assert any("rejected from block 3 on" in line for line in report.verified)
    for height in (3, 4, 5):
        with pytest.raises(ChainRejected):
            await node.square.header(height)
        with pytest.raises(ChainRejected):
            node.data_root(height)
    assert (await node.square.header(2)).height == 2
    await node.close()
    alone = await open_node(tmp_path, [deceived], chain)  # nobody tells it any more
    with pytest.raises(ChainRejected):
        await alone.catch_up()
    assert alone.height == 2
    await alone.close()


async def test_validators_who_sign_bad_blocks_without_end_fill_no_disk(tmp_path: Path) -> None:
    chain = MemoryChain([square(1), *(badly_encoded() for _ in range(9))])
    proofs = [convicted(chain, height) for height in range(2, 11)]
    knows, busy = MemoryNode(chain, "http://knows"), Busy(chain)
    knows.fraud = proofs[:2]
    node = await open_node(tmp_path, [knows, busy], chain)
    for number in range(2, 8):
        with pytest.raises(ChainRejected):
            await node.catch_up()
        knows.fraud = proofs[number : number + 2]
        await node.square.hear()
    assert list(node.square.rejections.all) == [2]
    assert busy.told == proofs[:1], "it was offered until it was taken, and once"
    await node.close()


class Busy(MemoryNode):
    """Checks so many false proofs that it has no time for true ones: the first three times."""

    refused = 0

    async def submit_fraud_proof(self, proof: BadEncodingProof) -> None:
        self.refused += 1
        if self.refused <= 3:
            raise Unavailable("4 fraud proofs are being checked")
        await super().submit_fraud_proof(proof)


async def test_quick_peers_do_not_silence_a_slow_one_that_alone_tells(tmp_path: Path) -> None:
    class Slow(MemoryNode):
        async def _hear(self) -> None:
            await asyncio.sleep(0.03)
            await super()._hear()

    chain = MemoryChain([square(1), square(2), badly_encoded(), square(3)])
    slow, deceived = Slow(chain, "http://slow"), MemoryNode(chain, "http://deceived")
    slow.fraud = [convicted(chain, 3)]
    node = await open_node(tmp_path, [deceived, slow], chain, peers=replace(CALM, hedge_s=0.005))
    with pytest.raises(ChainRejected) as caught:
        for _ in range(5):
            await node.catch_up()
    assert caught.value.height == 3
    await node.close()


async def test_what_no_reader_knows_stops_no_reader(tmp_path: Path) -> None:
    """Validators may order any shares under a namespace: who reads it has one answer, and blames nobody for it."""
    blob = Blob(Namespace.user(b"alpha"), b"ours")
    head = blob.namespace.raw
    odd = [head + bytes([2 << 1 | 1]) + (77).to_bytes(4), head + b"\x00", head + b"\x01" + (5_000).to_bytes(4)]
    first, *rest = [raw.ljust(512, b"\x07") for raw in odd]
    served = ServedSquare.extend(b"".join([first, *split_blob(blob), *rest]), height=0, time_ns=0)
    chain = MemoryChain([served])

    class Reader(MemoryNode):
        async def namespace(self, height: int, namespace: Namespace) -> SquareNamespaceData:
            return self.chain.squares[height].namespace_data(namespace)

    remote = await RemoteSquare.open([Reader(chain)], chain.genesis.hash, config=CALM)
    found = await remote.blobs(1, blob.namespace)
    assert [(one.blob, one.placement.start_share) for one in found.blobs] == [(blob, 1)]
    assert not remote.peers.report()[0].points


async def test_who_knows_beforehand_stops_below(tmp_path: Path) -> None:
    chain = MemoryChain([square(1), square(2), badly_encoded(), square(3)])
    knows = MemoryNode(chain)
    knows.fraud = [convicted(chain, 3)]
    node = await open_node(tmp_path, [knows], chain)
    with pytest.raises(ChainRejected):
        await node.catch_up()
    assert node.height == 2
    await node.close()
    store = Store(tmp_path / "remote", REMOTE_TABLES)
    square_ = await RemoteSquare.open([knows], chain.genesis.hash, store=store, config=CALM)
    with pytest.raises(ChainRejected):
        await square_.header(4)
    store.close()


@pytest.mark.parametrize("false", ["honest block", "other block", "changed", "unknown block", "too many"])
async def test_a_false_proof_costs_the_peer_its_place(tmp_path: Path, false: str) -> None:
    chain = MemoryChain([square(1), badly_encoded(), square(3)])
    proof = convicted(chain, 2)
    honest = chain.squares[3]
    offered = {
        "honest block": BadEncodingProof(3, honest.header.data_root, 0, 3, tuple(honest.axis_cells(0, 3))),
        "other block": replace(proof, height=3),
        "changed": replace(proof, cells=(replace(proof.cells[0], share=bytes(512)), *proof.cells[1:])),
        "unknown block": replace(proof, height=77),
        "too many": proof,
    }[false]
    liar = MemoryNode(chain, "http://liar")
    liar.fraud = [offered] * (5 if false == "too many" else 1)
    node = await open_node(tmp_path, [liar, MemoryNode(chain)], chain)
    assert await node.catch_up() == 3
    assert node.report().rejection is None
    assert node.report().peers[0].dropped
    await node.close()

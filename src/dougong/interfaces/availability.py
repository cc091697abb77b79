"""Publishes blobs, and proves that they were published.

placement = await da.submit(Blob(namespace, data))
header = await da.header(placement.height)
proof = await da.prove(placement)
found = await da.blobs(placement.height, namespace)     # all of them, provably
cell = await da.sample(placement.height, 3, 5)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from dougong.types import Blob, Cell, DataHeader, Namespace, NamespaceData, Placement, ShareProof


@runtime_checkable
class DataAvailability(Protocol):
    """A data availability layer as a rollup or a light node uses it.

    What comes back from a remote layer must have been checked against the header before it is returned: a caller never
    sees an answer that its own proof does not support.
    """

    async def submit(self, blob: Blob) -> Placement:
        """Publishes; returns once the blob is in a final block. May be called concurrently; placements may then come in any
        order. Raises `InvalidBlob` before anything is sent, `Rejected` with the layer's reason, `Unavailable` when the
        outcome is unknown (asking `blobs` tells)."""
        ...

    async def header(self, height: int) -> DataHeader:
        """Raises `NotFound` while the block is not final, `InvalidHeader` if what a peer sent does not verify."""
        ...

    async def latest(self) -> int:
        """The last final height (0 before the first)."""
        ...

    async def blobs(self, height: int, namespace: Namespace) -> NamespaceData:
        """Every blob of the namespace at this height, with completeness proof; none is an answer too."""
        ...

    async def prove(self, placement: Placement) -> ShareProof:
        """The blob's shares under its data root."""
        ...

    async def sample(self, height: int, row: int, column: int) -> Cell:
        """One cell of the extended 2k x 2k square with its proof. Raises `Unavailable` when it is withheld."""
        ...

    async def shares(self, height: int) -> Sequence[bytes]:
        """The whole original square, row by row: for those who check all of it (attestors, full nodes)."""
        ...

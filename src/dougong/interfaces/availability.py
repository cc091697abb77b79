"""Publishes blobs, and proves that they were published.

placement = await da.submit(Blob(namespace, data), budget=(await da.quote(len(data))).price * 2)
header = await da.header(placement.height)
blob = await da.blob(placement, namespace)              # read back, proven
found = await da.blobs(placement.height, namespace)     # all of them, provably
cell = await da.sample(placement.height, 3, 5)
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from dougong.types import Blob, BlobProof, Cell, DataHeader, Namespace, NamespaceData, Placement, Quote


@runtime_checkable
class DataAvailability(Protocol):
    """A data availability layer as a rollup or a light node uses it.

    What comes back from a remote layer must have been checked against the header before it is returned: a caller never
    sees an answer that its own proof does not support. A family of layers adds to the values: a `SquareHeader` is a `DataHeader`.
    """

    async def submit(self, blob: Blob, *, budget: int | None = None) -> Placement:
        """Publishes; returns once the blob is in a final block. May be called concurrently; placements may then come in any
        order. Pays at most `budget` in the layer's smallest unit (None: as configured), raising its bid while it waits if the
        layer asks for more. Raises `InvalidBlob` before anything is sent, `Underpaid` with the price when the budget does not
        reach, `Rejected` with the layer's reason, `Unavailable` when the outcome is unknown (asking `blobs` tells)."""
        ...

    async def quote(self, size: int) -> Quote:
        """What a blob of `size` bytes costs now and how long it waits. Raises `InvalidBlob` for a size that no block takes."""
        ...

    async def latest(self) -> int:
        """The last final height (0 before the first)."""
        ...

    async def header(self, height: int) -> DataHeader:
        """Raises `NotFound` while the block is not final, `InvalidHeader` if what a peer sent does not verify."""
        ...

    async def blobs(self, height: int, namespace: Namespace) -> NamespaceData:
        """Every blob of the namespace at this height, with completeness proof; none is an answer too."""
        ...

    async def blob(self, placement: Placement, namespace: Namespace) -> Blob | None:
        """The one blob of the namespace that fills the placement exactly; None if what lies there is anything else, or the
        block has no such place. Total over what a hostile reference may name: two nodes never disagree about the answer."""
        ...

    async def prove(self, placement: Placement) -> BlobProof:
        """The placement's bytes under its data root. Raises `NotFound` for a place that is not there."""
        ...

    async def sample(self, height: int, row: int, column: int) -> Cell:
        """One cell of the extended data with its proof. Raises `Unavailable` when it is withheld."""
        ...

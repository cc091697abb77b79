"""Every error that Dougong raises on purpose: one family, so that a caller can catch by layer or by cause.

An error names the thing that is wrong, and `remedy` what to do about it. Where an error is evidence (a badly encoded
square, a claim that does not match), the evidence travels in it: the room that raises it subclasses the family here.
"""

from __future__ import annotations


class DougongError(Exception):
    """Base of the family. `str(error)` is one sentence; `remedy` is another, or empty."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class InvalidInput(DougongError):
    """Bytes or values from outside that do not parse or break a rule. Nothing was changed by them."""


class InvalidNamespace(InvalidInput):
    """Not a namespace, or one that this use does not allow (reserved, parity, padding)."""


class InvalidBlob(InvalidInput):
    """A blob that cannot be published: empty, over the limit, unknown share version, signer missing or not wanted."""


class InvalidTransaction(InvalidInput):
    """A transaction that the chain it was sent to will not take."""


class InvalidProof(InvalidInput):
    """A proof that does not show what it was offered for."""


class InvalidSnapshot(InvalidInput):
    """A state to be taken up that is malformed, of another block than the trusted one, or not what its header says."""


class InvalidHeader(InvalidInput):
    """A header or commit that does not follow from the trusted one."""


class ConfigError(InvalidInput):
    """A line of stack.toml or a command-line option that cannot be followed."""


class Unavailable(DougongError):
    """A peer, node or store that did not answer, or does not have the thing (yet). Trying again can help."""


class NotFound(Unavailable):
    """The thing does not exist at the place named."""


class Pruned(NotFound):
    """It was there, and lies outside the window that this node keeps."""


class StatePruned(Pruned):
    """The block is there, and the state after it lies outside the window that this node keeps."""


class Rejected(DougongError):
    """The other side understood and refused: a reverted call, a full mempool, a nonce already used."""


class Underpaid(Rejected):
    """A fee below what the layer asks now. `wanted` is the total that would do, in the layer's smallest unit."""

    def __init__(self, message: str, wanted: int, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.wanted = wanted


class StoreError(DougongError):
    """The local store failed; what had been acknowledged is still in it unless this is `StoreCorrupt`."""


class StoreFull(StoreError):
    """No room on the disk or in the map. The service stops taking work; what was acknowledged is safe."""


class StoreCorrupt(StoreError):
    """The store does not hold what it must. Restore it, or remove it and rebuild from the layers below."""


class Divergence(DougongError):
    """Two computations that must agree do not: the message names both results. Never retried."""

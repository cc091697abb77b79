"""How many cells a light node asks for, and which.

    >>> samples_needed(0.99, square_size=64)
    16
    >>> round(confidence(16, square_size=64), 4)
    0.9916

Source: Al-Bassam, Sonnino, Buterin, "Fraud and Data Availability Proofs" (2018), theorem 4: whoever wants to keep a 2k x 2k
square from being reconstructed must withhold at least (k + 1)² of its cells. Each of s distinct random samples then hits a
withheld cell with more than one chance in four. The choice must not be known to whoever serves the cells before they have
committed to the data root, and different nodes must choose differently: use `secrets`-quality randomness (the default).
"""

from __future__ import annotations

import random
from math import prod

from dougong.errors import InvalidInput

DEFAULT_SAMPLES = 16


def withheld_cells(square_size: int) -> int:
    """The fewest cells that, withheld, keep a square of width k from being reconstructed."""
    return (square_size + 1) ** 2


def confidence(samples: int, square_size: int) -> float:
    """The chance that `samples` distinct cells find an unavailable square out."""
    total, hidden = 4 * square_size * square_size, withheld_cells(square_size)
    if samples > total - hidden:
        return 1.0
    return 1.0 - prod(1.0 - hidden / (total - drawn) for drawn in range(samples))


def samples_needed(wanted: float, square_size: int) -> int:
    """The fewest distinct cells that reach a confidence below 1."""
    if not 0.0 < wanted < 1.0:
        raise InvalidInput(f"a confidence lies between 0 and 1, not at {wanted}")
    total, hidden = 4 * square_size * square_size, withheld_cells(square_size)
    missed, samples = 1.0, 0
    while 1.0 - missed < wanted:
        missed *= 1.0 - hidden / (total - samples)
        samples += 1
    return samples


def choose_cells(square_size: int, samples: int = DEFAULT_SAMPLES, source: random.Random | None = None) -> list[tuple[int, int]]:
    """Distinct random (row, column) places of the extended square: `samples` of them, or all if there are fewer."""
    width = 2 * square_size
    picker = source if source is not None else random.SystemRandom()
    return [divmod(place, width) for place in picker.sample(range(width * width), min(samples, width * width))]

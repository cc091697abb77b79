"""Columns: which a node keeps, how many a sampler asks for, and what they tell.

    >>> get_custody_groups(0, CUSTODY_REQUIREMENT)
    [1, 17, 87, 102]
    >>> columns_needed(0.99)
    7
    >>> round(column_confidence(SAMPLES_PER_SLOT), 4)
    0.9973

A block's blobs are the rows of a matrix, their 128 cells its columns; a node has a column whole or not at all. Any 64 columns
recover everything, so whoever withholds must withhold 65, and leaves 63 to be found. Distinct random columns then all lie
among those 63 with chance C(63, s) / C(128, s), less than one half for each. As with squares, the choice must be unknown to
whoever serves until they have committed, and differ between samplers: what `get_custody_groups` gives is public, and protects
only by the number of nodes; `choose_columns` is for one's own question. Source: consensus-specs `fulu/das-core`.
"""

from __future__ import annotations

import random
from math import prod

from dougong.availability.kzg.params import (
    CUSTODY_REQUIREMENT,
    NUMBER_OF_COLUMNS,
    NUMBER_OF_CUSTODY_GROUPS,
    SAMPLES_PER_SLOT,
)
from dougong.crypto.hashing import sha256
from dougong.errors import InvalidInput

__all__ = [
    "CUSTODY_REQUIREMENT",
    "SAMPLES_PER_SLOT",
    "choose_columns",
    "column_confidence",
    "columns_needed",
    "compute_columns_for_custody_group",
    "get_custody_groups",
    "sampled_columns",
]

UINT256_MAX = 2**256 - 1
WITHHELD_COLUMNS = NUMBER_OF_COLUMNS // 2 + 1


def get_custody_groups(node_id: int, custody_group_count: int) -> list[int]:
    """The custody groups of a node (its id is a uint256), in order. More of them extend the fewer. Raises `InvalidInput`."""
    if not 0 <= custody_group_count <= NUMBER_OF_CUSTODY_GROUPS:
        raise InvalidInput(f"a node has at most {NUMBER_OF_CUSTODY_GROUPS} custody groups, not {custody_group_count}")
    if not 0 <= node_id <= UINT256_MAX:
        raise InvalidInput("a node's id is a uint256")
    groups: set[int] = set()
    while len(groups) < custody_group_count:
        digest = sha256(node_id.to_bytes(32, "little"))
        groups.add(int.from_bytes(digest[:8], "little") % NUMBER_OF_CUSTODY_GROUPS)
        node_id = (node_id + 1) & UINT256_MAX
    return sorted(groups)


def compute_columns_for_custody_group(custody_group: int) -> list[int]:
    """The columns of a group. Raises `InvalidInput` for none."""
    if not 0 <= custody_group < NUMBER_OF_CUSTODY_GROUPS:
        raise InvalidInput(f"a custody group is below {NUMBER_OF_CUSTODY_GROUPS}, not {custody_group}")
    return list(range(custody_group, NUMBER_OF_COLUMNS, NUMBER_OF_CUSTODY_GROUPS))


def sampled_columns(node_id: int, custody_group_count: int = CUSTODY_REQUIREMENT) -> list[int]:
    """What an honest node downloads in each slot: its custody, and at least `SAMPLES_PER_SLOT` groups."""
    groups = get_custody_groups(node_id, max(SAMPLES_PER_SLOT, custody_group_count))
    return sorted(column for group in groups for column in compute_columns_for_custody_group(group))


def column_confidence(samples: int) -> float:
    """The chance that `samples` distinct random columns find out that the data cannot be recovered."""
    left = NUMBER_OF_COLUMNS - WITHHELD_COLUMNS
    if samples > left:
        return 1.0
    return 1.0 - prod((left - drawn) / (NUMBER_OF_COLUMNS - drawn) for drawn in range(samples))


def columns_needed(wanted: float) -> int:
    """The fewest distinct columns that reach a confidence below 1."""
    if not 0.0 < wanted < 1.0:
        raise InvalidInput(f"a confidence lies between 0 and 1, not at {wanted}")
    return next(samples for samples in range(NUMBER_OF_COLUMNS) if column_confidence(samples) >= wanted)


def choose_columns(samples: int = SAMPLES_PER_SLOT, source: random.Random | None = None) -> list[int]:
    """Distinct random columns, of a randomness that no one can foresee unless another `source` is given."""
    picker = source if source is not None else random.SystemRandom()
    return picker.sample(range(NUMBER_OF_COLUMNS), min(samples, NUMBER_OF_COLUMNS))

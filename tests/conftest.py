"""What the rooms' tests share."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of real data that no one here wrote; see its README. DOUGONG_VECTORS overrides where it is."""
    place = Path(os.environ.get("DOUGONG_VECTORS", REPOSITORY.parent / "shared" / "vectors"))
    if not place.is_dir():
        pytest.skip(f"the real vectors are not at {place}; DOUGONG_VECTORS can say where they are")
    return place


@pytest.fixture(scope="module", autouse=True)
def collected() -> Iterator[None]:
    """What a module's tests left is collected there and then: what it raises names who left it, and comes nowhere else."""
    yield
    gc.collect()

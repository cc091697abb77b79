"""The collector of cycles rests, and still ends what nothing else would."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from dougong.cli.memory import YOUNG, rest_after_start


class Cycle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def own_settings() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_cycles_are_still_found(own_settings: None) -> None:
    rest_after_start()
    assert gc.get_freeze_count() > 0
    gone = [weakref.ref(Cycle()) for _ in range(2 * YOUNG)]
    assert sum(ref() is None for ref in gone) >= YOUNG // 2

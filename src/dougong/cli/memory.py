"""How often Python's collector of cycles looks through memory.

    rest_after_start()                              # once everything that lives as long as the process is there

Transactions come and go by the thousand and make no cycles; with Python's own settings the collector looked for some after every
seven hundred objects, and now and then through all that the process holds. What is there after the start is not looked at again.
"""

from __future__ import annotations

import gc

__all__ = ["rest_after_start"]

YOUNG = 50_000  # objects made and not yet gone, before the young are looked through
MIDDLE, OLD = 20, 50  # rounds of the younger ones before the next older are


def rest_after_start() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)

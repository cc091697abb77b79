"""How deep in its DA chain a rollup's batches may lie when they are appended, beside what that chain keeps.

    window = data_window(config, "alpha", written=None)         # DA heights; 0: no bound
    wrong = contradiction(config, "alpha", window)               # (message, remedy), or None

The settlement contract refuses data that lies deeper (docs/spec/settlement.md, "Old data"). What is appended at the edge must
still be fetched by everyone who checks it: at most half of what the DA chain keeps is left to whoever appends, the other half is
theirs.
"""

from __future__ import annotations

from collections.abc import Iterable

from dougong.stack.config import SquareAvailability, StackConfig

__all__ = ["LEAST", "MOST", "attest_every", "contradiction", "data_window", "in_flight", "kept_heights"]

LEAST = 8  # heights: to be attested and appended takes some
MOST = 1 << 32  # of the contract, src/dougong/contracts/registry.vy
MOST_IN_FLIGHT = 8


def kept_heights(layer: object) -> int | None:
    """How many of the last heights a DA layer keeps; None: all, as far as we know. Seconds count as the heights that they have
    room for: a chain that stood still keeps fewer."""
    if not isinstance(layer, SquareAvailability) or (layer.window_blocks is None and layer.window_s is None):
        return None
    return max(layer.window_blocks or 0, (layer.window_s or 0) * 1000 // layer.block_time_ms)


def data_window(config: StackConfig, rollup: str, *, written: int | None) -> int:
    """What stack.toml says; else what was registered (`written`), which never changes; else half of what its DA chain keeps."""
    table = config.rollup[rollup]
    if table.data_window is not None:
        return table.data_window
    if written is not None:
        return written
    kept = kept_heights(config.availability[table.availability])
    return 0 if kept is None else max(LEAST, min(kept // 2, MOST))


def in_flight(window: int) -> int:
    """How many batches may be under way at a time. What became too old is published again with all that lies behind it, each in
    one or two heights, before the first of them is appended: that must not make it too old again."""
    return min(MOST_IN_FLIGHT, window // 4) if window else MOST_IN_FLIGHT


def attest_every(windows: Iterable[int], block_time_ms: int, *, at_most: float) -> float:
    """Seconds between two attestations: the windows count from the last one, so none may stand still for long."""
    return min([at_most, *(window * block_time_ms / 4_000 for window in windows if window)])


def contradiction(config: StackConfig, rollup: str, window: int) -> tuple[str, str] | None:
    """What is wrong with this window on this rollup's DA layer, and the remedy."""
    name = config.rollup[rollup].availability
    kept = kept_heights(config.availability[name])
    if kept is not None and kept // 2 < LEAST:
        message = f"[availability.{name}] keeps {kept} heights, too few for a rollup that settles"
        return message, f"raise its window_s, or add window_blocks = {2 * LEAST} or more"
    if 0 < window < LEAST:
        return (
            f"data_window = {window}: no batch is attested and appended in so few heights",
            f"{LEAST} or more, or 0 for no bound",
        )
    if kept is not None and not 0 < window <= kept // 2:
        message = f"data_window = {window}, but [availability.{name}] keeps {kept} heights: half of them are for those who check"
        return message, f"allowed: {LEAST} to {min(kept // 2, MOST)}; or keep more there"
    return None

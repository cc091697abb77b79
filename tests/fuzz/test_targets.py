"""Every fuzz target on its seeds (old findings among them) and on mutations of them: also where the fuzzer does not run."""

from __future__ import annotations

import random

import pytest
from fuzz.target import Target
from fuzz.targets import TARGETS

MUTANTS = 600


def mutant(draw: random.Random, seeds: list[bytes], limit: int) -> bytes:
    raw = bytearray(draw.choice(seeds))
    for _ in range(draw.randint(1, 4)):
        at = draw.randint(0, len(raw))
        match draw.randrange(5):
            case 0 if raw:
                raw[at % len(raw)] ^= 1 << draw.randrange(8)
            case 1:
                del raw[at : at + draw.randint(1, 64)]
            case 2:
                raw[at:at] = draw.randbytes(draw.randint(1, 16))
            case 3:
                raw[at:at] = raw[at : at + draw.randint(1, 600)]
            case _:
                other = draw.choice(seeds)
                raw[at:] = other[draw.randint(0, len(other)) :]
    return bytes(raw[:limit])


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_target(target: Target) -> None:
    seeds = list(target.seeds())
    for seed in seeds:
        target.check(seed)
    draw = random.Random(target.name)
    for _ in range(MUTANTS):
        raw = mutant(draw, seeds, target.max_bytes)
        try:
            target.check(raw)
        except Exception as error:
            pytest.fail(f"{target.name} fails with {type(error).__name__} ({error}) on {raw.hex()}")

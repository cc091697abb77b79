"""Each drill on a running stack: it reports what must follow from the attack, and nothing else passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dougong.cli.attack import ATTACKS, perform
from dougong.cli.attack.drills import BLIND, Attack, _full_node
from dougong.cli.attack.report import Drill, Line, NotObserved
from dougong.cli.attack.scene import stage
from dougong.cli.ending import exit_code_of, family_error
from dougong.stack.parts import AttestorParts, SquareParts


async def drill(name: str, number: int, folder: Path) -> dict[str, Any]:
    told: list[Line] = []
    titles: list[str] = []
    (report,) = await perform(ATTACKS[name], folder, told.append, titles.append, (number,))
    assert [line["text"] for line in report["lines"]] == [line.text for line in told]
    assert titles == [f"{name}, ({'ab'[number]}): {report['title']}"]
    assert json.loads(json.dumps(report)) == report
    return report


def fact(report: dict[str, Any], name: str) -> Any:
    """The last one of that name."""
    return next(line[name] for line in reversed(report["lines"]) if name in line)


@pytest.mark.parametrize("name", ATTACKS)
async def test_attestors_that_look_sign_nothing(name: str, tmp_path: Path) -> None:
    report = await drill(name, 0, tmp_path)
    height = fact(report, "height")
    assert fact(report, "heights") == [height - 1] * 4
    assert fact(report, "attested") < height
    assert fact(report, "batches") == 0
    assert fact(report, "claims_of_alpha") >= 3
    if name == "bad-encoding":
        assert fact(report, "square_size") >= 32
        assert fact(report, "percent") < 5
    else:
        assert fact(report, "withheld") == (fact(report, "square_size") + 1) ** 2


@pytest.mark.parametrize("name", ATTACKS)
async def test_attestors_that_collude_deceive_settlement_alone(name: str, tmp_path: Path) -> None:
    report = await drill(name, 1, tmp_path)
    spoilt = next(line["height"] for line in report["lines"] if "square_size" in line)
    assert fact(report, "heights")[0] == spoilt - 1
    assert fact(report, "attested") >= spoilt
    assert fact(report, "claims") >= 1
    assert "settlement base alone was deceived" in report["lines"][-1]["text"]
    texts = " ".join(line["text"] for line in report["lines"])
    assert f"light nodes refuse block {spoilt} of rogue and all above" in texts
    assert "beta's verifying node refuses" in texts


def test_what_is_not_observed_is_an_error() -> None:
    told: list[Line] = []
    report = Drill("a", "a drill", told.append)
    report.saw(True, "this was seen", height=3)
    with pytest.raises(NotObserved, match="a drill: not observed: this was not"):
        report.saw(False, "this was not")
    assert [line.text for line in told] == ["this was seen"]


async def test_a_full_node_that_notices_nothing_is_not_observed(tmp_path: Path) -> None:
    async with stage(tmp_path, SquareParts()) as scene:
        scene.patience_s = 0.5
        with pytest.raises(NotObserved, match="a full node stops at block 1000000"):
            await _full_node(Drill("b", "an honest chain", lambda line: None), ATTACKS["bad-encoding"], scene, 1_000_000)


class AttestorsCollude(Attack):
    """The drill that expects honest attestors, played with ones that do not look."""

    def with_attestors(self, *attestors: AttestorParts) -> SquareParts:
        return SquareParts(self.parts.lay_out, self.parts.serve, (BLIND,) * len(attestors))


@pytest.mark.parametrize("name", ATTACKS)
async def test_a_drill_whose_defence_fails_does_not_pass(name: str, tmp_path: Path) -> None:
    chosen = ATTACKS[name]
    attack = AttestorsCollude(chosen.name, chosen.deed, chosen.parts, chosen.width, chosen.proven)
    told: list[Line] = []
    with pytest.raises(ExceptionGroup) as caught:
        await perform(attack, tmp_path, told.append, lambda title: None, (0,))
    why = family_error(caught.value)
    assert isinstance(why, NotObserved)
    assert "no attestor signs block" in str(why)
    assert exit_code_of(caught.value) == 1
    assert [line.kind for line in told] == ["did", "did"], "nothing was observed"

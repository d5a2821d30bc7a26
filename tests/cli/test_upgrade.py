"""`flujo runs upgrade`: open runs go on with changed code."""

from pathlib import Path

import pytest

from tests.cli.conftest import Shell

CODE = """
from flujo import HumanInput, step

@step
async def draft(text: str) -> str:
    return text + "!"

@step
async def send(text: str) -> str:
    return "sent " + text

ask = HumanInput("ok?", schema=str, name="ask")
letter = {pipeline}
"""
SAFE = "(draft >> ask >> send >> send.named('again')).named('letter')"
DOUBTFUL = "(send >> draft >> ask >> send.named('last')).named('letter')"
IMPOSSIBLE = "(draft >> send).named('letter')"


def changed(shop: Path, pipeline: str) -> None:
    (shop / "letters.py").write_text(CODE.format(pipeline=pipeline), encoding="utf-8")


@pytest.fixture
def waiting(flujo: Shell, shop: Path) -> Shell:
    changed(shop, "(draft >> ask >> send).named('letter')")
    assert flujo("run", "letters.py:letter", "--input", "x", "--run-id", "a1").code == 3
    flujo("run", "shop.py:shouted", "--input", "x", "--run-id", "done")
    return flujo


def test_a_safe_run_is_carried_over(waiting: Shell, shop: Path) -> None:
    changed(shop, SAFE)
    refused = waiting("runs", "resume", "a1")
    assert refused.code == 5
    assert "again (added)" in refused.err
    checked = waiting("runs", "upgrade", "--check")
    assert (checked.code, checked.out.splitlines()[1].split()) == (0, ["a1", "safe"])
    assert waiting("runs", "upgrade", "a1").out.splitlines()[1].split() == ["a1", "carried", "over"]
    told = waiting("approvals", "answer", "a1", "--value", "y", "--resume")
    assert (told.code, told.out) == (0, "sent sent y\n")
    assert waiting("runs", "upgrade", "--check").err == "no run is open\n"
    assert waiting("audit", "verify").code == 0


def test_what_needs_a_decision_is_allowed_by_one(waiting: Shell, shop: Path) -> None:
    changed(shop, DOUBTFUL)
    document = waiting("runs", "upgrade", "a1", "--check", "--json")
    assert (document.code, document.json["safe"]) == (1, False)
    assert document.json["runs"][0]["verdict"] == "needs a decision"
    refused = waiting("runs", "upgrade", "a1")
    assert refused.code == 5
    assert "--allow" in refused.err
    assert waiting("runs", "upgrade", "a1", "--allow").code == 0


def test_what_is_impossible_stays_so(waiting: Shell, shop: Path) -> None:
    changed(shop, IMPOSSIBLE)
    told = waiting("runs", "upgrade", "--check", "--target", "letters.py:letter")
    assert told.code == 1
    assert "it waits for an answer at 'ask'" in told.out
    assert waiting("runs", "upgrade", "a1", "--allow").code == 5


def test_what_is_asked_wrongly(waiting: Shell) -> None:
    assert waiting("runs", "upgrade").code == 2
    assert waiting("runs", "upgrade", "zz", "--check").code == 2
    assert "has ended already" in waiting("runs", "upgrade", "done", "--check").err
    others = waiting("runs", "upgrade", "--check", "--target", "shop.py:shouted")
    assert (others.code, others.err) == (0, "no run is open\n")

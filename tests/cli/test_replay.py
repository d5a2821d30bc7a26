"""`flujo runs replay`: a recorded run goes by again."""

from pathlib import Path

import pytest

from tests.cli.conftest import Shell

LOOPING = """
from flujo import Loop, step

@step
async def add(number: int) -> int:
    print("add runs")
    return number + 1

def enough(number: int) -> bool:
    return number >= {limit}

counting = Loop(add, until=enough, max_turns=9)
"""


def test_a_run_replays_equal(flujo: Shell) -> None:
    flujo("run", "shop.py:shouted", "--input", "x", "--run-id", "a1")
    told = flujo("runs", "replay", "a1")
    assert (told.code, told.out) == (0, "equal: 2 steps and 0 effects answered, 0 decisions made again\n")
    document = flujo("runs", "replay", "a1", "--json").json
    assert (document["equal"], document["same_plan"], document["steps"]) == (True, True, 2)


def test_a_run_that_waits_says_where_its_journal_ends(flujo: Shell) -> None:
    flujo("run", "shop.py:stop", "--input", "x", "--run-id", "a1")
    told = flujo("runs", "replay", "a1")
    assert (told.code, told.err) == (0, "the journal ends at stop\n")


def test_what_is_decided_otherwise_is_told_with_its_values(flujo: Shell, shop: Path) -> None:
    (shop / "loops.py").write_text(LOOPING.format(limit=3), encoding="utf-8")
    flujo("run", "loops.py:counting", "--input", "1", "--run-id", "a1")
    (shop / "loops.py").write_text(LOOPING.format(limit=4), encoding="utf-8")
    told = flujo("runs", "replay", "a1")
    assert told.code == 1
    assert "loop[2]: the recorded turn ended the loop, now it goes on\n" in told.out
    assert "add runs" not in told.out + told.err
    document = flujo("runs", "replay", "a1", "--json")
    assert document.code == 1
    first = document.json["differences"][0]
    assert (first["address"], first["kind"]) == ("loop[2]", "turn")


@pytest.mark.parametrize("words", [("runs", "replay", "nobody")])
def test_what_is_not_there(words: tuple[str, ...], flujo: Shell) -> None:
    flujo("run", "shop.py:shouted", "--input", "x", "--run-id", "a1")
    assert flujo(*words).code == 2

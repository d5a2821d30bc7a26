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


CHANGED = """
from flujo import step

@step
async def first(text: str) -> str:
    return text + "1"

@step
async def second(text: str) -> str:
    return text + "2"

before = first >> second
after = first >> second.named("between") >> second
"""


def test_a_run_against_changed_code(flujo: Shell, shop: Path) -> None:
    (shop / "letters.py").write_text(CHANGED, encoding="utf-8")
    flujo("run", "letters.py:before", "--input", "x", "--run-id", "a1")
    told = flujo("runs", "replay", "a1", "--against", "letters.py:after")
    assert (told.code, told.out) == (1, "between: the recorded run did not come here\n")
    assert told.err == (
        "behind that, nothing can be said of second\n1 difference; 1 step and 0 effects answered\n"
    )
    document = flujo("runs", "replay", "a1", "--against", "letters.py:after", "--json").json
    assert (document["same_plan"], document["unreached"]) == (False, ["second"])
    assert document["differences"][0]["kind"] == "new"
    told = flujo("runs", "replay", "a1", "--against", "letters.py:after", "--live-after-divergence")
    assert (told.code, told.out.splitlines()[-1]) == (0, "x122")
    document = flujo(
        "runs", "replay", "a1", "--against", "letters.py:after", "--live-after-divergence", "--json"
    ).json
    assert document["live"]["output"] == "x122"
    assert flujo("audit", "verify").out.startswith("sound: 3 runs")

"""`flujo runs diff`: two runs beside each other."""

from tests.cli.conftest import Shell


def test_two_runs_are_compared(flujo: Shell) -> None:
    flujo("run", "shop.py:shouted", "--input", "x", "--run-id", "a1")
    flujo("run", "shop.py:shouted", "--input", "x", "--run-id", "a2")
    flujo("run", "shop.py:shouted", "--input", "y", "--run-id", "a3")
    same = flujo("runs", "diff", "a1", "a2")
    assert (same.code, same.err) == (0, "\n0 differences, 2 the same\n")
    told = flujo("runs", "diff", "a1", "a3")
    assert told.code == 1
    lines = [line.split() for line in told.out.splitlines()]
    assert ["a1", "a3"] in lines
    assert ["status", "completed", "completed"] in lines
    assert ["input", "x", "y"] in lines
    assert ["shout", "output", "X", "Y"] in lines
    document = flujo("runs", "diff", "a1", "a3", "--json")
    assert (document.code, document.json["same"]) == (1, False)
    assert document.json["parts"] == ["input", "output"]
    assert [one["state"] for one in document.json["executions"]] == ["changed", "changed"]


def test_of_different_pipelines(flujo: Shell) -> None:
    flujo("run", "shop.py:letter", "--input", "x", "--run-id", "a1")
    flujo("run", "shop.py:fail", "--input", "x", "--run-id", "a2")
    told = flujo("runs", "diff", "a1", "a2")
    assert told.code == 1
    assert "only in the first" in told.out
    assert "only in the second" in told.out
    assert "paused" in told.out
    assert "failed" in told.out


def test_a_run_that_is_not_there(flujo: Shell) -> None:
    flujo("run", "shop.py:shouted", "--input", "x", "--run-id", "a1")
    assert flujo("runs", "diff", "a1", "zz").code == 2

"""Two runs side by side on the command line."""

from tests.cli.conftest import Shell


def test_what_differs_is_shown_and_exits_with_1(flujo: Shell) -> None:
    flujo("run", "shop.py:order", "-i", "lamp", "--run-id", "one", "-q")
    flujo("run", "shop.py:order", "-i", "desk", "--run-id", "two", "-q")
    flujo("approvals", "approve", "one", "--actor", "ann", "--resume", "-q")
    told = flujo("runs", "diff", "one", "two")
    assert told.code == 1
    assert "completed" in told.out
    assert "paused" in told.out
    assert "missing" in told.out
    found = flujo("runs", "diff", "one", "two", "--json")
    assert (found.code, found.json["same"]) == (1, False)
    assert [line["address"] for line in found.json["steps"]] == ["want", "confirm", "buy"]
    assert found.json["first"]["output"] == "bought 1 lamp"
    assert found.json["steps"][1]["first"][0]["decision"] == ["approve", "ann", "cli"]


def test_the_same_twice_exits_with_0(flujo: Shell) -> None:
    for name in ("one", "two"):
        flujo("run", "shop.py:shouted", "-i", "x", "--run-id", name, "-q")
    told = flujo("runs", "diff", "one", "two")
    assert (told.code, told.err) == (0, "\nthe same\n")
    assert "shout" not in told.out.replace("shouted", "")
    assert "again" in flujo("runs", "diff", "one", "two", "--all").out
    assert flujo("runs", "diff", "one", "nobody").code == 2

"""`flujo runs fork`: a new run that shares a recorded past."""

from tests.cli.conftest import Shell


def test_a_run_is_forked_with_another_input(flujo: Shell) -> None:
    flujo("run", "shop.py:letter", "--input", "x", "--run-id", "a1")
    flujo("approvals", "answer", "a1", "--value", "yes", "--resume")
    told = flujo("runs", "fork", "a1", "--at", "send", "--set", 'input="a card"', "--run-id", "a2")
    assert (told.code, told.out) == (0, "sent: a card\n")
    assert flujo("runs", "show", "a2", "--json").json["journal"][0]["body"]["forked_from"]["run_id"] == "a1"
    again = flujo("runs", "fork", "a1", "--at", "confirm", "--run-id", "a3", "--json")
    assert (again.code, again.json["pending"][0]["id"]) == (3, "a3:confirm")
    assert flujo("audit", "verify").out.startswith("sound: 3 runs")
    assert flujo("runs", "replay", "a2").code == 0


def test_a_fork_with_another_context(flujo: Shell) -> None:
    flujo("run", "shop.py:greet", "--input", "Ada", "--run-id", "a1", "--context", '{"customer": "Bob"}')
    assert (
        flujo("runs", "fork", "a1", "--at", "greet", "--context", 'customer="Eve"').out == "Ada greets Eve\n"
    )


def test_what_cannot_be_forked_is_said(flujo: Shell) -> None:
    flujo("run", "shop.py:shouted", "--input", "x", "--run-id", "a1")
    for words, said in [
        (("--at", "shot"), "did you mean 'shout'?"),
        (("--at", "shout", "--set", "output=1"), "write --set input=JSON"),
        (("--at", "shout", "--set", "input"), "write --set KEY=JSON"),
        (("--at", "shout", "--set", "input=x"), "put texts in quotes"),
        (("--at", "shout", "--set", "input=1"), "give a value that fits"),
        (("--at", "shout", "--context", "color=1"), "it has"),
        (("--at", "shout", "--run-id", "a1"), "give the fork another name"),
    ]:
        told = flujo("runs", "fork", "a1", *words)
        assert told.code == 2, words
        assert said in told.err
    assert len(flujo("runs", "list", "--json").json["runs"]) == 1

"""`flujo approvals`: approve, edit, deny, late, twice, malformed."""

import pytest
from inline_snapshot import snapshot

from tests.cli.conftest import Shell


@pytest.fixture
def waits(flujo: Shell) -> Shell:
    """A letter that waits for a text, an order that waits for an order, and a run that waits twice."""
    for name, target in (("letter", "letter"), ("order", "order"), ("both", "both")):
        assert flujo("run", f"shop.py:{target}", "--input", "tea", "--run-id", name).code == 3
    return flujo


def test_what_waits_is_listed(waits: Shell) -> None:
    found = waits("approvals", "list", "--json").json["approvals"]
    assert [one["id"] for one in found] == snapshot(
        ["both:parallel/a/ask_a", "both:parallel/b/ask_b", "order:confirm", "letter:confirm"]
    )
    one = found[-1]
    assert (one["prompt"], one["subject"], one["actions"]) == ("Send it?", "TEA", ["approve", "edit", "deny"])
    assert one["schema"]["type"] == "string"


def test_a_list_for_people_says_how_to_decide(waits: Shell) -> None:
    assert waits("approvals", "list", "--run", "order").out.replace("asked 0 s", "asked 1 s") == snapshot("""\
order:confirm  (order, asked 1 s ago)
  Buy it?
  about: {"item": "tea", "amount": 1}
  flujo approvals approve order:confirm --resume
  flujo approvals answer order:confirm --value '{"item": "text"}' --resume
  flujo approvals deny order:confirm --reason '…' --resume
""")


def test_nothing_waits(flujo: Shell) -> None:
    flujo("run", "shop.py:shouted", "--input", "x")
    told = flujo("approvals", "list")
    assert (told.code, told.out, told.err) == (0, "", "nothing waits for anybody\n")


def test_approving_and_going_on(waits: Shell) -> None:
    told = waits("approvals", "approve", "letter:confirm", "--resume", "--quiet")
    assert (told.code, told.out) == (0, "sent: TEA\n")


def test_approving_now_and_going_on_later(waits: Shell) -> None:
    told = waits("approvals", "approve", "letter", "--actor", "ada")
    assert (told.code, told.out, told.err) == snapshot(
        (
            0,
            "",
            """\
recorded: approve by ada
to go on: flujo runs resume letter
""",
        )
    )
    assert waits("runs", "resume", "letter", "--quiet").out == "sent: TEA\n"


@pytest.mark.parametrize(("value", "sent"), [("hello", "hello"), ('"hello"', "hello"), ("17", "17")])
def test_answering_with_a_text(value: str, sent: str, waits: Shell) -> None:
    told = waits("approvals", "answer", "letter", "--value", value, "--resume", "--quiet")
    assert (told.code, told.out) == (0, f"sent: {sent}\n")


def test_answering_with_json(waits: Shell) -> None:
    told = waits(
        "approvals", "answer", "order", "--value", '{"item": "tea", "amount": 3}', "--resume", "--quiet"
    )
    assert (told.code, told.out) == (0, "bought 3 tea\n")


@pytest.mark.parametrize("value", ["{", "17", '{"amount": 3}', '{"item": "tea", "amount": "many"}', "tea"])
@pytest.mark.parametrize("more", [[], ["--resume"]])
def test_a_malformed_answer_leaves_it_pending(value: str, more: list[str], waits: Shell) -> None:
    told = waits("approvals", "answer", "order", "--value", value, *more, "--json")
    assert (told.code, told.error["code"]) == (4, "answer_rejected"), told
    assert "schema" in told.error["fix"]
    assert len(waits("approvals", "list", "--run", "order", "--json").json["approvals"]) == 1


def test_what_was_wrong_with_an_answer(waits: Shell) -> None:
    told = waits("approvals", "answer", "order", "--value", '{"item": "tea", "amount": "many"}')
    assert told.err.splitlines()[0] == snapshot(
        "error: confirm: the answer does not fit what is asked: amount: Input should be a valid integer, "
        "unable to parse string as an integer"
    )


def test_denying_fails_the_run(waits: Shell) -> None:
    told = waits(
        "approvals", "deny", "letter", "--reason", "too rude", "--actor", "ada", "--resume", "--json"
    )
    assert (told.code, told.json["status"], told.error["code"]) == (4, "failed", "denied")
    assert told.error["message"] == snapshot("confirm: ada denied: too rude")


def test_answering_twice(waits: Shell) -> None:
    waits("approvals", "approve", "letter", "--actor", "ada")
    for more in ([], ["--resume"]):
        told = waits("approvals", "deny", "letter:confirm", *more)
        assert (told.code, "was answered already: approve by ada" in told.err) == (2, True)


def test_several_requests_need_a_name(waits: Shell) -> None:
    told = waits("approvals", "answer", "both", "--value", "x")
    assert (told.code, told.err) == snapshot(
        (
            2,
            """\
error: run both waits for 2 answers
  To fix: name one: both:parallel/a/ask_a, both:parallel/b/ask_b
""",
        )
    )
    assert waits("approvals", "answer", "both:ask_a", "--value", "x").code == 2
    assert waits("approvals", "answer", "both:parallel/a", "--value", "x", "--resume").code == 3
    done = waits("approvals", "answer", "both", "--value", "y", "--resume", "--quiet")
    assert (done.code, done.out) == (0, '{\n  "a": "x",\n  "b": "y"\n}\n')


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("letter:conform", "did you mean letter:confirm?"),
        ("leter", "did you mean letter?"),
        ("zzz", "flujo runs list"),
    ],
)
def test_a_request_that_is_not_found(typed: str, said: str, waits: Shell) -> None:
    told = waits("approvals", "approve", typed)
    assert (told.code, said in told.err) == (2, True), told.err


def test_a_run_that_waits_for_nothing(waits: Shell) -> None:
    waits("run", "shop.py:shouted", "--input", "x", "--run-id", "done")
    told = waits("approvals", "approve", "done")
    assert (told.code, "waits for no answer: it is completed" in told.err) == (2, True)


def test_who_decides_comes_from_the_settings(waits: Shell) -> None:
    told = waits("approvals", "approve", "letter", "--json", env={"FLUJO_ACTOR": "grace"})
    assert (told.json["actor"], told.json["next"]) == ("grace", "flujo runs resume letter")

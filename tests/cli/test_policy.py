"""`flujo policy`: policies checked against a pipeline, tested by cases, tried on recorded runs, explained."""

from pathlib import Path

import pytest

from flujo.governance.cedar_bundle import cedar_module
from tests.cli.conftest import Shell

cedar_module()  # loaded before the folder of each test forgets what was loaded for it

BANK = """\
from decimal import Decimal
from flujo import Flujo, Step, StepInfo
from flujo.governance import CedarPolicy
from pydantic import BaseModel

class Order(BaseModel):
    amount: int
    to: str = "ada"
    rate: Decimal | None = None

async def transfer(amount: int, note: str = "") -> str:
    return f"sent {amount}"

async def settle(order: Order, info: StepInfo) -> str:
    return await info.do("transfer", transfer, order.amount)

pipeline = Step(settle)

def runner():
    return Flujo(pipeline, state="flujo_ops.db", policies=[CedarPolicy("policies")])
"""
POLICIES = """\
@id("everyone")
permit (principal, action, resource);

@id("large-sums") @reason("large sums are for chiefs")
forbid (principal, action == Action::"before_tool", resource == Tool::"transfer")
when { context.arguments.amount > 100 }
unless { principal in Role::"chief" };
"""
TOOL = ("--tool", "bank.py:transfer")


@pytest.fixture(autouse=True)
def bank(shop: Path) -> Path:
    (shop / "bank.py").write_text(BANK)
    (shop / "policies").mkdir()
    (shop / "policies" / "pay.cedar").write_text(POLICIES)
    return shop


def rule(folder: Path, text: str) -> str:
    (folder / "new.cedar").write_text(text)
    return "new.cedar"


def test_policies_are_checked_by_the_types_of_the_pipeline(flujo: Shell) -> None:
    ok = flujo("policy", "check", "bank.py:pipeline", "--policy", "policies", *TOOL)
    assert ok.code == 0
    assert ok.out.startswith("ok: 2 rules for settle, version ")
    untold = flujo("policy", "check", "bank.py:pipeline", "--policy", "policies")
    assert untold.code == 5
    assert "wrong  pay.cedar: large-sums: attribute `arguments`" in untold.out
    assert 'look  pay.cedar: large-sums: Tool::"transfer" is none' in untold.out


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("context.input.amuont > 3", "attribute `input.amuont`"),
        ('context.input.amount > "y"', "expected Long but saw String"),
        ('context.input.rate.lessThan(decimal("1.0"))', "optional attribute `input.rate`"),
    ],
)
def test_what_the_check_finds(flujo: Shell, bank: Path, condition: str, said: str) -> None:
    text = f'@id("one") forbid (principal, action == Action::"input", resource) when {{ {condition} }};'
    found = flujo("policy", "check", "bank.py:pipeline", "--policy", rule(bank, text), "--json")
    assert (found.code, found.json["ok"]) == (5, False)
    assert said in found.json["problems"][0]["message"]
    assert found.json["problems"][0]["rule"] == "one"


def test_names_and_obligations_that_are_near_others(flujo: Shell, bank: Path) -> None:
    text = '@obligation("aprove") permit (principal, action == Action::"input", resource == Step::"setle");'
    found = flujo("policy", "check", "bank.py:pipeline", "--policy", rule(bank, text))
    assert found.code == 5
    assert "is known to nobody, which denies; did you mean 'approve'?" in found.out
    assert "did you mean 'settle'?" in found.out


def test_the_schema(flujo: Shell) -> None:
    shown = flujo("policy", "check", "bank.py:pipeline", "--policy", "policies", "--schema", *TOOL)
    assert shown.code == 0
    assert '"input": { "amount": Long, "to": String, "rate"?: decimal }' in shown.out
    assert '"arguments": { "amount": Long, "note"?: String }' in shown.out


def test_what_is_no_cedar(flujo: Shell, bank: Path) -> None:
    broken = flujo("policy", "check", "bank.py:pipeline", "--policy", rule(bank, "permit ("))
    assert broken.code == 2
    assert "new.cedar is no Cedar" in broken.err
    assert flujo("policy", "check", "bank.py:pipeline", "--policy", "none").code == 2
    wrong = flujo("policy", "check", "bank.py:pipeline", "--policy", "policies", "--tool", "bank.py:transfr")
    assert "did you mean bank.py:transfer?" in wrong.err


CASES = """\
policies: policies
cases:
  - name: clerks may not
    given:
      {point: before_tool, principal: {id: ada, roles: [clerk]}, tool: transfer, arguments: {amount: 900}}
    expect: {verdict: deny, rule: large-sums, reason: large sums are for chiefs}
  - name: chiefs may
    given:
      {point: before_tool, principal: {id: grace, roles: [chief]}, tool: transfer, arguments: {amount: 900}}
    expect: allow
"""


def test_cases(flujo: Shell, bank: Path) -> None:
    (bank / "cases.yaml").write_text(CASES)
    passed = flujo("policy", "test", "cases.yaml")
    assert (passed.code, passed.out) == (0, "2 of 2 cases passed\n")
    (bank / "cases.yaml").write_text(CASES.replace("allow", "{verdict: escalate, rule: x}"))
    failed = flujo("policy", "test", "cases.yaml")
    assert failed.code == 1
    assert "failed  chiefs may: escalate was expected, and it is allow; rule 'x' was expected" in failed.out
    document = flujo("policy", "test", "cases.yaml", "--json")
    assert [bool(one["wrong"]) for one in document.json["cases"]] == [False, True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cases: [", "cannot be read"),
        (
            "policies: policies\ncases: [{name: x, given: {point: nowhere}, expect: deny}]",
            "cases.0.given.point",
        ),
        ("policies: policies\ncases: [{name: x, given: {point: input, inputt: 3}, expect: deny}]", "inputt"),
        ("policies: none\ncases: []", "cannot be read"),
    ],
)
def test_files_that_are_no_cases(flujo: Shell, bank: Path, text: str, said: str) -> None:
    (bank / "cases.yaml").write_text(text)
    wrong = flujo("policy", "test", "cases.yaml")
    assert wrong.code == 2
    assert said in wrong.err


def test_other_policies_are_tried_on_recorded_runs(flujo: Shell, bank: Path) -> None:
    flujo("run", "bank.py:runner", '{"amount": 50}', "--run-id", "a50")
    flujo("run", "bank.py:runner", '{"amount": 5}', "--run-id", "a5")
    same = flujo("policy", "simulate", "--policy", "policies", "bank.py:pipeline")
    assert same.code == 0
    assert same.out == "decided nothing: large-sums\n8 verdicts of 2 runs judged anew, 0 otherwise\n"

    text = """
        @id("all") permit (principal, action, resource);
        @id("sums") @reason("too much") forbid (principal, action == Action::"before_tool", resource)
        when { context.arguments.amount > 40 };
        @id("asked") @obligation("approve") permit (principal, action == Action::"output", resource)
        when { context.output == "sent 5" };
        @id("never") forbid (principal == Principal::"eve", action, resource);
    """
    tried = flujo("policy", "simulate", "--policy", rule(bank, text), "--since", "1d")
    assert tried.code == 1
    assert (
        "newly denied: 1\n    a50  settle#transfer  before_tool: allow → deny  sums (too much)" in tried.out
    )
    assert "newly asked: 1\n    a5  settle  output: allow → escalate" in tried.out
    assert "decided nothing: never" in tried.out
    document = flujo("policy", "simulate", "--policy", "new.cedar", "--json").json
    assert document["changes"] == {"newly asked": 1, "newly denied": 1}
    assert (document["runs"], document["unmatched"]) == (2, ["never"])
    later = flujo("policy", "simulate", "--policy", "new.cedar", "--since", "2999-01-01")
    assert (later.code, later.out[-42:]) == (0, "0 verdicts of 0 runs judged anew, 0 otherwise\n"[-42:])


def test_what_was_denied_may_be_newly_allowed(flujo: Shell, bank: Path) -> None:
    (bank / "policies" / "pay.cedar").write_text(
        '@id("few") permit (principal, action, resource)'
        "when { !(context has input) || context.input.amount < 9 };"
    )
    denied = flujo("run", "bank.py:runner", '{"amount": 50}', "--run-id", "a50")
    assert denied.code == 1
    wider = rule(bank, '@id("wide") permit (principal, action, resource);')
    tried = flujo("policy", "simulate", "--policy", wider)
    assert tried.code == 1
    assert "newly allowed: 1\n    a50  settle  input: deny → allow  wide" in tried.out
    typed = "permit (principal, action, resource) when { context has input && context.input.amount < 60 };"
    assert "newly allowed: 1" in flujo("policy", "simulate", "--policy", rule(bank, typed)).out


def test_what_the_journal_does_not_hold_is_told(flujo: Shell, bank: Path) -> None:
    flujo("run", "bank.py:runner", '{"amount": 500}', "--run-id", "a500")
    tried = flujo("policy", "simulate", "--policy", "policies")
    assert tried.code == 0
    assert "1 verdict could not be judged" in tried.err
    assert "the arguments of calls that were denied or redacted, or simply allowed (1)" in tried.err
    document = flujo("policy", "simulate", "--policy", "policies", "--json").json
    assert (document["unknown"], sum(document["why"].values()), document["entered"]) == (1, 1, 0)


def test_what_enters_is_counted_by_itself_and_is_no_change(flujo: Shell, bank: Path) -> None:
    scrubbing = BANK.replace('[CedarPolicy("policies")]', "[PIIScrubbingPolicy()]")
    (bank / "bank.py").write_text(scrubbing.replace("import CedarPolicy", "import PIIScrubbingPolicy"))
    flujo("run", "bank.py:runner", '{"amount": 50}', "--run-id", "a50")
    tried = flujo("policy", "simulate", "--policy", rule(bank, "permit (principal, action, resource);"))
    assert tried.code == 0
    assert "1 verdict left alone: about contexts, answers, events and changes" in tried.err


def test_what_a_judged_value_held_is_told(flujo: Shell, bank: Path) -> None:
    audited = BANK.replace(
        "pipeline = Step(settle)", 'async def audit(text: str) -> str:\n    return text\n\n'
        'pipeline = Step(settle, labels=["phi"]) >> Step(audit)'
    )  # fmt: skip
    (bank / "bank.py").write_text(audited)
    flujo("run", "bank.py:runner", '{"amount": 50}', "--run-id", "a50")
    before, after = flujo("policy", "explain", "a50", "audit", "--json").json["verdicts"]
    assert (before["point"], before["holds"], after["holds"]) == ("input", ["phi"], ["phi"])
    assert "holds     phi" in flujo("policy", "explain", "a50", "audit").out


def test_a_decision_is_explained(flujo: Shell, bank: Path) -> None:
    flujo("run", "bank.py:runner", '{"amount": 500}', "--run-id", "a500")
    (bank / "policies" / "pay.cedar").write_text("permit (principal, action, resource);")
    document = flujo("policy", "explain", "a500", "settle#transfer", "--json").json
    [verdict] = document["verdicts"]
    [said] = verdict["by"]
    assert (verdict["point"], verdict["verdict"], verdict["tool"]) == ("before_tool", "deny", "transfer")
    assert said["rules"] == [{"id": "large-sums", "file": "pay.cedar"}]
    assert (len(said["version"]), len(said["inputs"]), len(verdict["digest"])) == (64, 64, 64)
    told = flujo("policy", "explain", "a500", "settle#transfer")
    assert "rule     large-sums in pay.cedar" in told.out
    assert "reason   large sums are for chiefs" in told.out
    nowhere = flujo("policy", "explain", "a500", "settle#transfr")
    assert nowhere.code == 2
    assert "did you mean settle#transfer?" in nowhere.err

"""Policies that the settings file declares: every command that runs something is judged by them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from flujo import Flujo, step
from flujo.errors import ConfigError
from flujo.governance import PIIScrubbingPolicy, policies_from
from tests.cli.conftest import Shell
from tests.cli.test_workers import serving, until

HOUSE = """\
from flujo.governance import GovernancePolicy, PolicyDecision

class NoWords(GovernancePolicy):
    def __init__(self, words: list[str], where: str = "input") -> None:
        self.words, self.where = words, where

    def check_input(self, context, data):
        if any(word in str(data) for word in self.words):
            return PolicyDecision.deny("that word is not said here", rule="words")
        return PolicyDecision.ALLOW

def made(words: list[str]):
    return NoWords(words)

ready = NoWords(["never"])
number = 17

def broken(words: list[str] = ()):
    raise RuntimeError("no connection")
"""
BY_THE_FILE = "by the policy 'words', rule 'words'"
NO_WORDS = '[policies.words]\nuse = "house:NoWords"\nwords = ["secret"]\n'


@pytest.fixture(autouse=True)
def house(shop: Path) -> Path:
    (shop / "house.py").write_text(HOUSE, encoding="utf-8")
    return shop


def write(text: str, name: str = "flujo.toml") -> None:
    Path(name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("target", ["shop.py:shouted", "shop.py:made"])
def test_a_policy_of_the_file_judges_pipelines(flujo: Shell, target: str) -> None:
    write(NO_WORDS)
    denied = flujo("run", target, "--input", "a secret", "--run-id", "a1", "--json")
    assert denied.code == 1
    assert BY_THE_FILE in denied.json["error"]["message"]
    assert flujo("run", target, "--input", "hello").code == 0


def test_it_judges_runners_that_bring_settings_of_their_own(flujo: Shell) -> None:
    write(NO_WORDS)
    for target in ("shop.py:runner", "shop.py:unkept"):
        assert flujo("run", target, "--input", "a secret", "--quiet").code == 1


def test_it_judges_what_each_command_runs(flujo: Shell) -> None:
    flujo("run", "shop.py:letter", "--input", "x", "--run-id", "a1")
    flujo("run", "shop.py:letter", "--input", "x", "--run-id", "a2")
    write(NO_WORDS)
    answered = flujo("approvals", "answer", "a1", "--value", "a secret", "--resume", "--json")
    assert (answered.code, BY_THE_FILE in answered.json["error"]["message"]) == (1, True)
    flujo("approvals", "answer", "a2", "--value", "a secret")
    resumed = flujo("runs", "resume", "a2", "--json")
    assert (resumed.code, BY_THE_FILE in resumed.json["error"]["message"]) == (1, True)
    forked = flujo("runs", "fork", "a1", "--at", "shout", "--set", 'input="a secret"', "--json")
    assert (forked.code, BY_THE_FILE in forked.json["error"]["message"]) == (1, True)
    flujo("run", "shop.py:shouted", "--input", "a secret", "--detach", "--run-id", "a3")
    with serving("run", "shop.py:shouted"):
        until(flujo, "a3", "failed")
    assert BY_THE_FILE in str(flujo("runs", "show", "a3", "--json").json)


def test_a_run_does_not_go_on_where_the_file_is_missing(flujo: Shell) -> None:
    write(NO_WORDS)
    flujo("run", "shop.py:letter", "--input", "x", "--run-id", "a1")
    Path("flujo.toml").unlink()
    refused = flujo("approvals", "answer", "a1", "--value", "a secret", "--resume")
    assert refused.code != 0
    assert "run a1 began under policies that are not here: words" in refused.err
    assert "flujo runs upgrade --allow" in refused.err
    asked = flujo("runs", "upgrade", "a1", "--check", "--json").json["runs"][0]
    assert (asked["verdict"], asked["policies"]) == ("needs a decision", ["words"])
    write(NO_WORDS)
    assert flujo("approvals", "answer", "a1", "--value", "fine", "--resume").code == 0


def test_it_comes_before_those_of_the_runner_and_both_are_asked(flujo: Shell, house: Path) -> None:
    (house / "own.py").write_text(
        "from flujo import Flujo\nfrom house import NoWords\nfrom shop import shouted\n"
        'runner = Flujo(shouted, policies=[NoWords(["hush"])])\n'
    )
    write(NO_WORDS)
    for word, policy in (("secret", "words"), ("hush", "NoWords")):
        told = flujo("run", "own.py:runner", "--input", word, "--json")
        assert f"by the policy '{policy}'" in told.json["error"]["message"]
    listed = flujo("policy", "list", "own.py:runner", "--json").json["policies"]
    assert [one["policy"] for one in listed] == ["words", "NoWords"]


BUILT_IN = """\
[policies.order]
use = "Requires"
what = "agree"
before = "pay"

[policies.often]
use = "AtMost"
times = 2
tool = "export"
per = "1h"

[policies.egress]
use = "NoEgressAfter"
label = "phi"

[policies.tools]
use = "Tools"
deny = ["drop_*"]

[policies.day]
use = "Hours"
between = "09:00-17:00"
days = ["mon"]
mode = "observe"

[policies.europe]
use = "Regions"
allow = ["eu"]
models = { eu = ["mistral:*"] }

[policies.personal]
use = "PIIScrubbingPolicy"
strategy = "mask"
known = { name = ["Ada Lovelace"] }

[policies.house]
use = "CedarPolicy"
source = "rules"

[policies.ready]
use = "house:ready"
mode = "observe"

[policies.made]
use = "house.py:made"
words = ["x"]
"""


def test_every_rule_can_be_declared_and_is_listed(flujo: Shell, house: Path) -> None:
    (house / "rules").mkdir()
    (house / "rules" / "all.cedar").write_text("permit (principal, action, resource);")
    write(BUILT_IN)
    below = house / "below"
    below.mkdir()
    listed = flujo("policy", "list", "--json").json["policies"]
    assert [one["policy"] for one in listed] == [
        "order", "often", "egress", "tools", "day", "europe", "personal", "house", "ready", "made"
    ]  # fmt: skip
    assert {one["policy"] for one in listed if one["mode"] == "observe"} == {"day", "ready"}
    assert "NoWords" in flujo("policy", "list").out
    assert "day (observing)" in flujo("doctor").out
    assert "policies.order" in flujo("config", "show").out
    assert flujo.real("policy", "list", "--json", cwd=below).json["policies"] == listed
    said = flujo("run", "shop.py:shouted", "--input", "Ada Lovelace wrote", "--quiet")
    assert (said.code, "Ada" in said.out.title()) == (0, False)


WRONG: Mapping[str, tuple[str, str]] = {
    'policies = "house:NoWords"': ("policies is 'house:NoWords'", "[policies.NAME]"),
    '[[policies]]\nuse = "AtMost"': ("policies is [", "[policies.NAME]"),
    "[policies]\na = 1": ("policies.a is 1", "[policies.a]"),
    "[policies.a]\ntimes = 1": ("policies.a: use is None", "one of AtMost"),
    '[policies.a]\nuse = "AtMots"': ("policies.a: use is 'AtMots'", "did you mean 'AtMost'?"),
    '[policies.a]\nuse = "AtMost"\ntimes = 1\ntol = "x"': ("AtMost takes no 'tol'", "did you mean 'tool'?"),
    '[policies.a]\nuse = "AtMost"\ntimes = 1': ("AtMost needs 'tool'", "add a line tool = …"),
    '[policies.a]\nuse = "AtMost"\ntimes = "1"\ntool = "x"': ("times is '1'", "AtMost takes int there"),
    '[policies.a]\nuse = "AtMost"\ntimes = 1\ntool = "x"\nper = "1y"': ("per='1y'", '"30m"'),
    '[policies.a]\nuse = "Tools"\ndeny = "x"': ("deny is 'x'", "Sequence[str]"),
    '[policies.a]\nuse = "Tools"\nmode = "off"': ("mode is 'off'", '"observe"'),
    '[policies.a]\nuse = "CedarPolicy"\nsource = "gone"': ("gone", ""),
    '[policies.a]\nuse = "PIIScrubbingPolicy"\nengine = "best"': ("engine is 'best'", "presidio"),
    '[policies.a]\nuse = "hose:NoWords"\nwords = []': ("there is no module 'hose'", "did you mean house"),
    '[policies.a]\nuse = "house:NoWord"': ("house has no 'NoWord'", "did you mean house:NoWords?"),
    '[policies.a]\nuse = "house:NoWords"': ("house:NoWords needs 'words'", "words = …"),
    '[policies.a]\nuse = "house:NoWords"\nword = []': ("takes no 'word'", "did you mean 'words'?"),
    '[policies.a]\nuse = "house:ready"\nwords = []': ("made already", "name its class"),
    '[policies.a]\nuse = "house:number"': ("judges nothing", "GovernancePolicy"),
    '[policies.a]\nuse = "house:broken"': ("RuntimeError: no connection", "mend"),
    "[policy.a]\nuse = 1": ("'policy', which is no setting", "did you mean 'policies'?"),
    '[policies.a\nuse = "AtMost"': ("cannot be read", "mend"),
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_nothing_runs_where_a_policy_cannot_be_had(flujo: Shell, text: str) -> None:
    flujo("run", "shop.py:letter", "--input", "x", "--run-id", "a1")
    write(text)
    said, fix = WRONG[text]
    for words in (
        ("run", "shop.py:shouted", "--input", "x"),
        ("run", "shop.py:runner", "--input", "x"),
        ("run", "shop.py:shouted", "--input", "x", "--detach"),
        ("approvals", "answer", "a1", "--value", "yes", "--resume"),
        ("runs", "resume", "a1"),
        ("worker", "run", "shop.py:shouted"),
        ("policy", "list"),
    ):
        told = flujo(*words)
        assert told.code not in (0, 1), words
        assert "flujo.toml" in told.err
        assert said in told.err
        assert fix in told.err
        assert "Traceback" not in told.err
    assert flujo("doctor").code == 1
    write("")
    assert [one["run_id"] for one in flujo("runs", "list", "--json").json["runs"]] == ["a1"]
    assert flujo("runs", "show", "a1", "--json").json["status"] == "paused"


def test_runners_in_python_take_them_from_the_file(house: Path) -> None:
    @step
    async def say(text: str) -> str:
        return text

    write('[policies.pii]\nuse = "PIIScrubbingPolicy"\n')
    runner = Flujo(say, policies=policies_from("flujo.toml"))
    assert runner.run("write to ada@example.com").output == "write to [EMAIL]"
    write('[tool.flujo.policies.pii]\nuse = "PIIScrubbingPolicy"\nmode = "observe"\n', "pyproject.toml")
    watched = Flujo(say).under(policies_from("pyproject.toml"))
    assert watched.run("write to ada@example.com").output == "write to ada@example.com"
    for text in (
        '[policies.a]\nuse = "nowhere_at_all:NAME"',
        "policies = 1",
        "[policies",
        '[policies.a]\nuse = "x"',
    ):
        write(text)
        with pytest.raises(ConfigError, match=r"flujo\.toml"):
            policies_from("flujo.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        policies_from("gone.toml")


def test_a_runner_under_further_policies_leaves_the_first_as_it_is() -> None:
    @step
    async def say(text: str) -> str:
        return text

    first = Flujo(say)
    second = first.under([PIIScrubbingPolicy()])
    assert second.run("ada@example.com").output == "[EMAIL]"
    assert first.run("ada@example.com").output == "ada@example.com"
    assert len(second.under([PIIScrubbingPolicy()]).policies) == 2

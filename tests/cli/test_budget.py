"""`flujo budget show`, `flujo run --quota refuse`, and what `flujo check` says of costs."""

from pathlib import Path

import pytest
from inline_snapshot import snapshot

from tests.cli.conftest import Shell

QUOTES = """\
from decimal import Decimal
from flujo import Flujo, Loop, Quota, StepInfo, Usage, step

@step(bound=Usage(requests=1, cost=Decimal("0.40")))
async def quote(item: str) -> str:
    return f"{item}: 12.00"

limits = [Quota(usd=1, of="tenant", per="month"), Quota(requests=9, of="pipeline")]
runner = Flujo(quote, state="quotes.db", quota=limits)
often = Flujo(Loop(quote, until=lambda item: False, max_turns=3), state="quotes.db", quota=Quota(usd=1))
"""


@pytest.fixture
def quotes(flujo: Shell) -> Shell:
    Path("quotes.py").write_text(QUOTES)
    for tenant, count in (("acme", 3), ("zeta/9", 1)):
        for _ in range(count):
            flujo("run", "quotes.py:runner", "a lamp", "--tenant", tenant)
    return flujo


def test_the_accounts_are_shown(quotes: Shell) -> None:
    told = quotes("budget", "show", "--store", "quotes.db")
    assert told.code == 0
    head, pipeline, acme, zeta = (line.split() for line in told.out.splitlines())
    assert head == ["account", "limit", "spent", "reserved", "left"]
    assert pipeline == ["pipeline:quote", "9", "requests", "3", "0", "6"]
    assert acme[1:] == ["$1.00", "0.80", "0.00", "0.20"]
    assert zeta[0].startswith("tenant:zeta%2F9/month:")


def test_one_tenant_or_one_run_as_json(quotes: Shell) -> None:
    found = quotes("budget", "show", "--tenant", "acme", "--store", "quotes.db", "--json").json
    (account,) = found["accounts"]
    assert account["window"]["per"] == "month"
    assert account["account"] == f"tenant:acme/month:{account['window']['began']}"
    assert {key: account[key] for key in ("meter", "limit", "spent", "reserved", "left")} == {
        "meter": "usd", "limit": "1.00", "spent": "0.80", "reserved": "0.00", "left": "0.20",
    }  # fmt: skip
    assert found["reservations"] == []
    last = quotes("budget", "show", "--run", "last", "--store", "quotes.db", "--json").json
    assert [one["account"].partition("/")[0] for one in last["accounts"]] == [
        "pipeline:quote",
        "tenant:zeta%2F9",
    ]


def test_nothing_to_show(flujo: Shell) -> None:
    flujo("run", "shop.py:letter", "x")
    told = flujo("budget", "show")
    assert (told.code, told.out) == (0, "")
    assert "no quota has counted over runs" in told.err
    assert flujo("budget", "show", "--json").json == {"accounts": [], "reservations": []}
    assert flujo("budget", "show", "--run", "none").code == 2
    assert flujo("budget", "show", "--store", "nowhere.db").code == 1


def test_a_run_that_could_exceed_its_quotas_is_not_begun(quotes: Shell) -> None:
    told = quotes("run", "quotes.py:often", "a lamp", "--quota", "refuse", "--json")
    assert told.code == 1
    assert told.error["code"] == "quota_exceeded"
    assert told.error["message"] == snapshot(
        "the quota of 'run' has $1.00 left, and the worst case takes $1.20, $0.20 too much"
    )
    assert quotes("run", "quotes.py:often", "a lamp", "--quota", "warn").code == 2


def test_checking_says_what_a_run_may_cost(quotes: Shell) -> None:
    told = quotes("check", "quotes.py:often")
    assert "    at most usd 1.20\n    at most requests 3\n" in told.out
    facts = quotes("check", "quotes.py:often", "--json").json["worst_case"]
    assert facts["at_most"] == {"usd": "1.20", "requests": 3}


def test_a_run_under_quotas_is_told_event_by_event(quotes: Shell) -> None:
    told = quotes("runs", "show", "last", "--store", "quotes.db")
    assert told.code == 0, told.err
    line = next(line for line in told.out.splitlines() if "reserves" in line)
    assert line.split()[2:6] == ["reserves", "quote", "attempt", "1"], line
    assert "tenant:zeta%2F9/month:" in line
    assert "$0.40" in told.out

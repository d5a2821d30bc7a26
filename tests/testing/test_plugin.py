"""The plugin, seen from a project of a user: pytest runs in an interpreter of its own."""

import json
import subprocess
import sys

import pytest

PIPELINE = """
import pytest
from flujo import Decision, HumanInput, Step, step, Sleep, SQLiteStore, MemoryStore, StepInfo
from datetime import timedelta

@step
async def double(number: int) -> int:
    return 2 * number
"""

PLAIN = ("-p", "no:asyncio", "-p", "no:cacheprovider")
"""As on a machine without pytest-asyncio."""


def ran(pytester: pytest.Pytester, code: str, *options: str, **outcomes: int) -> str:
    """Run a file of tests; check how many passed and failed, and return what pytest printed."""
    pytester.makepyfile(PIPELINE + code)
    result = pytester.runpytest_subprocess("--strict-markers", "-W", "error", *(options or PLAIN))
    result.assert_outcomes(**outcomes)
    return result.stdout.str()


def test_a_store_a_clock_and_a_runner_for_one_test(pytester: pytest.Pytester) -> None:
    ran(
        pytester,
        """
def test_night(flujo_runner, flujo_store, flujo_clock, tmp_path):
    runner = flujo_runner(Sleep(timedelta(hours=8)) >> double)
    assert runner.run(4).output == 8
    assert flujo_clock.slept == [28800]
    assert isinstance(flujo_store, SQLiteStore)
    assert list(tmp_path.glob("flujo_ops.db*"))
    assert flujo_runner(double, state=None).store is None

@pytest.mark.flujo_store("memory")
def test_memory(flujo_runner, flujo_store):
    assert isinstance(flujo_runner(double).store, MemoryStore)

@pytest.mark.flujo_store("postcard")
def test_unknown(flujo_store):
    pass
""",
        passed=2,
        errors=1,
    )


def test_scripted_agents_are_asked_all_they_have_to_say(pytester: pytest.Pytester) -> None:
    said = ran(
        pytester,
        """
def test_right(scripted, flujo_runner):
    model = scripted("a", ValueError("b"), "c")
    assert flujo_runner(Step(model, retry=3)).run("x").output == "a"
    assert flujo_runner(Step(model, retry=3)).run("y").output == "c"
    assert model.inputs == ["x", "y", "y"]

def test_less(scripted, flujo_runner):
    assert flujo_runner(Step(scripted("a", "b"))).run("x").output == "a"

def test_more(scripted, flujo_runner):
    flujo_runner(Step(scripted("a"), name="s") >> Step(scripted(), name="t")).run("x")
""",
        passed=1,
        failed=2,
    )
    assert "a scripted agent has 2 answers and was asked 1 times; last with 'x'" in said
    assert "a scripted agent has 0 answers and was asked 1 times; last with 'a'" in said


CRASH = """
@pytest.mark.crash_everywhere
def test_sound(flujo_lives, scripted):
    ledger = []

    async def charge(number: int, info: StepInfo) -> int:
        ledger.append(info.idempotency_key)
        return number

    pipeline = (
        Step(scripted(3), name="ask") >> HumanInput("?", schema=int, name="ok")
        >> Step(charge, name="charge", effects="at_most_once")
    )
    result = flujo_lives.run(pipeline, 1, answers={"ok": Decision("edit", 5)})
    assert result.output == 5
    assert ledger == ["run-1:charge"]

@pytest.mark.crash_everywhere(store="sqlite")
def test_counts(flujo_lives):
    count = []

    async def turn(number: int) -> int:
        count.append(number)
        return len(count)

    flujo_lives.run(Step(turn, name="turn") >> double, 1)

@pytest.fixture
def model(scripted):
    return scripted(1)

@pytest.mark.crash_everywhere
def test_agent_of_a_fixture(flujo_lives, model):
    assert flujo_lives.run(Step(model, name="s") >> double, 1).output == 2

@pytest.mark.crash_everywhere
def test_forgets_the_fixture():
    pass

@pytest.mark.crash_everywhere
def test_carries_nothing(flujo_lives):
    pass
"""


def test_crash_everywhere(pytester: pytest.Pytester) -> None:
    said = ran(pytester, CRASH, passed=2, failed=3)
    assert "output: undisturbed 2, after the crash 4" in said
    assert "The process died before append 2 of 3: event 2 step.completed at 'turn'." in said
    assert "carries its runs with the fixture flujo_lives" in said
    assert "the test carried no run" in said


def test_a_test_that_pytest_does_not_call_itself_never_passes_unharmed(pytester: pytest.Pytester) -> None:
    code = """
import unittest

class TestIt(unittest.TestCase):
    @pytest.mark.crash_everywhere
    def test_it(self):
        pass

class TestPlain:
    @pytest.mark.crash_everywhere
    def test_it(self, flujo_lives):
        assert flujo_lives.run(double, 1).output == 2
"""
    assert "died nowhere" in ran(pytester, code, passed=1, failed=1)


ASYNC = """
@pytest.mark.crash_everywhere
async def test_sound(flujo_lives):
    assert (await flujo_lives.run_async(double, 1)).output == 2

@pytest.mark.crash_everywhere
async def test_counts(flujo_lives):
    count = []

    async def turn(number: int) -> int:
        count.append(number)
        return len(count)

    await flujo_lives.run_async(Step(turn, name="turn") >> double, 1)
"""


@pytest.mark.parametrize(
    "options",
    [PLAIN, ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")],
    ids=["plain", "pytest-asyncio"],
)
def test_crash_everywhere_in_async_tests(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    said = ran(pytester, ASYNC, *options, passed=1, failed=1)
    assert "The process died before append 2 of 3: event 2 step.completed at 'turn'." in said


def test_async_tests_with_the_fixtures(pytester: pytest.Pytester) -> None:
    ran(
        pytester,
        """
async def test_it(flujo_runner, scripted):
    assert (await flujo_runner(Step(scripted(1), name="s") >> double).run_async(1)).output == 2
""",
        "-o",
        "asyncio_mode=auto",
        "-o",
        "asyncio_default_fixture_loop_scope=function",
        passed=1,
    )


def test_the_markers_are_told(pytester: pytest.Pytester) -> None:
    said = pytester.runpytest_subprocess("--markers").stdout.str()
    assert "@pytest.mark.crash_everywhere" in said
    assert "@pytest.mark.flujo_store" in said


def test_it_costs_nothing_where_it_is_not_used() -> None:
    code = "import json, sys, flujo.testing.plugin; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    ours = [name for name in loaded if name.partition(".")[0] == "flujo"]
    assert ours == ["flujo", "flujo.testing", "flujo.testing.plugin"]
    assert "pydantic" not in loaded


@pytest.mark.parametrize("code", ["import flujo; flujo.Flujo", "import flujo.testing; flujo.testing.Lives"])
def test_pytest_is_needed_only_by_the_plugin(code: str) -> None:
    look = f"import sys; {code}; print('pytest' in sys.modules or '_pytest' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", look], text=True).strip() == "False"


def test_every_name_is_there() -> None:
    from flujo import testing

    assert list(testing.__all__) == sorted(
        testing.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name)
    )
    for name in testing.__all__:
        assert getattr(testing, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Mortl'"):
        getattr(testing, "Mortl")  # noqa: B009


RECORDED = """
from flujo import Loop, Parallel, PipelineContext

class Notes(PipelineContext):
    seen: int = 0

@step
async def count(number: int, notes: Notes) -> int:
    notes.seen += 1
    print("count runs")
    return number + 1

LIMIT = {limit}
ask = HumanInput("how many?", schema=int, name="ask")
order = ask >> Loop(count, until=lambda n: n >= LIMIT, max_turns=9) >> {last}

def test_order(flujo_replay):
    report = flujo_replay("order", order, 1, answer=lambda request: Decision("edit", 3, actor="ann"))
    assert report.steps == 3

async def test_the_same_in_a_loop(flujo_replay):
    assert flujo_replay("order", order, 1, answer=lambda request: Decision("edit", 3)).equal
"""


def recorded(limit: int = 5, last: str = "double") -> str:
    return RECORDED.replace("{limit}", str(limit)).replace("{last}", last)


def test_a_run_is_recorded_once_and_replayed_ever_after(pytester: pytest.Pytester) -> None:
    looped = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
    asynchronous = ("-p", "no:cacheprovider", *looped)
    said = ran(pytester, recorded(), *asynchronous, failed=2)
    assert "record it: pytest --flujo-record" in said
    ran(pytester, recorded(), *asynchronous, "--flujo-record", passed=2)
    (file,) = (pytester.path / "recordings").iterdir()
    first = file.read_text()
    assert file.name == "order.jsonl"
    assert "count runs" not in ran(pytester, recorded(), *asynchronous, "-s", passed=2)
    said = ran(pytester, recorded(limit=6), *asynchronous, failed=2)
    assert "order.jsonl" in said
    assert "--flujo-record" in said
    assert "loop[2]" in said
    ran(pytester, recorded(last="count.named('more')"), *asynchronous, failed=2)
    ran(pytester, recorded(), *asynchronous, "--flujo-record", passed=2)
    assert file.read_text() == first  # the same run gives the same bytes


def test_a_file_that_is_no_recording(pytester: pytest.Pytester) -> None:
    folder = pytester.path / "recordings"
    folder.mkdir()
    for text in ("", "{}", "not json"):
        (folder / "order.jsonl").write_text(text)
        said = ran(pytester, recorded(), *PLAIN, "-k", "test_order", failed=1)
        assert "record it anew" in said

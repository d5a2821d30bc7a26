"""Where runs begin and end: what policies do not let in is written nowhere, whichever way it came."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import pytest
from pydantic import Field
from pydantic_core import from_json
from typing_extensions import override

from flujo import (
    Decision,
    Flujo,
    Hook,
    HumanInput,
    MemoryStore,
    Parallel,
    PipelineContext,
    Replace,
    SQLiteStore,
    Step,
    StepInfo,
    WaitForEvent,
    step,
)
from flujo.errors import (
    AnswerRejected,
    ConfigError,
    InputError,
    PolicyDenied,
    ResumeError,
    RunConflict,
)
from flujo.governance import (
    PII,
    CedarPolicy,
    GovernancePolicy,
    PIIScrubbingPolicy,
    PolicyContext,
    PolicyDecision,
    Principal,
    Verdict,
)
from flujo.journal.postgres import PostgresStore
from flujo.journal.store import JournalStore
from flujo.pipeline.policy import EVERYWHERE, Point
from tests.postgres import schema

MAIL, CARD = "jane.roe@example.com", "4111 1111 1111 1111"
PERSONAL = (b"jane.roe", b"4111 1111", b"4111111111111111")


class Desk(PipelineContext):
    note: str = ""
    letters: list[str] = Field(default_factory=list[str])


@step
async def read(text: str) -> str:
    return f"read {text}"


@step
async def file(text: str, context: Desk) -> str:
    context.letters.append(text)
    return text


letter = (read >> HumanInput("What else?", schema=str, name="more") >> file).named("letter")
paid = (read >> WaitForEvent("paid", schema=str, name="payment") >> file).named("paid")


class Kept:
    """A store, and all that it holds, byte for byte."""

    def __init__(self, store: JournalStore, held: Callable[[], Awaitable[bytes]]) -> None:
        self.store = store
        self.held = held


@pytest.fixture(params=["sqlite", "postgres"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Kept]:
    if request.param == "sqlite":
        store = SQLiteStore(tmp_path / "runs.db")
        yield Kept(store, lambda: _files(tmp_path))
        await store.close()
        return
    with schema() as url:
        store = PostgresStore(url)
        yield Kept(store, lambda: _rows(url))
        await store.close()


async def _files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("runs.db*"))


async def _rows(url: str) -> bytes:
    base, _, path = url.partition("search_path=")
    connection = await asyncpg.connect(base.rstrip("?&"), server_settings={"search_path": path})
    try:
        names = await connection.fetch(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = $1", path
        )
        found: list[bytes] = []
        for (name,) in names:
            for row in await connection.fetch(f'SELECT * FROM "{name}"'):
                found += (one if isinstance(one, bytes) else str(one).encode() for one in tuple(row))
        return b"\n".join(found)
    finally:
        await connection.close()


def clean(held: bytes) -> bool:
    return not any(one in held for one in PERSONAL)


class Looks(Hook):
    """Keeps all that it is shown."""

    def __init__(self, shown: list[Any]) -> None:
        self.shown = shown

    @override
    def on_pipeline_start(self, initial_input: Any, context: PipelineContext) -> None:
        self.shown += [initial_input, context.model_dump()]

    @override
    def pre_step_execution(self, step_name: str, step_input: Any, context: PipelineContext) -> None:
        self.shown += [step_input, context.model_dump()]

    @override
    def on_pipeline_end(self, pipeline_result: Any, context: PipelineContext) -> None:
        self.shown += [pipeline_result, context.model_dump()]


async def test_nothing_personal_is_written_whichever_way_it_comes(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[Any] = []
    runner = Flujo(
        letter,
        state=kept.store,
        context_model=Desk,
        policies=[PIIScrubbingPolicy()],
        hooks=[Looks(shown)],
    )
    begun = Desk(note=f"call {MAIL}")
    await runner.run_async(f"from {MAIL}, {CARD}", context=begun, run_id="run")
    await runner.start_async(f"from {MAIL}", context=begun, run_id="queued")
    await runner.carry_on("queued")
    shown += [event async for event in runner.stream_async(f"from {MAIL}", run_id="streamed")]
    await runner.resume_async("run", f"and {CARD}")
    await runner.answer("queued", Decision("edit", f"and {MAIL}", reason=f"asked {MAIL}"))
    await runner.carry_on("queued")
    await runner.answer("streamed", Decision("deny", reason=f"{MAIL} wants it not"))
    await runner.fork("run", at="read", input=f"{MAIL} again", context={"note": f"tel of {MAIL}"})
    await runner.fork("run", at="more", context={"letters": [CARD]})
    events = Flujo(paid, state=kept.store, context_model=Desk, policies=[PIIScrubbingPolicy()])
    await events.run_async("x", run_id="paid")
    await events.signal("paid", "paid", f"by {CARD}")
    assert clean(await kept.held())  # kept before it is taken in
    await events.carry_on("paid")
    assert clean(await kept.held())
    assert clean(repr(shown).encode())
    assert clean(caplog.text.encode())
    result = await runner.result("run")
    assert result.output == "and [CARD]"
    assert result.context.note == "call [EMAIL]"
    assert (await events.result("paid")).output == "by [CARD]"
    told = [from_json(event.body) for event in await kept.store.events("run") if event.kind == "verdict"]
    assert ("agent_start", "redact") in [(one["point"], one["verdict"]) for one in told]


async def test_the_tests_would_see_it_without_a_policy(kept: Kept) -> None:
    runner = Flujo(letter, state=kept.store, context_model=Desk)
    await runner.run_async(f"from {MAIL}", run_id="run")
    assert not clean(await kept.held())


def worded(word: str, at: frozenset[Point] = EVERYWHERE, what: Verdict = Verdict.DENY) -> GovernancePolicy:
    """Return a policy that decides where a word is said."""

    class Says(GovernancePolicy):
        points = at

        def __init__(self) -> None:
            self.asked: list[tuple[str, str]] = []

        def _says(self, context: PolicyContext, data: Any) -> PolicyDecision:
            self.asked.append((context.point, context.step))
            if word not in str(data):
                return PolicyDecision.ALLOW
            return PolicyDecision(what, f"no {len(word)} letters", "r1")

        @override
        async def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
            return self._says(context, input_data)

        @override
        async def check_output(self, context: PolicyContext, output: Any) -> PolicyDecision:
            return self._says(context, output)

        @override
        async def check_entry(self, context: PolicyContext, data: Any) -> PolicyDecision:
            return self._says(context, data)

    return Says()


async def test_a_run_that_is_denied_began_with_nothing(kept: Kept) -> None:
    runner = Flujo(letter, state=kept.store, context_model=Desk, policies=[worded("roe")])
    denied = await runner.run_async(MAIL, run_id="one")
    assert isinstance(denied.error, PolicyDenied)
    assert (denied.status, denied.error.point, denied.error.rule) == ("failed", "agent_start", "r1")
    by_context = await runner.run_async("x", context=Desk(note=MAIL), run_id="two")
    assert isinstance(by_context.error, PolicyDenied)
    assert clean(repr((denied, by_context)).encode())
    await runner.start_async(MAIL, run_id="three")
    assert clean(await kept.held())
    for name in ("one", "two", "three"):
        found = await runner.result(name)
        assert (found.status, len(found.steps)) == ("failed", 0)
        assert (await runner.replay(name)).equal
        with pytest.raises(ResumeError, match="cannot be forked"):
            await runner.fork(name, at="read", input="y")
    assert (await runner.run_async(MAIL, run_id="one")).status == "failed"  # the same input: the same run
    with pytest.raises(RunConflict):
        await runner.run_async("another", run_id="one")


async def test_what_is_redacted_is_the_run_s_input(kept: Kept) -> None:
    runner = Flujo(read, state=kept.store, policies=[PIIScrubbingPolicy()])
    first = await runner.run_async(MAIL, run_id="one")
    assert first.output == "read [EMAIL]"
    assert (await runner.run_async(MAIL, run_id="one")).output == "read [EMAIL]"
    with pytest.raises(RunConflict):
        await runner.run_async("john@example.com", run_id="one")
    assert (await runner.replay("one")).equal


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "live"])
async def test_a_person_is_asked_once_before_a_run_begins(durable: bool) -> None:
    policy = worded("large", what=Verdict.ESCALATE)
    state = MemoryStore() if durable else None
    runner = Flujo(read, state=state, policies=[policy])

    async def go_on(paused: Any, decision: Decision) -> Any:
        return await runner.resume_async("one" if durable else paused, decision)

    paused = await runner.run_async("a large sum", run_id="one")
    assert paused.status == "paused"
    assert (paused.pending[0].kind, paused.pending[0].subject) == ("policy", "a large sum")
    assert "the input of 'read'" in paused.pending[0].prompt
    done = await go_on(paused, Decision("approve", actor="ada"))
    assert done.status == "paused"  # what it gives says the word as well, and is other data
    assert done.pending[0].subject == "read a large sum"
    over = await go_on(done, Decision("approve", actor="ada"))
    assert (over.status, over.output) == ("completed", "read a large sum")
    if durable:
        assert (await runner.replay("one")).equal


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "live"])
async def test_what_a_person_puts_in_the_place_of_an_input_is_judged_anew(durable: bool) -> None:
    state = MemoryStore() if durable else None
    runner = Flujo(read, state=state, policies=[worded("large", what=Verdict.ESCALATE), worded("never")])
    paused = await runner.run_async("a large sum", run_id="one")
    fine = await runner.resume_async("one" if durable else paused, Decision("edit", "a small sum"))
    assert fine.output == "read a small sum"
    paused = await runner.run_async("a large sum", run_id="two")
    with pytest.raises(AnswerRejected, match="no 5 letters"):
        await runner.resume_async("two" if durable else paused, Decision("edit", "a sum never seen"))
    denied = await runner.resume_async("two" if durable else paused, Decision("deny"))
    assert isinstance(denied.error, PolicyDenied)


async def test_a_person_sees_what_other_policies_left_of_it() -> None:
    store = MemoryStore()
    runner = Flujo(read, state=store, policies=[PIIScrubbingPolicy(), worded("large", what=Verdict.ESCALATE)])
    paused = await runner.run_async(f"a large sum from {MAIL}", run_id="one")
    assert paused.pending[0].subject == "a large sum from [EMAIL]"
    assert clean(b"".join(event.body for event in await store.events("one")))
    done = await runner.resume_async("one", Decision("approve"))
    assert done.pending[0].address == "read#gate/output"


async def test_a_first_step_with_a_way_on_is_where_a_denial_goes() -> None:
    @step
    async def refuse(text: str) -> str:
        return f"not {text}"

    for state in (None, MemoryStore()):
        runner = Flujo(
            Step(read.agent, on_denied=refuse), state=state, policies=[worded("no", at=EVERYWHERE)]
        )
        result = await runner.run_async("yes")
        assert result.status == "completed"
    runner = Flujo(
        Step(read.agent, name="read", on_denied=refuse),
        state=MemoryStore(),
        policies=[worded("blue", at=frozenset({"agent_start"}))],
    )
    assert (await runner.run_async("blue", run_id="one")).output == "not blue"
    assert (await runner.result("one")).output == "not blue"
    assert (await runner.replay("one")).equal


async def test_the_output_of_a_run_is_judged_before_it_is_recorded() -> None:
    store = MemoryStore()
    both = Parallel(a=read, b=read)

    class Joined(GovernancePolicy):
        points = frozenset[Point]({"agent_end"})

        @override
        async def check_output(self, context: PolicyContext, output: Any) -> PolicyDecision:
            assert (context.point, context.step) == ("agent_end", "")
            return PolicyDecision.redact({**output, "b": "-"}, rule="half")

    runner = Flujo(both, state=store, policies=[Joined()])
    result = await runner.run_async("x", run_id="one")
    assert result.output == {"a": "read x", "b": "-"}
    assert (await runner.result("one")).output == result.output
    assert (await runner.replay("one")).equal
    denied = await Flujo(both, state=store, policies=[worded("read", frozenset({"agent_end"}))]).run_async(
        "x"
    )
    assert isinstance(denied.error, PolicyDenied)
    assert (denied.status, denied.output, denied.error.point) == ("failed", None, "agent_end")


async def test_an_answer_that_is_denied_leaves_the_run_waiting() -> None:
    store = MemoryStore()
    runner = Flujo(letter, state=store, context_model=Desk, policies=[worded("roe")])
    await runner.run_async("x", run_id="one")
    for decision in (Decision("edit", MAIL), Decision("deny", reason=MAIL)):
        with pytest.raises(AnswerRejected, match="rule 'r1' does not let that in"):
            await runner.answer("one", decision)
    assert clean(b"".join(event.body for event in await store.events("one")))
    told = [event for event in await store.events("one") if event.address == "more#entry"]
    assert [from_json(event.body)["verdict"] for event in told] == ["deny", "deny"]
    assert (await runner.resume_async("one", "fine")).output == "fine"
    with pytest.raises(InputError, match="does not let that in"):
        await runner.fork("one", at="read", input=MAIL)
    other = Flujo(paid, state=store, context_model=Desk, policies=[worded("roe")])
    await other.run_async("x", run_id="two")
    with pytest.raises(AnswerRejected, match="does not let that in"):
        await other.signal("two", "paid", MAIL)


async def test_what_a_hook_puts_in_the_place_of_an_input_is_judged_too() -> None:
    def elsewhere(value: str, context: PipelineContext) -> Replace:
        return Replace(f"{value} or {MAIL}")

    store = MemoryStore()
    runner = Flujo(
        read,
        state=store,
        policies=[PIIScrubbingPolicy()],
        on_pipeline_start=elsewhere,
    )
    assert (await runner.run_async("x", run_id="one")).output == "read x or [EMAIL]"
    assert clean(b"".join(event.body for event in await store.events("one")))


async def test_what_a_hook_puts_in_the_place_of_an_output_is_judged_too() -> None:
    def elsewhere(pipeline_result: Any, context: PipelineContext) -> Replace:
        return Replace(replace(pipeline_result, output=f"by {MAIL}"))

    store = MemoryStore()
    runner = Flujo(read, state=store, policies=[PIIScrubbingPolicy()], on_pipeline_end=elsewhere)
    assert (await runner.run_async("x", run_id="one")).output == "by [EMAIL]"
    assert (await runner.result("one")).output == "by [EMAIL]"
    denied = await runner.under([worded("roe")]).run_async("x", run_id="two")
    assert isinstance(denied.error, PolicyDenied)
    assert clean(b"".join([event.body for name in ("one", "two") for event in await store.events(name)]))


async def test_a_resumed_run_asks_nobody_again() -> None:
    store, policy = MemoryStore(), worded("zzz")
    runner = Flujo(letter, state=store, context_model=Desk, policies=[policy])
    await runner.run_async("x", run_id="one")
    asked: list[tuple[str, str]] = vars(policy)["asked"]
    assert asked.count(("agent_start", "")) == 2  # the context and the input
    asked.clear()
    await runner.resume_async("one", "y")
    assert ("agent_start", "") not in asked
    assert asked[0] == ("input", "more")
    assert asked[-1] == ("agent_end", "")


async def test_policies_that_do_not_say_so_are_not_asked_there() -> None:
    policy = worded("x")
    asked: list[tuple[str, str]] = vars(policy)["asked"]

    class Within(GovernancePolicy):
        @override
        async def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
            asked.append((context.point, context.step))
            return PolicyDecision.ALLOW

    await Flujo(read, policies=[Within()]).run_async("x")
    assert asked == [("input", "read")]


def test_a_point_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="holds 'agentstart'") as refused:
        Flujo(read, policies=[worded("x", at=frozenset({"agentstart"}))])  # pyright: ignore[reportArgumentType]
    assert "did you mean 'agent_start'?" in refused.value.fix


class Patient(PipelineContext):
    name: Annotated[str, PII("name")] = ""
    remark: str = ""


async def test_what_the_context_names_is_known_and_stays_there() -> None:
    store = MemoryStore()
    runner = Flujo(read, state=store, context_model=Patient, policies=[PIIScrubbingPolicy()])
    given = Patient(name="Kowalski", remark=f"{MAIL} asked")
    result = await runner.run_async("Kowalski called", context=given)
    assert result.output == "read [NAME] called"
    assert result.context.name == "Kowalski"
    assert MAIL not in result.context.remark
    runner = Flujo(read, state=store, context_model=Patient, policies=[PIIScrubbingPolicy(context="scrub")])
    result = await runner.run_async("Kowalski called", context=given, run_id="two")
    assert (result.output, result.context.name) == ("read [NAME] called", "[NAME]")
    assert b"Kowalski" not in b"".join(event.body for event in await store.events("two"))


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "live"])
async def test_what_steps_write_into_the_context_is_judged_before_it_is_recorded(durable: bool) -> None:
    @step
    async def look_up(text: str, context: Desk) -> str:
        context.note = f"answer to {MAIL}"
        context.letters.append(CARD)
        return text

    store = MemoryStore()
    runner = Flujo(
        (look_up >> file).named("desk"),
        state=store if durable else None,
        context_model=Desk,
        policies=[PIIScrubbingPolicy()],
    )
    result = await runner.run_async("x", run_id="one")
    assert (result.context.note, result.context.letters) == ("answer to [EMAIL]", ["[CARD]", "x"])
    if durable:
        assert clean(b"".join([event.body for event in await store.events("one")]))
        assert (await runner.replay("one")).equal
        assert (await runner.result("one")).context == result.context
    denied = await runner.under([worded("roe")]).run_async("x", run_id="two")
    assert isinstance(denied.error, PolicyDenied)
    assert (denied.error.step, denied.context.note) == ("look_up", "")
    assert "what 'look_up' changed in the context was denied" in str(denied.error)


async def test_policies_in_cedar_judge_there_once_they_name_it() -> None:
    allow = "permit (principal, action, resource);"
    forbid = (
        '@id("strangers") forbid (principal, action == Action::"agent_start", resource == Pipeline::"read")'
        ' when { context.input like "*secret*" } unless { principal in Role::"chief" };'
    )
    runner = Flujo(read, state=MemoryStore(), policies=[CedarPolicy(allow + forbid)])
    denied = await runner.run_async("a secret", run_id="one")
    assert isinstance(denied.error, PolicyDenied)
    assert (denied.error.point, denied.error.rule) == ("agent_start", "strangers")
    chief = Principal("grace", roles=("chief",))
    assert (await runner.run_async("a secret", principal=chief)).output == "read a secret"
    kinds = [event.kind for event in await runner.store.events("one")] if runner.store else []
    assert kinds[:3] == ["run.started", "policies", "verdict"]
    redacts = '@obligation("redact") permit (principal, action == Action::"agent_start", resource);'
    runner = Flujo(read, policies=[CedarPolicy(allow + redacts)])
    assert (await runner.run_async(MAIL)).output == "read [EMAIL]"


async def misbehaving(what: str, data: Any) -> Any:
    answer: Any = "yes"
    match what:
        case "raises":
            raise ZeroDivisionError("oh")
        case "hangs":
            await asyncio.sleep(60)
        case "mutates":
            data.append("more")
        case "another type":
            answer = PolicyDecision.redact(7)
        case "unknown":
            answer = PolicyDecision(Verdict.ALLOW, obligations=("dance",))
        case _:
            pass
    return answer


HOSTILE = ("raises", "hangs", "mutates", "another type", "unknown", "nonsense")


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("method", ["check_input", "check_entry", "check_output"])
async def test_a_policy_that_fails_there_denies(what: str, method: str) -> None:
    ran: list[Any] = []

    @step
    async def work(items: list[str]) -> list[str]:
        ran.append(items)
        return items

    class Bad(GovernancePolicy):
        points = frozenset[Point]({"agent_start", "agent_end"})
        timeout = 0.05

    async def judge(context: PolicyContext, data: Any) -> Any:
        return await misbehaving(what, data)

    policy = Bad()
    vars(policy)[method] = judge
    store = MemoryStore()
    runner = Flujo(work, state=store, policies=[policy])
    given = [MAIL]
    result = await runner.run_async(given, run_id="one")
    assert given == [MAIL]
    if method == "check_entry" and what == "mutates":
        return  # a context has no append: it raised
    assert isinstance(result.error, PolicyDenied), result
    assert (result.status, bool(ran)) == ("failed", method == "check_output")
    assert "failed, which denies" in result.error.reason
    if method != "check_output":
        assert clean(b"".join(event.body for event in await store.events("one")))


async def test_what_is_large_or_deep_is_judged_there_or_denied() -> None:
    @step
    async def size(data: Any) -> int:
        return len(str(data)[:10])

    runner = Flujo(size, state=MemoryStore(), policies=[worded("needle")])
    assert (await runner.run_async("x" * 10_000_000)).output == 10
    deep: Any = "needle"
    for _ in range(110):
        deep = [deep]
    found = await runner.run_async(deep, run_id="deep")
    assert isinstance(found.error, PolicyDenied)
    scrubbed = await Flujo(size, state=MemoryStore(), policies=[PIIScrubbingPolicy()]).run_async(deep)
    assert isinstance(scrubbed.error, PolicyDenied)
    assert scrubbed.error.point == "agent_start"


async def test_a_thousand_runs_begin_and_end_each_for_itself() -> None:
    class Own(GovernancePolicy):
        points = EVERYWHERE

        @override
        async def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
            await asyncio.sleep(0)
            if context.run_id != f"run-{input_data['n']}":
                return PolicyDecision.deny("mixed up")
            return PolicyDecision.redact({"n": input_data["n"], "by": context.principal.id})

        @override
        async def check_output(self, context: PolicyContext, output: Any) -> PolicyDecision:
            await asyncio.sleep(0)
            return PolicyDecision.deny("odd") if output["n"] % 2 else PolicyDecision.ALLOW

    @step
    async def same(data: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0)
        return data

    runner = Flujo(same, policies=[Own()])
    results = await asyncio.gather(
        *(runner.run_async({"n": n}, run_id=f"run-{n}", principal=Principal(f"p{n}")) for n in range(1000))
    )
    for n, result in enumerate(results):
        assert result.status == ("failed" if n % 2 else "completed")
        assert n % 2 or result.output == {"n": n, "by": f"p{n}"}


async def test_a_run_cancelled_while_it_is_judged_wrote_nothing_of_its_input() -> None:
    begun = asyncio.Event()

    class Slow(GovernancePolicy):
        points = EVERYWHERE

        @override
        async def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
            begun.set()
            await asyncio.sleep(5)
            return PolicyDecision.ALLOW

    store = MemoryStore()
    runner = Flujo(read, state=store, policies=[Slow()])
    running = asyncio.ensure_future(runner.run_async(MAIL, run_id="one"))
    await begun.wait()
    assert (await runner.cancel("one")).status == "cancelled"
    assert (await running).status == "cancelled"
    assert clean(b"".join(event.body for event in await store.events("one")))
    assert (await runner.result("one")).status == "cancelled"


def test_steps_ask_inside_and_their_answers_are_judged() -> None:
    async def ask(text: str, info: StepInfo) -> str:
        return await info.ask("who?", schema=str)

    store = MemoryStore()
    runner = Flujo(Step(ask), state=store, policies=[PIIScrubbingPolicy()])
    runner.run("x", run_id="one")
    assert runner.resume("one", MAIL).output == "[EMAIL]"
    events: Sequence[Any] = asyncio.run(store.events("one"))
    assert clean(b"".join(event.body for event in events))


def test_a_deadline_is_not_met_by_what_is_not_let_in() -> None:
    waits = HumanInput("more?", schema=str, name="more", timeout=timedelta(days=1))
    runner = Flujo((read >> waits).named("w"), state=MemoryStore(), policies=[worded("roe")])
    runner.run("x", run_id="one")
    with pytest.raises(AnswerRejected):
        runner.resume("one", MAIL)
    assert runner.resume("one", "fine").output == "fine"

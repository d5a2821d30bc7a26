"""Asking and answering: people, events, time."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, Field, model_validator
from pydantic_core import from_json

from flujo import (
    Approval,
    Decision,
    Flujo,
    HumanInput,
    Map,
    MemoryStore,
    Node,
    Parallel,
    PauseForHumanInput,
    PipelineContext,
    Sleep,
    Step,
    StepInfo,
    WaitForEvent,
    step,
)
from flujo.errors import (
    AnswerRejected,
    PipelineError,
    PlanChanged,
    RequestDenied,
    ResumeError,
    StepFailed,
    UnknownRequest,
    UnknownRun,
    WaitTimedOut,
)
from flujo.journal.store import JournalStore
from flujo.testing import VirtualClock


class Payment(BaseModel):
    amount: int = Field(gt=0)
    currency: str = "EUR"


@step
async def draft(x: int) -> Payment:
    return Payment(amount=x)


@step
async def pay(payment: Payment) -> str:
    return f"{payment.amount} {payment.currency}"


def approved(**settings: Any) -> Node[int, str]:
    return draft >> HumanInput("pay?", schema=Payment, **settings) >> pay


@pytest.fixture(params=[False, True], ids=["no store", "memory"])
def store(request: pytest.FixtureRequest) -> MemoryStore | None:
    return MemoryStore() if request.param else None


class Desk:
    """A paused run, and what a person may do with it."""

    def __init__(self, node: Node[Any, Any], store: JournalStore | None, clock: VirtualClock | None = None):
        self.runner = Flujo(node, state=store, clock=clock or VirtualClock())

    async def ask(self, x: Any = 7) -> Approval:
        self.paused = await self.runner.run_async(x)
        assert self.paused.status == "paused", self.paused.error
        return self.paused.pending[0]

    async def answer(self, human_input: Any, **more: Any):
        back = self.paused if self.runner.store is None else self.paused.run_id
        return await self.runner.resume_async(back, human_input, **more)


class TestDecisions:
    async def test_what_is_shown(self, store: JournalStore | None) -> None:
        def words(payment: Payment) -> str:
            return f"pay {payment.amount}?"

        clock = VirtualClock()
        desk = Desk(draft >> HumanInput(words, schema=Payment, name="chief") >> pay, store, clock)
        request = await desk.ask()
        assert request.prompt == "pay 7?"
        assert request.subject == {"amount": 7, "currency": "EUR"}
        assert request.schema["required"] == ["amount"]
        assert request.actions == ("approve", "edit", "deny")
        assert (request.kind, request.address, request.deadline) == ("input", "chief", None)
        assert request.id == f"{desk.paused.run_id}:chief"
        assert request.run_id == desk.paused.run_id
        assert request.asked_at.timestamp() * 1e6 == clock.now()
        assert len(request.digest) == 64

    async def test_approve(self, store: JournalStore | None) -> None:
        desk = Desk(approved(), store)
        await desk.ask()
        assert (await desk.answer(Decision("approve", actor="ann"))).output == "7 EUR"

    @pytest.mark.parametrize(
        "value", [Payment(amount=8, currency="USD"), {"amount": 8, "currency": "USD"}], ids=["typed", "json"]
    )
    @pytest.mark.parametrize("wrapped", [False, True])
    async def test_edit(self, store: JournalStore | None, value: Any, wrapped: bool) -> None:
        desk = Desk(approved(), store)
        await desk.ask()
        assert (await desk.answer(Decision("edit", value) if wrapped else value)).output == "8 USD"

    async def test_deny(self, store: JournalStore | None) -> None:
        desk = Desk(approved(), store)
        await desk.ask()
        result = await desk.answer(Decision("deny", actor="ann", reason="too dear"))
        assert isinstance(result.error, RequestDenied)
        assert "ann denied: too dear" in str(result.error)
        assert result.status == "failed"

    async def test_deny_goes_another_way(self, store: JournalStore | None) -> None:
        async def nothing(payment: Payment) -> Payment:
            return Payment(amount=1)

        desk = Desk(approved(on_deny=Step(nothing), name="chief"), store)
        await desk.ask()
        result = await desk.answer(Decision("deny"))
        assert result.output == "1 EUR"
        assert result.steps["nothing"].address == "chief/nothing"

    async def test_deny_goes_another_way_that_asks_again(self, store: JournalStore | None) -> None:
        node = approved(on_deny=HumanInput("then what?", schema=Payment), name="chief")
        desk = Desk(node, store)
        await desk.ask()
        desk.paused = await desk.answer(Decision("deny"))
        assert desk.paused.pending[0].address == "chief/human_input"
        assert (await desk.answer({"amount": 3})).output == "3 EUR"

    async def test_what_does_not_fit_leaves_the_run_paused(self, store: JournalStore | None) -> None:
        desk = Desk(approved(), store)
        request = await desk.ask()
        for wrong, said in (
            ({"amount": 0}, "greater than 0"),
            ({"amount": "many"}, "amount"),
            ({}, "amount"),
            ("text", "answer does not fit"),
            (None, "answer does not fit"),
            (object(), "answer does not fit"),
        ):
            with pytest.raises(AnswerRejected) as caught:
                await desk.answer(wrong)
            assert said in str(caught.value)
            assert caught.value.fix
            assert "human_input" in str(caught.value)
        if store is not None:
            assert await desk.runner.pending(desk.paused.run_id) == (request,)
        assert (await desk.answer({"amount": 8})).output == "8 EUR"

    async def test_what_was_given_is_not_repeated_in_the_error(self) -> None:
        desk = Desk(approved(), MemoryStore())
        await desk.ask()
        with pytest.raises(AnswerRejected) as caught:
            await desk.answer({"amount": "my secret"})
        assert "my secret" not in str(caught.value)

    @pytest.mark.parametrize(
        ("complaint", "told"),
        [("amount and reason are both needed", True), ("{reason} is no reason", False)],
        ids=["its own words", "the answer's"],
    )
    async def test_what_the_models_own_validator_says_is_told_unless_it_repeats_the_answer(
        self, complaint: str, told: bool
    ) -> None:
        class Judged(BaseModel):
            reason: str

            @model_validator(mode="after")
            def judge(self) -> "Judged":
                raise ValueError(complaint.format(reason=self.reason))

        runner = Flujo(HumanInput("why?", schema=Judged), state=MemoryStore())
        paused = await runner.run_async(1)
        with pytest.raises(AnswerRejected) as caught:
            await runner.resume_async(paused.run_id, {"reason": "my secret"})
        assert (complaint in caught.value.message) is told
        assert "my secret" not in str(caught.value)

    async def test_approve_must_fit_too(self, store: JournalStore | None) -> None:
        def subject(payment: Payment) -> dict[str, Any]:
            return {"please": "look"}

        desk = Desk(approved(subject=subject), store)
        await desk.ask()
        with pytest.raises(AnswerRejected):
            await desk.answer(Decision("approve"))
        assert (await desk.answer({"amount": 8})).output == "8 EUR"

    async def test_approve_is_not_offered_where_nothing_shown_could_fit(
        self, store: JournalStore | None
    ) -> None:
        desk = Desk(draft >> HumanInput("how much?", schema=int), store)
        request = await desk.ask()
        assert request.actions == ("edit", "deny")
        with pytest.raises(AnswerRejected, match="edit or deny"):
            await desk.answer(Decision("approve"))

    async def test_the_digest_of_something_else(self, store: JournalStore | None) -> None:
        desk = Desk(approved(), store)
        request = await desk.ask()
        with pytest.raises(AnswerRejected, match="something else"):
            await desk.answer(Decision("approve", digest="0" * 64))
        assert (await desk.answer(Decision("approve", digest=request.digest))).success

    async def test_twice(self) -> None:
        desk = Desk(approved(), MemoryStore())
        await desk.ask()
        await desk.answer(Decision("approve"))
        with pytest.raises(UnknownRequest):
            await desk.answer(Decision("approve"))

    async def test_a_resume_without_an_answer_only_looks(self, store: JournalStore | None) -> None:
        desk = Desk(approved(), store)
        request = await desk.ask()
        back = desk.paused if store is None else desk.paused.run_id
        again = await desk.runner.resume_async(back)
        assert (again.status, again.pending) == ("paused", (request,))

    async def test_an_answer_to_a_run_that_asks_nothing(self, store: JournalStore | None) -> None:
        runner = Flujo(draft, state=store)
        result = await runner.run_async(1)
        with pytest.raises(ResumeError):
            await runner.resume_async(result, "answer")

    def test_actions_are_checked(self) -> None:
        with pytest.raises(PipelineError, match="approve"):
            Decision("reject")  # pyright: ignore[reportArgumentType]

    async def test_a_result_without_a_store_can_be_answered_twice(self) -> None:
        """A paused result is data: going on from it leaves it as it is."""

        class Notes(PipelineContext):
            lines: list[str] = Field(default_factory=list)

        async def note(x: int, notes: Notes) -> int:
            notes.lines.append(str(x))
            return x

        desk = Desk(Step(note) >> HumanInput("?", schema=int) >> Step(note, name="again"), None)
        await desk.ask(1)
        for answer in (2, 3):
            result = await desk.answer(answer)
            assert isinstance(result.context, Notes)
            assert result.context.lines == ["1", str(answer)]

    async def test_answering_without_going_on(self) -> None:
        store, ran = MemoryStore(), list[str]()

        async def after(payment: Payment) -> str:
            ran.append("after")
            return "paid"

        node = draft >> HumanInput("pay?", schema=Payment) >> Step(after)
        runner = Flujo(node, state=store)
        paused = await runner.run_async(7)
        asked = await runner.answer(paused.run_id, Decision("approve", actor="ann", channel="chat"))
        assert asked == paused.pending[0]
        assert ran == []
        assert await runner.pending(paused.run_id) == ()
        with pytest.raises(UnknownRequest):
            await runner.answer(paused.run_id, Decision("approve"))
        assert (await runner.resume_async(paused.run_id)).output == "paid"
        with pytest.raises(ResumeError):
            await runner.answer(paused.run_id, Decision("approve"))

    async def test_a_plain_answer_from_elsewhere_is_an_edit(self) -> None:
        runner = Flujo(HumanInput("How many?", schema=int), state=MemoryStore())
        paused = await runner.run_async(1)
        await runner.answer(paused.run_id, 3)
        assert (await runner.resume_async(paused.run_id)).unwrap() == 3

    async def test_who_decided_is_in_the_journal(self) -> None:
        store = MemoryStore()
        desk = Desk(approved(), store)
        await desk.ask()
        await desk.answer(Decision("approve", actor="ann", channel="chat", reason="fine"))
        bodies = [
            from_json(one.body) for one in await store.events(desk.paused.run_id) if one.kind == "answer"
        ]
        assert len(bodies) == 1
        assert (bodies[0]["actor"], bodies[0]["channel"], bodies[0]["reason"]) == ("ann", "chat", "fine")
        assert bodies[0]["action"] == "approve"


class TestStepsThatAsk:
    async def test_the_answer_must_fit_the_steps_output(self, store: JournalStore | None) -> None:
        @step
        async def asks(x: int) -> Payment:
            raise PauseForHumanInput("how much?")

        desk = Desk(asks >> pay, store)
        request = await desk.ask()
        assert "amount" in request.schema["properties"]
        with pytest.raises(AnswerRejected):
            await desk.answer("much")
        assert (await desk.answer({"amount": 5})).output == "5 EUR"

    async def test_a_schema_that_is_not_the_steps_output(self, store: JournalStore | None) -> None:
        @step
        async def asks(x: int) -> Payment:
            raise PauseForHumanInput("how much?", int)

        desk = Desk(asks >> pay, store)
        paused = await desk.runner.run_async(1)
        if paused.status == "paused":
            desk.paused = paused
            with pytest.raises(AnswerRejected):
                await desk.answer(5)
        else:
            assert isinstance(paused.error, StepFailed)

    async def test_an_answer_to_ask_must_fit(self, store: JournalStore | None) -> None:
        @step
        async def asks(x: int, info: StepInfo) -> str:
            payment = await info.ask("how much?", Payment)
            return f"{type(payment).__name__} {payment.amount}"

        desk = Desk(asks, store)
        request = await desk.ask()
        assert request.address == "asks#ask"
        with pytest.raises(AnswerRejected):
            await desk.answer({"amount": "x"})
        assert (await desk.answer({"amount": 5})).output == "Payment 5"

    async def test_a_denied_ask_reaches_the_step(self, store: JournalStore | None) -> None:
        @step
        async def asks(x: int, info: StepInfo) -> str:
            try:
                return await info.ask("go on?")
            except RequestDenied as denied:
                return f"denied: {denied.message}"

        desk = Desk(asks, store)
        await desk.ask()
        result = await desk.answer(Decision("deny", reason="no time"))
        assert result.success
        assert "no time" in str(result.output)

    async def test_a_step_cannot_swallow_its_own_pause(self, store: JournalStore | None) -> None:
        @step
        async def asks(x: int, info: StepInfo) -> str:
            try:
                return await info.ask("go on?")
            except Exception as error:
                return f"swallowed {error}"

        desk = Desk(asks, store)
        await desk.ask()
        assert (await desk.answer("yes")).output == "yes"

    async def test_a_step_in_a_thread_may_raise(self, store: JournalStore | None) -> None:
        @step
        def asks(x: int) -> int:
            raise PauseForHumanInput("a number", int)

        desk = Desk(asks, store)
        await desk.ask()
        assert (await desk.answer(4)).output == 4

    async def test_a_step_with_retries_may_ask(self, store: JournalStore | None) -> None:
        ran: list[int] = []

        @step(retry=3)
        async def asks(x: int, info: StepInfo) -> int:
            ran.append(info.attempt)
            if info.attempt == 1:
                raise RuntimeError("busy")
            return await info.ask("a number", int)

        desk = Desk(asks, store)
        await desk.ask()
        result = await desk.answer(4)
        assert (result.output, ran) == (4, [1, 2, 2])


class TestSeveralAtOnce:
    @staticmethod
    def node() -> Node[Any, Any]:
        return Parallel(
            name="both",
            a=HumanInput("a?", schema=int),
            b=draft >> HumanInput("b?", schema=Payment),
            c=draft,
        )

    async def test_each_is_answered_by_name(self, store: JournalStore | None) -> None:
        desk = Desk(self.node(), store)
        await desk.ask()
        first = desk.paused
        assert [one.address for one in first.pending] == ["both/a/human_input", "both/b/human_input"]
        assert "both/c/draft" in [one.address for one in first.steps]
        with pytest.raises(UnknownRequest, match="waits for 2 answers"):
            await desk.answer(1)
        with pytest.raises(UnknownRequest, match="both/b/human_input"):
            await desk.answer(1, request="both/x/human_input")
        desk.paused = await desk.answer({"amount": 2}, request="both/b/human_input")
        assert [one.address for one in desk.paused.pending] == ["both/a/human_input"]
        result = await desk.answer(1)
        assert result.output == {"a": 1, "b": Payment(amount=2), "c": Payment(amount=7)}

    async def test_by_id(self, store: JournalStore | None) -> None:
        desk = Desk(self.node(), store)
        await desk.ask()
        wanted = desk.paused.pending[1]
        desk.paused = await desk.answer(Decision("approve"), request=wanted.id)
        assert len(desk.paused.pending) == 1

    async def test_all_answered_before_going_on(self) -> None:
        desk = Desk(self.node(), MemoryStore())
        await desk.ask()
        run_id = desk.paused.run_id
        await desk.runner.answer(run_id, Decision("edit", 1), request="both/a/human_input")
        await desk.runner.answer(run_id, Decision("edit", {"amount": 2}), request="both/b/human_input")
        result = await desk.runner.resume_async(run_id)
        assert result.success

    async def test_items_of_a_map(self, store: JournalStore | None) -> None:
        desk = Desk(Map(draft >> HumanInput("?", schema=Payment) >> pay), store)
        await desk.ask([1, 2, 3])
        for index in (2, 0, 1):
            desk.paused = await desk.answer({"amount": 10 + index}, request=f"map[{index}]/human_input")
        assert desk.paused.output == ["10 EUR", "11 EUR", "12 EUR"]


class TestEvents:
    async def test_a_signal_is_the_output(self) -> None:
        store = MemoryStore()
        runner = Flujo(draft >> WaitForEvent("paid", schema=Payment) >> pay, state=store)
        paused = await runner.run_async(1)
        (request,) = paused.pending
        assert (request.kind, request.address, request.actions) == ("event", "paid", ("edit",))
        await runner.signal(paused.run_id, "paid", {"amount": 3})
        result = await runner.resume_async(paused.run_id)
        assert result.output == "3 EUR"
        assert await store.signals(paused.run_id) == []

    async def test_a_signal_that_comes_early_is_kept(self) -> None:
        paid = WaitForEvent("paid", schema=Payment)
        runner = Flujo(HumanInput("go?", schema=int) >> draft >> paid >> pay, state=MemoryStore())
        paused = await runner.run_async(1)
        await runner.signal(paused.run_id, "paid", {"amount": 3})
        result = await runner.resume_async(paused.run_id, 2)
        assert result.output == "3 EUR"

    async def test_each_wait_takes_the_earliest_that_is_left(self) -> None:
        store = MemoryStore()
        wait = WaitForEvent("paid", schema=Payment)
        runner = Flujo(Parallel(a=draft >> wait >> pay, b=draft >> wait >> pay), state=store)
        paused = await runner.run_async(1)
        for amount in (1, 2, 3):
            await runner.signal(paused.run_id, "paid", {"amount": amount})
        result = await runner.resume_async(paused.run_id)
        assert result.output == {"a": "1 EUR", "b": "2 EUR"}
        assert [signal.payload for signal in await store.signals(paused.run_id)] == [
            b'{"amount":3,"currency":"EUR"}'
        ]

    async def test_what_nobody_waits_for(self) -> None:
        runner = Flujo(draft >> WaitForEvent("paid", schema=Payment) >> pay, state=MemoryStore())
        paused = await runner.run_async(1)
        with pytest.raises(UnknownRequest, match="shipped"):
            await runner.signal(paused.run_id, "shipped")
        with pytest.raises(AnswerRejected):
            await runner.signal(paused.run_id, "paid", {"amount": -1})
        with pytest.raises(UnknownRun):
            await runner.signal("nobody", "paid")
        await runner.signal(paused.run_id, "paid", {"amount": 1})
        await runner.resume_async(paused.run_id)
        with pytest.raises(ResumeError):
            await runner.signal(paused.run_id, "paid", {"amount": 1})

    async def test_too_late_fails(self) -> None:
        clock, store = VirtualClock(), MemoryStore()
        node = draft >> WaitForEvent("paid", schema=Payment, timeout=timedelta(hours=1)) >> pay
        runner = Flujo(node, state=store, clock=clock)
        paused = await runner.run_async(1)
        deadline = paused.pending[0].deadline
        assert deadline is not None
        assert deadline - paused.pending[0].asked_at == timedelta(hours=1)
        clock.advance(3599)
        assert (await runner.resume_async(paused.run_id)).status == "paused"
        clock.advance(2)
        await runner.signal(paused.run_id, "paid", {"amount": 1})
        result = await runner.resume_async(paused.run_id)
        assert isinstance(result.error, WaitTimedOut)
        assert "paid" in str(result.error)

    async def test_too_late_goes_another_way(self, store: JournalStore | None) -> None:
        async def remind(payment: Payment) -> Payment:
            return Payment(amount=99)

        clock = VirtualClock()
        node = (
            draft
            >> WaitForEvent(
                "paid", schema=Payment, timeout=timedelta(hours=1), on_timeout=Step(remind), name="wait"
            )
            >> pay
        )
        desk = Desk(node, store, clock)
        await desk.ask()
        clock.advance(3601)
        back = desk.paused if store is None else desk.paused.run_id
        result = await desk.runner.resume_async(back)
        assert result.output == "99 EUR"
        assert result.steps["remind"].address == "wait/remind"


class TestAnsweringInTime:
    HOUR = timedelta(hours=1)

    async def test_within_it_the_answer_counts(self, store: JournalStore | None) -> None:
        clock = VirtualClock()
        desk = Desk(approved(timeout=self.HOUR), store, clock)
        request = await desk.ask()
        assert request.deadline is not None
        assert request.deadline - request.asked_at == self.HOUR
        clock.advance(3599)
        assert (await desk.answer({"amount": 3})).output == "3 EUR"

    async def test_after_it_no_answer_is_taken_and_the_node_fails(self) -> None:
        clock = VirtualClock()
        desk = Desk(approved(timeout=self.HOUR, name="chief"), MemoryStore(), clock)
        await desk.ask()
        clock.advance(3601)
        for late in ({"amount": 3}, Decision("deny")):
            with pytest.raises(AnswerRejected, match="the time for an answer ended"):
                await desk.answer(late)
        result = await desk.runner.resume_async(desk.paused.run_id)
        assert isinstance(result.error, WaitTimedOut)
        assert "chief: nobody answered within 1:00:00" in str(result.error)

    async def test_after_it_another_way_is_gone_once(self, store: JournalStore | None) -> None:
        async def escalate(payment: Payment) -> Payment:
            return Payment(amount=payment.amount + 90)

        async def drop(payment: Payment) -> Payment:
            return Payment(amount=50)

        clock = VirtualClock()
        node = approved(
            timeout=self.HOUR,
            on_timeout=Step(escalate) >> HumanInput("sure?", schema=Payment),
            on_deny=Step(drop),
        )
        desk = Desk(node, store, clock)
        await desk.ask()
        clock.advance(3601)
        back = desk.paused if store is None else desk.paused.run_id
        desk.paused = await desk.runner.resume_async(back)
        (second,) = desk.paused.pending
        assert (second.prompt, second.subject) == ("sure?", {"amount": 97, "currency": "EUR"})
        result = await desk.answer(Decision("approve"))
        assert result.output == "97 EUR"
        assert [step.name for step in result.steps] == ["draft", "escalate", "pay"]

    async def test_denied_within_it_goes_the_way_of_denial(self, store: JournalStore | None) -> None:
        async def drop(payment: Payment) -> Payment:
            return Payment(amount=50)

        clock = VirtualClock()
        desk = Desk(
            approved(timeout=self.HOUR, on_timeout=Step(draft_again), on_deny=Step(drop)), store, clock
        )
        await desk.ask()
        assert (await desk.answer(Decision("deny"))).output == "50 EUR"

    @pytest.mark.parametrize(
        "wrong",
        [{"timeout": 5}, {"timeout": timedelta(0)}, {"timeout": timedelta(-1)}, {"on_timeout": draft}],
        ids=str,
    )
    def test_what_is_no_limit_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(PipelineError, match="HumanInput") as caught:
            approved(**wrong)
        assert caught.value.fix


async def draft_again(payment: Payment) -> Payment:
    return payment


class TestSleeping:
    async def test_it_waits_by_the_clock(self, store: JournalStore | None) -> None:
        clock = VirtualClock()
        runner = Flujo(Sleep(timedelta(days=7)) >> draft, state=store, clock=clock)
        result = await runner.run_async(1)
        assert result.output == Payment(amount=1)
        assert clock.slept == [7 * 86400]

    async def test_resumed_half_way_it_waits_for_what_is_left(self) -> None:
        clock, store = VirtualClock(held=True), MemoryStore()
        node = Sleep(timedelta(hours=10)) >> draft
        task = asyncio.create_task(Flujo(node, state=store, clock=clock).run_async(1, run_id="r1"))
        await clock.asleep()
        clock.advance(4 * 3600)
        await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        resumed = asyncio.create_task(Flujo(node, state=store, clock=clock).resume_async("r1"))
        await clock.asleep(2)
        assert clock.slept == [36_000, 21_600]
        clock.advance(6 * 3600)
        assert (await resumed).success

    async def test_one_that_is_over_is_not_waited_for_again(self) -> None:
        clock, store = VirtualClock(), MemoryStore()
        node = Sleep(timedelta(hours=10)) >> HumanInput("?", schema=int)
        runner = Flujo(node, state=store, clock=clock)
        paused = await runner.run_async(1)
        await runner.resume_async(paused.run_id, 1)
        assert clock.slept == [36_000]

    async def test_side_by_side(self) -> None:
        clock = VirtualClock(held=True)
        node = Parallel(Sleep(timedelta(seconds=3)), Sleep(timedelta(seconds=5)))
        task = asyncio.create_task(Flujo(node, clock=clock).run_async(1))
        await clock.asleep(2)
        clock.advance(5)
        assert (await task).output == (1, 1)


class TestGoingOnElsewhere:
    async def test_an_unknown_run(self, store: JournalStore | None) -> None:
        runner = Flujo(draft, state=store)
        with pytest.raises(UnknownRun) as caught:
            await runner.resume_async("nobody")
        assert caught.value.fix
        if store is not None:
            for call in (runner.result("nobody"), runner.pending("nobody")):
                with pytest.raises(UnknownRun, match="nobody"):
                    await call

    async def test_another_plan_is_refused_with_what_differs(self) -> None:
        store = MemoryStore()
        paused = await Flujo(approved(), state=store).run_async(7)

        async def charge(payment: Payment) -> str:
            return "charged"

        other = draft >> HumanInput("pay?", schema=Payment) >> Step(charge)
        with pytest.raises(PlanChanged) as caught:
            await Flujo(other, state=store).resume_async(paused.run_id, Decision("approve"))
        assert set(caught.value.addresses) == {"pay", "charge"}
        assert "charge" in str(caught.value)
        assert caught.value.fix
        assert (await Flujo(approved(), state=store).resume_async(paused.run_id, Decision("approve"))).success

    async def test_a_changed_type_is_named(self) -> None:
        store = MemoryStore()
        paused = await Flujo(draft >> HumanInput("?", schema=int), state=store).run_async(7)
        with pytest.raises(PlanChanged) as caught:
            await Flujo(draft >> HumanInput("?", schema=str), state=store).resume_async(paused.run_id, "a")
        assert caught.value.addresses == ("human_input",)

    async def test_changed_words_and_settings_are_no_other_plan(self) -> None:
        store = MemoryStore()
        paused = await Flujo(draft >> HumanInput("?", schema=int), state=store).run_async(7)
        node = Step(draft.agent, name="draft", retry=5, timeout=3) >> HumanInput("how many?", schema=int)
        assert (await Flujo(node, state=store).resume_async(paused.run_id, 1)).success

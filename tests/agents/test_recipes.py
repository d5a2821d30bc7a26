"""Recipes: written until it is good, the best of several, votes and debates; safe wherever they die."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from flujo import Failure, Flujo, MemoryStore, Node, Quota, SQLiteStore, Step, SubPipeline, Usage, step
from flujo.agents import (
    Attempt,
    Ballot,
    Debate,
    DebateTurn,
    Revision,
    best_of,
    consensus,
    debate,
    refine_until,
)
from flujo.errors import FlujoError, LoopExhausted, PipelineError, PlanError, RunError, StepFailed
from flujo.pipeline.info import StepInfo
from flujo.plan.compile import compile_plan
from flujo.testing import Lives, Scripted


class Letter(BaseModel):
    text: str


class Review(BaseModel):
    score: float
    findings: list[str] = []


class Politer(Review):
    """A subclass, which must come back as itself."""

    tone: str = "polite"


def scores(*values: float) -> Step[str, Review]:
    return Step(Scripted(*(Review(score=value) for value in values), gives=Review), name="review")


def drafts(*values: str) -> tuple[Scripted[str], Step[Any, str]]:
    script = Scripted(*values, gives=str)
    return script, Step(script, name="write")


def run(node: Node[Any, Any], task: Any = "a letter", **settings: Any) -> Any:
    return Flujo(node, state=MemoryStore(), **settings).run(task)


class TestRefineUntil:
    def test_it_writes_again_until_the_score_is_reached(self) -> None:
        script, write = drafts("one", "two", "three")
        result = run(refine_until(write, scores(0.2, 0.5, 0.9), until=0.9, max_turns=5))
        assert result.unwrap() == "three"
        assert [one.address for one in result.steps if one.address.endswith(("write", "review"))] == [
            f"refine/turn[{turn}]/{place}"
            for turn in (1, 2, 3)
            for place in ("draft/write", "critique/review")
        ]
        assert script.inputs[0] == "a letter"
        assert script.inputs[1].startswith("a letter\n\n<draft-")
        assert "\none\n</draft-" in script.inputs[1]
        assert '"score": 0.2' in script.inputs[1]
        assert "two" not in script.inputs[1]

    def test_a_score_may_be_a_mere_number(self) -> None:
        _, write = drafts("one", "two")
        judge: Step[str, float] = Step(Scripted(1, 2.5, gives=float), name="judge")
        assert run(refine_until(write, judge, until=2, max_turns=2)).unwrap() == "two"

    def test_a_function_judges_the_critique(self) -> None:
        _, write = drafts("one", "two", "three")
        critic: Step[str, list[str]] = Step(Scripted(["bad"], ["odd"], [], gives=list[str]), name="critic")
        seen: list[list[str]] = []

        async def spotless(findings: list[str]) -> bool:
            seen.append(findings)
            return not findings

        assert run(refine_until(write, critic, until=spotless, max_turns=3)).unwrap() == "three"
        assert seen == [["bad"], ["odd"], []]

    def test_a_draft_that_never_is_good_fails_with_the_place(self) -> None:
        _, write = drafts("one", "two")
        result = run(refine_until(write, scores(0.1, 0.2), until=1, max_turns=2))
        assert isinstance(result.error, LoopExhausted)
        assert "refine/turn" in str(result.error)

    def test_on_request_it_gives_the_best_that_there_was(self) -> None:
        _, write = drafts("one", "two", "three")
        node = refine_until(write, scores(0.1, 0.8, 0.3), until=1, max_turns=3, on_exhausted="return")
        assert run(node).unwrap() == "two"

    def test_or_the_last_where_there_are_no_scores(self) -> None:
        _, write = drafts("one", "two")
        node = refine_until(
            write, scores(0.9, 0.1), until=lambda review: review.score > 1, max_turns=2, on_exhausted="return"
        )
        assert run(node).unwrap() == "two"

    def test_a_node_of_its_own_revises(self) -> None:
        @step
        async def write(task: Letter) -> Letter:
            return task

        @step
        async def mend(asked: Revision[Letter, Letter, Review]) -> Letter:
            assert isinstance(asked.critique, Review)
            return Letter(text=f"{asked.draft.text}{asked.turn}{asked.critique.findings[0]}")

        @step
        async def review(draft: Letter) -> Review:
            return Review(score=len(draft.text), findings=["!"])

        node = refine_until(write, review, revise=mend, until=5, max_turns=4)
        result = run(node, Letter(text="a"))
        assert result.unwrap() == Letter(text="a2!3!")
        assert result.steps["refine/turn[2]/draft/again/revise/mend"].output == Letter(text="a2!")

    def test_the_critique_sees_the_task_if_it_asks_for_it(self) -> None:
        _, write = drafts("one", "two")

        @step
        async def covers(attempt: Attempt[str, str]) -> float:
            assert attempt.task == "a letter"
            return 1.0 if attempt.draft == "two" else 0.0

        assert run(refine_until(write, covers, until=1, max_turns=2)).unwrap() == "two"

    def test_inner_names_like_its_own_mean_nothing_to_it(self) -> None:
        """Its own references must not find the nodes of a recipe that stands inside it."""
        _, write = drafts("one", "two")
        inner = refine_until(write, scores(0.1, 0.9), until=0.5, max_turns=2)

        @step(name="draft")
        async def mark(text: str) -> str:
            return f"<{text}>"

        @step(name="turn")
        async def review(text: str) -> Review:
            return Review(score=1)

        assert run(refine_until(inner >> mark, review, until=1, max_turns=1)).unwrap() == "<two>"

    def test_what_has_no_score_is_told(self) -> None:
        _, write = drafts("one")

        @step
        async def review(draft: str) -> str:
            return "fine"

        untyped: Any = review
        result = run(refine_until(write, untyped, until=1, max_turns=1))
        assert isinstance(result.error, StepFailed)
        assert "a str is no score: fine" in str(result.error)

    def test_no_number_is_no_score(self) -> None:
        _, write = drafts("one")
        result = Flujo(refine_until(write, scores(float("nan")), until=1, max_turns=1)).run("a letter")
        assert "is no score" in str(result.error)

    def test_a_type_that_nothing_declares_is_given(self) -> None:
        async def write(task: Any) -> Letter:
            return Letter(text=task.text)

        async def mend(asked: Revision[Letter, Letter, float]) -> Letter:
            return Letter(text=f"{asked.task.text}, again")

        @step
        async def judge(draft: Letter) -> float:
            return float(len(draft.text))

        node = refine_until(Step(write), judge, revise=Step(mend), until=5, max_turns=2, takes=Letter)
        assert run(node, Letter(text="hi")).unwrap().text == "hi, again"


class TestBestOf:
    def test_it_gives_the_draft_with_the_highest_score(self) -> None:
        @step
        async def write(task: str, info: StepInfo) -> Letter:
            return Letter(text=f"{task} {info.address.split('/')[2]}")

        @step
        async def score(draft: Letter) -> Review:
            return Review(score={"0": 0.3, "1": 0.7, "2": 0.7}[draft.text[-1]])

        result = run(best_of(3, write, score))
        assert result.unwrap() == Letter(text="a letter 1")
        assert result.steps["best_of/drafts/2/score/score"].output == Review(score=0.7)

    def test_the_scorer_sees_the_task_if_it_asks_for_it(self) -> None:
        _, write = drafts("one", "two")

        @step
        async def score(attempt: Attempt[str, str]) -> int:
            return len(attempt.task + attempt.draft)

        assert run(best_of(2, write, score)).unwrap() == "one"

    def test_a_draft_that_fails_is_left_out_on_request(self) -> None:
        def made(*answers: Any) -> Node[str, str]:
            write: Step[str, str] = Step(Scripted(*answers, gives=str), name="write")
            return best_of(len(answers), write, size, on_failure="collect")

        @step
        async def size(draft: str) -> int:
            return len(draft)

        assert run(made(ValueError("no"), "three", "two")).unwrap() == "three"
        failed = run(made(ValueError("no"), ValueError("no")))
        assert isinstance(failed.error, RunError)
        assert "all of 2 drafts failed" in str(failed.error)

    def test_what_it_may_do_is_known_before(self) -> None:
        _, write = drafts("one")
        worst = compile_plan(best_of(4, write, scores(1))).worst_case
        assert worst.per_item == ()
        assert worst.steps == 4 * 3  # each draft is written, scored and entered


class TestConsensus:
    @staticmethod
    def agents(*answers: Any, gives: Any = str) -> list[Node[str, Any]]:
        return [Step(Scripted(answer, gives=gives), name=f"agent_{at}") for at, answer in enumerate(answers)]

    def test_more_than_half_decide(self) -> None:
        result = run(consensus(self.agents("b", "a", "a")))
        assert result.unwrap() == "a"
        assert result.steps["consensus/answers/0/agent_0"].output == "b"

    def test_too_few_who_agree_fail_the_run(self) -> None:
        result = run(consensus(self.agents("a", "a", "b", "c")))
        assert "no 3 of 4 agents agree: they split 2, 1, 1" in str(result.error)

    def test_answers_are_compared_whole_or_by_a_key(self) -> None:
        answers = (Review(score=1, findings=["x"]), Review(score=1, findings=["y"]))
        assert run(consensus(self.agents(*answers, gives=Review))).error is not None
        by_score = consensus(self.agents(*answers, gives=Review), key=lambda review: review.score)
        assert run(by_score).unwrap() == answers[0]

    @pytest.mark.parametrize(
        ("answers", "gives", "agree"),
        [
            (({0, 8}, {8, 0}), set[int], True),  # equal, and in another order when written
            ((1, 1.0), float, True),
            ((True, 1), bool | int, False),
            (("1", 1), str | int, False),
        ],
        ids=repr,
    )
    def test_answers_are_one_where_they_are_equal(
        self, answers: tuple[Any, Any], gives: Any, *, agree: bool
    ) -> None:
        result = run(consensus(self.agents(*answers, gives=gives)))
        assert (result.status == "completed") is agree, result.error

    def test_a_key_may_be_anything_that_compares(self) -> None:
        by_letters = consensus(self.agents("ab", "ba"), key=lambda answer: tuple(sorted(answer)))
        assert run(by_letters).unwrap() == "ab"

    def test_the_judge_decides_where_they_do_not_agree(self) -> None:
        @step
        async def judge(ballot: Ballot[str, str]) -> str:
            return f"{ballot.task}: {'/'.join(ballot.answers)}"

        disputed = run(consensus(self.agents("a", "b"), agree=2, judge=judge))
        assert disputed.unwrap() == "a letter: a/b"
        agreed = run(consensus(self.agents("a", "a"), agree=2, judge=judge))
        assert agreed.unwrap() == "a"
        assert not [one for one in agreed.steps if "judge" in one.address]

    def test_a_judge_alone_always_decides(self) -> None:
        @step
        async def judge(ballot: Ballot[str, str]) -> int:
            return len(ballot.answers)

        assert run(consensus(self.agents("a", "a", "a"), judge=judge)).unwrap() == 3

    def test_who_failed_has_no_answer_and_counts_among_those_asked(self) -> None:
        agents = self.agents("a", ValueError("no"), "a", ValueError("no"))
        result = run(consensus(agents, on_failure="collect"))
        assert "no 3 of 4 agents agree: they split 2" in str(result.error)
        assert (
            run(consensus(self.agents("a", ValueError("no")), agree=1, on_failure="collect")).unwrap() == "a"
        )


class TestDebate:
    @staticmethod
    def side(name: str) -> Step[DebateTurn[str, str], str]:
        async def speak(turn: DebateTurn[str, str]) -> str:
            heard = ",".join(f"{one.side}{one.round}" for one in turn.statements)
            return f"{turn.side} on {turn.task} in {turn.round} after [{heard}]"

        return Step(speak, name=name)

    def test_sides_know_what_was_said_in_the_rounds_before(self) -> None:
        @step
        async def judge(debate: Debate[str, str]) -> list[str]:
            return [one.said for one in debate.statements]

        result = run(debate({"pro": self.side("p"), "con": self.side("c")}, judge, rounds=2), "tea")
        assert result.unwrap() == [
            "pro on tea in 1 after []",
            "con on tea in 1 after []",
            "pro on tea in 2 after [pro1,con1]",
            "con on tea in 2 after [pro1,con1]",
        ]
        assert result.steps["debate/round[2]/statements/1/con/c"].output == result.output[3]
        assert result.steps["debate/judge/judge"].output == result.output


@step
async def review(draft: str) -> Review:
    return Politer(score=len(draft) / 10)


@step
async def write(task: str) -> str:
    return f"Dear {task}"


@step
async def mend(asked: Revision[str, str, Review]) -> str:
    return f"{asked.draft}!"


@step
async def verdict(debate: Debate[str, str]) -> str:
    return debate.statements[-1].said


@step
async def decide(ballot: Ballot[str, str]) -> str:
    return ballot.answers[-1]


@step
async def sized(draft: str) -> int:
    return len(draft)


@step
async def shout(task: str) -> str:
    return task.upper()


RECIPES: dict[str, Callable[[], Node[str, str]]] = {
    "refine": lambda: refine_until(write, sized, revise=Step(remend), until=10, max_turns=5),
    "refine by text": lambda: refine_until(write, sized, until=20, max_turns=3),
    "best of": lambda: best_of(2, write, sized),
    "consensus": lambda: consensus([write, shout], agree=2, judge=decide),
    "debate": lambda: debate({"pro": TestDebate.side("p"), "con": TestDebate.side("c")}, verdict, rounds=2),
}


async def remend(asked: Revision[str, str, int]) -> str:
    return f"{asked.draft}!"


@pytest.mark.parametrize("make", RECIPES.values(), ids=RECIPES)
def test_they_come_to_the_same_wherever_the_process_dies(
    make: Callable[[], Node[str, str]], tmp_path: Path
) -> None:
    files = iter(range(1000))
    lives = Lives(lambda: SQLiteStore(tmp_path / f"{next(files)}.db"))
    lives.everywhere(lambda: lives.run(make(), "Ada").unwrap())


def test_subclasses_in_a_state_are_refused_as_everywhere() -> None:
    result = run(refine_until(write, review, revise=mend, until=1, max_turns=1))
    assert "'Politer'" in str(result.error)


def test_quotas_hold_inside_a_recipe() -> None:
    @step(bound=Usage(requests=1))
    async def asks(task: str, info: StepInfo) -> str:
        info.report(Usage(requests=1))
        return task

    node = refine_until(asks, sized, until=1000, max_turns=10).within(Quota(requests=3))
    result = run(node)
    assert result.status == "failed"
    assert result.usage.requests == 3


def test_they_stand_wherever_a_node_may() -> None:
    @step
    async def letters(count: int) -> str:
        return "x" * count

    node = SubPipeline(letters >> best_of(2, write, sized), name="first") >> shout
    assert run(node, 3).unwrap() == "DEAR XXX"


def test_a_wrong_edge_is_told_by_the_plan() -> None:
    @step
    async def other(asked: Revision[str, str, int]) -> str:
        return asked.draft

    untyped: Any = other
    with pytest.raises(PlanError, match="Review"):
        Flujo(refine_until(write, review, revise=untyped, until=1, max_turns=2))
    untyped = best_of(2, write, sized)
    with pytest.raises(PlanError, match="takes str, but is given int"):
        Flujo(sized >> untyped)


NO_NODE: Any = len
WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "no turns": (lambda: refine_until(write, sized, until=1, max_turns=0), "max_turns=0"),
    "no score": (lambda: refine_until(write, sized, until=-1, max_turns=1), "until=-1"),
    "no node": (lambda: refine_until(write, NO_NODE, until=1, max_turns=1), "critique: "),
    "no draft": (lambda: best_of(0, write, sized), "n=0"),
    "nobody": (lambda: consensus([write]), "1 agents"),
    "more than all": (lambda: consensus([write, write], agree=3), "only 2 agents"),
    "alone": (lambda: debate({"pro": TestDebate.side("p")}, verdict, rounds=1), "1 sides"),
    "no rounds": (lambda: debate({}, verdict, rounds=0), "rounds=0"),
    "no name": (
        lambda: debate({"a/b": TestDebate.side("p"), "c": TestDebate.side("c")}, verdict, rounds=1),
        "'a/b'",
    ),
}


@pytest.mark.parametrize(("make", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_work_is_refused_at_once(make: Callable[[], object], said: str) -> None:
    with pytest.raises(PipelineError) as caught:
        make()
    assert said in str(caught.value)
    assert isinstance(caught.value, FlujoError)
    assert caught.value.fix


def test_a_failure_is_not_an_answer() -> None:
    assert Failure("a", "b", "c") != "c"

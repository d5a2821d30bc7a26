"""Roles that make something: plans and code."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self, TypeVar, overload

from pydantic import AfterValidator, BaseModel, Field, field_validator, model_validator
from pydantic_ai.models import Model
from typing_extensions import Unpack, override

from flujo.agents.marks import as_data
from flujo.agents.role import NO_VALUES, RoleAgent, RoleSettings, marked
from flujo.agents.roleprompts import listed
from flujo.pipeline.checks import check_count

Out = TypeVar("Out", covariant=True)
_FENCE = re.compile(r"\s*```[^\n]*\n(.*?)\n?```\s*", re.DOTALL)


class TaskStep(BaseModel):
    """One step of a plan of work.

    Attributes:
        id: Its name in the plan.
        title: What it is, in a few words.
        description: What is to be done.
        done_when: How one sees that it is done.
        depends_on: The ids of the steps whose results it needs.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    description: str
    done_when: str = ""
    depends_on: list[str] = []


class TaskPlan(BaseModel):
    """A plan of work: steps, and what each needs of the others; there is no circle in it.

    Attributes:
        goal: What it leads to.
        steps: The steps.
        assumptions: What it takes for granted.
        questions: What cannot be planned without an answer.
    """

    goal: str
    steps: list[TaskStep] = Field(min_length=1)
    assumptions: list[str] = []
    questions: list[str] = []

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        ids = [step.id for step in self.steps]
        twice = sorted({one for one in ids if ids.count(one) > 1})
        if twice:
            raise ValueError(f"several steps have the id {', '.join(twice)}")
        for step in self.steps:
            unknown = [one for one in step.depends_on if one not in ids]
            if unknown:
                raise ValueError(f"step {step.id!r} depends on {', '.join(unknown)}, which are no steps")
        self.order()
        return self

    def order(self) -> list[list[TaskStep]]:
        """Return the steps in rounds: those of one round need only what earlier rounds gave.

        Raises:
            ValueError: Steps depend on each other in a circle.
        """
        rounds: list[list[TaskStep]] = []
        done, left = set[str](), list(self.steps)
        while left:
            ready = [step for step in left if done.issuperset(step.depends_on)]
            if not ready:
                raise ValueError(f"steps depend on each other in a circle: {' -> '.join(_circle(left))}")
            rounds.append(ready)
            done.update(step.id for step in ready)
            left = [step for step in left if step.id not in done]
        return rounds


def _circle(left: list[TaskStep]) -> list[str]:
    """Return the ids of steps that need each other, in a row that ends where it began."""
    needs = {
        step.id: [one for one in step.depends_on if any(one == other.id for other in left)] for step in left
    }
    seen = [left[0].id]
    while needs[seen[-1]][0] not in seen:
        seen.append(needs[seen[-1]][0])
    again = needs[seen[-1]][0]
    return [*seen[seen.index(again) :], again]


def _at_most(steps: int) -> Callable[[TaskPlan], TaskPlan]:
    """Return what refuses a plan with more steps."""

    def check(plan: TaskPlan) -> TaskPlan:
        if len(plan.steps) > steps:
            raise ValueError(f"the plan has {len(plan.steps)} steps, and may have {steps}")
        return plan

    return check


class PlannerAgent(RoleAgent[Out]):
    """Plans work: takes a goal apart into steps that depend on each other without a circle.

    Args:
        model: The model.
        max_steps: The most steps there may be.
        means: What the steps can be done with: people, teams or tools, each with what it can do.
        output_type: What it gives; a :class:`TaskPlan` when left out.
        settings: What else is to be changed: see :class:`RoleSettings`.

    Raises:
        PipelineError: A setting cannot work.
    """

    role = "planner"
    label = "goal"

    @overload
    def __init__(
        self: PlannerAgent[TaskPlan],
        *,
        model: str | Model,
        max_steps: int = 12,
        means: Mapping[str, str] = NO_VALUES,
        **settings: Unpack[RoleSettings],
    ) -> None: ...
    @overload
    def __init__(
        self,
        *,
        model: str | Model,
        max_steps: int = 12,
        means: Mapping[str, str] = NO_VALUES,
        output_type: type[Out],
        **settings: Unpack[RoleSettings],
    ) -> None: ...
    def __init__(
        self,
        *,
        model: str | Model,
        max_steps: int = 12,
        means: Mapping[str, str] = NO_VALUES,
        output_type: Any = TaskPlan,
        **settings: Unpack[RoleSettings],
    ) -> None:
        check_count(max_steps, "PlannerAgent, max_steps")
        said = f"\nThe steps can be done with these means only:\n\n{listed(means)}\n" if means else ""
        gives = output_type
        if output_type is TaskPlan:
            gives = Annotated[TaskPlan, AfterValidator(_at_most(max_steps))]
        super().__init__(gives, model, {"max_steps": str(max_steps), "means": said}, settings)


class CodeTask(BaseModel):
    """What code is to be written for.

    Attributes:
        task: What it is to do.
        material: What it is to fit to, by name: files, examples, documentation. To the model it is data, and
            no instructions.
    """

    task: str
    material: dict[str, str] = {}


class GeneratedCode(BaseModel):
    """Code that was written; of Python, code that can be parsed.

    Attributes:
        language: What it is written in.
        code: The code.
        dependencies: The packages that it needs besides the standard library.
        explanation: What it does, what it assumes, and what it does not do.
    """

    language: str
    code: str = Field(min_length=1)
    dependencies: list[str] = []
    explanation: str = ""

    @field_validator("code")
    @classmethod
    def _without_fence(cls, code: str) -> str:
        fenced = _FENCE.fullmatch(code)
        return fenced[1] if fenced else code

    @model_validator(mode="after")
    def _can_be_parsed(self) -> Self:
        if self.language.strip().lower() in ("python", "py", "python3"):
            try:
                ast.parse(self.code)
            except SyntaxError as error:
                raise ValueError(f"the code is no Python: line {error.lineno}: {error.msg}") from None
            except (MemoryError, RecursionError):  # of the parser's stack
                raise ValueError("the code is no Python that can be read: it is nested too deeply") from None
        return self


class CodeGeneratorAgent(RoleAgent[Out]):
    """Writes code for a task: a text, or a :class:`CodeTask` with material.

    Args:
        model: The model.
        language: What the code is written in.
        output_type: What it gives; :class:`GeneratedCode` when left out.
        settings: What else is to be changed: see :class:`RoleSettings`.

    Raises:
        PipelineError: A setting cannot work.
    """

    role = "code_generator"
    label = "material"

    @overload
    def __init__(
        self: CodeGeneratorAgent[GeneratedCode],
        *,
        model: str | Model,
        language: str = "Python",
        **settings: Unpack[RoleSettings],
    ) -> None: ...
    @overload
    def __init__(
        self,
        *,
        model: str | Model,
        language: str = "Python",
        output_type: type[Out],
        **settings: Unpack[RoleSettings],
    ) -> None: ...
    def __init__(
        self,
        *,
        model: str | Model,
        language: str = "Python",
        output_type: Any = GeneratedCode,
        **settings: Unpack[RoleSettings],
    ) -> None:
        super().__init__(output_type, model, {"language": language}, settings)

    @override
    def told(self, input: Any) -> Any:
        match input:
            case str():
                return input
            case CodeTask():
                shown = (f"{name}:\n{as_data(self.label, text)}" for name, text in input.material.items())
                return "\n\n".join((input.task, *shown))
            case _:
                return marked("task", input)

"""Agents with a role: a model that is told how to do one kind of work, with every part open to change."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence, Set
from contextlib import aclosing
from hashlib import sha256
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

from pydantic_ai.models import Model
from typing_extensions import Unpack

from flujo.agents.marks import as_data
from flujo.agents.model import AgentSettings, ModelAgent
from flujo.agents.roleprompts import Prompt, prompt_of_role
from flujo.errors import PipelineError
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.info import StepInfo

Out = TypeVar("Out", covariant=True)
NO_VALUES: Mapping[str, str] = {}


class RoleSettings(AgentSettings, total=False):
    """What may be changed about the agent of a role: the settings of :class:`ModelAgent`, and its prompt.

    ``instructions`` are added to the role's prompt; ``system_prompt`` takes its place.
    """

    instructions: str
    system_prompt: str


class RoleAgent(Generic[Out]):
    """An agent with a role, made by one of its subclasses; a step takes it as it is.

    What it is told and how that is versioned is part of the plan: a run that began with another prompt is not
    carried on unnoticed. It is immutable; :meth:`replace` returns a changed one.

    Attributes:
        role: The name of its role.
        prompt: The role's prompt, before anything was changed.
        agent: The agent that does the work.
    """

    role: ClassVar[str] = ""
    label: ClassVar[str] = "document"
    prompt: Prompt
    agent: ModelAgent[Any]

    def __init__(
        self,
        output_type: Any,
        model: str | Model,
        values: Mapping[str, str],
        settings: RoleSettings,
    ) -> None:
        rest = cast("dict[str, Any]", {**settings})
        added, own = rest.pop("instructions", ""), rest.pop("system_prompt", None)
        prompt = prompt_of_role(self.role)
        text = prompt.filled(self.label, values) if own is None else own
        told = f"{text}\n\n{added}" if added else text
        base = ModelAgent(model, told, output_type, name=rest.pop("name", self.role))
        object.__setattr__(self, "prompt", prompt)
        object.__setattr__(self, "agent", base.replace(**rest) if rest else base)

    @property
    def __name__(self) -> str:
        return self.agent.name

    @property
    def part_of_plan(self) -> str:
        """What a plan's fingerprint holds of it: its prompt's version, and a digest of what it is told."""
        told = sha256(self.agent.system_prompt.encode()).hexdigest()[:16]
        return f"{self.role}/{self.prompt.version}/{told}"

    def replace(self, **changes: Any) -> Self:
        """Return the same agent with other settings, as :meth:`ModelAgent.replace` does.

        Raises:
            PipelineError: There is no such setting.
        """
        return self._with(self.agent.replace(**changes))

    def _with(self, agent: ModelAgent[Any]) -> Self:
        copy = object.__new__(type(self))
        vars(copy).update(vars(self))
        object.__setattr__(copy, "agent", agent)
        return copy

    @property
    def run(self) -> Callable[[Any, StepInfo, PipelineContext], Coroutine[Any, Any, Out]]:
        """What a step calls, annotated with what the agent takes and gives."""

        async def run(input: Any, info: StepInfo, context: PipelineContext) -> Out:
            return await self.answer(input, info, context)

        run.__annotations__["input"] = self.takes
        run.__annotations__["return"] = self.gives
        return run

    @property
    def stream(self) -> Callable[[AsyncIterator[Any], StepInfo, PipelineContext], AsyncIterator[str]]:
        """What a streaming step calls: the chunks together are its input; it gives words as they come.

        Raises:
            PipelineError: The agent gives something else than a text.
        """
        speak = self.agent.stream

        async def stream(
            chunks: AsyncIterator[Any], info: StepInfo, context: PipelineContext
        ) -> AsyncIterator[str]:
            given = [chunk async for chunk in chunks]
            whole = "".join(given) if all(isinstance(chunk, str) for chunk in given) else given
            words = cast("AsyncGenerator[str]", speak(_parts(self.told(whole)), info, context))
            async with aclosing(words):
                async for word in words:
                    yield word

        return stream

    @property
    def takes(self) -> Any:
        """The type of its input."""
        return Any

    @property
    def gives(self) -> Any:
        """The type of its output."""
        return self.agent.output_type

    async def answer(self, input: Any, info: StepInfo, context: PipelineContext) -> Any:
        """Do the work of one step."""
        return await self.agent.run(self.told(input), info, context)

    def told(self, input: Any) -> Any:
        """Return what the model is told of an input: as data, between marks; images and files as they are."""
        return marked(self.label, input)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"an agent is immutable: {name!r} cannot be set; use .replace({name}=…)")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.agent.name!r})"

    @classmethod
    def about(cls) -> str:
        """Return in one line what the role does."""
        line = (inspect.getdoc(cls) or "").partition("\n")[0]
        return re.sub(r":\w+:`(\w+)`|``", r"\1", line)


async def _parts(told: Any) -> AsyncGenerator[Any]:
    """Give what a model is told: a list with images or files part by part, anything else whole."""
    for part in cast("Sequence[Any]", told) if isinstance(told, list) else (told,):
        yield part


def marked(label: str, value: Any) -> Any:
    """Return a value between marks; of a list with images or files, each text of it."""
    if not isinstance(value, list | tuple):
        return value if _is_content(value) else as_data(label, value)
    items = cast("Sequence[Any]", value)
    if not any(map(_is_content, items)):
        return as_data(label, items)
    return [item if _is_content(item) else as_data(label, item) for item in items]


def _is_content(value: object) -> bool:
    """Say whether a value is an image, a file or the like, in pydantic-ai's terms."""
    return type(value).__module__.startswith("pydantic_ai.")


def labels_of(given: Sequence[str] | Mapping[str, str], what: str) -> dict[str, str]:
    """Return labels with what they mean, where that is said.

    Raises:
        PipelineError: There are none, they have no order, or one is empty or stands twice.
    """
    labels: dict[str, str] = dict(given) if isinstance(given, Mapping) else dict.fromkeys(given, "")
    wrong = [label for label in labels if not isinstance(cast("object", label), str) or not label.strip()]
    unordered = isinstance(given, Set)  # each process would tell it otherwise, and take it for another plan
    if isinstance(given, str) or unordered or wrong or len(labels) < len(given) or len(labels) < 2:
        raise PipelineError(
            f"{what}={given!r}",
            fix="pass two or more, each a text of its own: a list, or a mapping of each to its meaning",
        )
    return labels


__all__ = ["NO_VALUES", "RoleAgent", "RoleSettings", "Unpack", "labels_of", "marked"]

"""What adapters of agents describe: work that is recorded by itself, and what a person is asked about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from flujo.pipeline.info import NO_FACTS

if TYPE_CHECKING:
    from flujo.pipeline.info import StepInfo

Describe = Callable[[Callable[[bytes], str]], Mapping[str, Any]]


@final
@dataclass(frozen=True, slots=True)
class Judged:
    """What policies judge of an effect, as an adapter of agents describes it.

    Attributes:
        tool: The tool that is called; empty for a request to a model.
        given: Returns what it is given: a call's arguments by name, a request's messages as JSON.
        load: Returns, of its parsed JSON, what it is given instead.
        act: Does the work on what it is given instead.
        shown: Returns a result as policies judge it.
        replaced: Returns a result with something in the place of what was judged.
        facts: What else there is to know: ``model``, ``labels``.
        described: Returns what describes the work on what it is given instead, as an effect's ``describe``
            does; it is described as it was when left out.
    """

    tool: str
    given: Callable[[], Any]
    load: Callable[[Any], Any]
    act: Callable[[StepInfo, Any], Awaitable[Any]]
    shown: Callable[[Any], Any] = lambda result: result
    replaced: Callable[[Any, Any], Any] = lambda result, data: data
    facts: Mapping[str, Any] = field(default_factory=lambda: NO_FACTS)
    described: Callable[[Any], Describe] | None = None


@final
@dataclass(frozen=True, slots=True)
class Effect:
    """Work inside a step that is recorded at an address of its own, as an adapter of agents describes it.

    Attributes:
        kind: What the address calls it: ``model``, ``tool``.
        number: Which of its kind it is within the step, from 1; 0 counts the calls.
        describe: Returns what identifies the work: ``call``, ``arguments`` (digests by name), and what else
            is to be recorded. It is given a function that keeps bytes beside the journal, once by content,
            and returns their SHA-256 in hex.
        act: Does the work. Its :class:`StepInfo` stands at the effect's address; what is reported there is
            recorded with the effect, and counts for the step.
        dump: Returns the result as JSON.
        load: Returns the result of its parsed JSON.
        once: Whether a person settles what became of it where its end is unknown, before it is done again.
        judged: What policies judge of it; where it does not tell, they judge that it is done.
        awaited: Whether its record stands before its result is given. Otherwise it stands before the next
            effect begins, and before the step ends: enough where nothing but effects follows from it.
    """

    kind: str
    number: int
    describe: Describe
    act: Callable[[StepInfo], Awaitable[Any]]
    dump: Callable[[Any], bytes]
    load: Callable[[Any], Any]
    once: bool = False
    judged: Judged | None = None
    awaited: bool = True


@final
@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked about a part of a step before it is done, as an adapter of agents asks it.

    Attributes:
        kind: What the address calls it: ``approval``.
        number: Which of its kind it is within the step, from 1.
        prompt: Why it is asked, in words.
        subject: What is to be done, as JSON.
        schema: The JSON Schema of an edited subject.
        misfit: Returns what is wrong with an edited subject; empty where it fits.
    """

    kind: str
    number: int
    prompt: str
    subject: Any
    schema: Mapping[str, Any]
    misfit: Callable[[Any], str]

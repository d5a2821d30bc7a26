"""Roles that read: extract, review, summarize, translate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, cast, overload

from pydantic import BaseModel, Field
from pydantic_ai.models import Model
from typing_extensions import Unpack, override

from flujo.agents.marks import as_data
from flujo.agents.role import NO_VALUES, RoleAgent, RoleSettings
from flujo.agents.scores import Attempt
from flujo.errors import PipelineError
from flujo.pipeline.checks import check_count

Out = TypeVar("Out", covariant=True)
T = TypeVar("T")


class Finding(BaseModel):
    """One flaw that a review found.

    Attributes:
        severity: How bad it is.
        place: Where it stands.
        problem: What is wrong.
        remedy: What would mend it.
    """

    severity: Literal["minor", "major", "critical"]
    place: str
    problem: str
    remedy: str


class Review(BaseModel):
    """What a review came to.

    Attributes:
        findings: The flaws.
        summary: The verdict in a sentence or two.
        score: From 0 to 1; 1 for work that needs no change.
    """

    findings: list[Finding]
    summary: str
    score: float = Field(ge=0, le=1)


class Summary(BaseModel):
    """A summary of a document.

    Attributes:
        text: The summary.
        points: The key points, each a statement of its own.
    """

    text: str
    points: list[str]


class ExtractorAgent(RoleAgent[Out]):
    """Reads facts out of documents, into the fields of a model.

    Args:
        output_type: What it gives: a Pydantic model; the descriptions of its fields are told to the model.
        model: The model.
        settings: What else is to be changed: see :class:`RoleSettings`.

    Raises:
        PipelineError: A setting cannot work.
    """

    role = "extractor"

    def __init__(
        self, output_type: type[Out], *, model: str | Model, **settings: Unpack[RoleSettings]
    ) -> None:
        super().__init__(output_type, model, NO_VALUES, settings)


CRITERIA = (
    "It is correct: what it states is true, follows from its material, and does not contradict itself.",
    "It is complete: it does all that was asked, and leaves out nothing that its reader needs.",
    "It is clear: its reader understands it at once, and it holds nothing that is not needed.",
)


class ReviewerAgent(RoleAgent[Out]):
    """Reviews work: gives findings and a score from 0 to 1.

    Args:
        model: The model.
        criteria: What the work is judged by; that it is correct, complete and clear, when left out.
        with_task: Whether it takes an :class:`Attempt`, and so knows what the work was to be: in
            ``refine_until`` and ``best_of`` it is then given both.
        output_type: What it gives; a :class:`Review` when left out.
        settings: What else is to be changed: see :class:`RoleSettings`.

    Raises:
        PipelineError: A setting cannot work.
    """

    role = "reviewer"
    label = "work"
    with_task: bool

    @overload
    def __init__(
        self: ReviewerAgent[Review],
        *,
        model: str | Model,
        criteria: Sequence[str] = CRITERIA,
        with_task: bool = False,
        **settings: Unpack[RoleSettings],
    ) -> None: ...
    @overload
    def __init__(
        self,
        *,
        model: str | Model,
        criteria: Sequence[str] = CRITERIA,
        with_task: bool = False,
        output_type: type[Out],
        **settings: Unpack[RoleSettings],
    ) -> None: ...
    def __init__(
        self,
        *,
        model: str | Model,
        criteria: Sequence[str] = CRITERIA,
        with_task: bool = False,
        output_type: Any = Review,
        **settings: Unpack[RoleSettings],
    ) -> None:
        if isinstance(criteria, str) or not criteria:
            raise PipelineError(
                f"ReviewerAgent(criteria={criteria!r})", fix="pass a list of texts, or leave it out"
            )
        values = {"criteria": "\n".join(f"- {one}" for one in criteria)}
        super().__init__(output_type, model, values, settings)
        object.__setattr__(self, "with_task", with_task)

    @property
    @override
    def takes(self) -> Any:
        return Attempt[Any, Any] if self.with_task else Any

    @override
    def told(self, input: Any) -> Any:
        if not isinstance(input, Attempt):
            return super().told(input)
        attempt = cast("Attempt[Any, Any]", input)
        return f"{as_data('task', attempt.task)}\n\n{as_data(self.label, attempt.draft)}"


class TextSummarizerAgent(RoleAgent[Out]):
    """Summarizes documents: gives a text and its key points.

    Args:
        model: The model.
        max_words: How long the text may be.
        language: What it is written in; the document's own language when left out.
        focus: What its readers want to know above all.
        output_type: What it gives; a :class:`Summary` when left out.
        settings: What else is to be changed: see :class:`RoleSettings`.

    Raises:
        PipelineError: A setting cannot work.
    """

    role = "summarizer"

    @overload
    def __init__(
        self: TextSummarizerAgent[Summary],
        *,
        model: str | Model,
        max_words: int = 150,
        language: str = "",
        focus: str = "",
        **settings: Unpack[RoleSettings],
    ) -> None: ...
    @overload
    def __init__(
        self,
        *,
        model: str | Model,
        max_words: int = 150,
        language: str = "",
        focus: str = "",
        output_type: type[Out],
        **settings: Unpack[RoleSettings],
    ) -> None: ...
    def __init__(
        self,
        *,
        model: str | Model,
        max_words: int = 150,
        language: str = "",
        focus: str = "",
        output_type: Any = Summary,
        **settings: Unpack[RoleSettings],
    ) -> None:
        check_count(max_words, "TextSummarizerAgent, max_words")
        values = {
            "max_words": str(max_words),
            "language": f", in {language}" if language else ", in the language of the document",
            "focus": f"\n- Its readers want to know above all: {focus}" if focus else "",
        }
        super().__init__(output_type, model, values, settings)


class TranslatorAgent(RoleAgent[Out]):
    """Translates texts into a language.

    Args:
        target: The language to translate into: ``German``, ``Brazilian Portuguese``, ….
        model: The model.
        source: The language to translate from; whatever the text is in, when left out.
        glossary: Words that are to be translated in a certain way.
        output_type: What it gives; the text when left out.
        settings: What else is to be changed: see :class:`RoleSettings`.

    Raises:
        PipelineError: A setting cannot work.
    """

    role = "translator"
    label = "text"

    @overload
    def __init__(
        self: TranslatorAgent[str],
        target: str,
        *,
        model: str | Model,
        source: str = "",
        glossary: Mapping[str, str] = NO_VALUES,
        **settings: Unpack[RoleSettings],
    ) -> None: ...
    @overload
    def __init__(
        self,
        target: str,
        *,
        model: str | Model,
        source: str = "",
        glossary: Mapping[str, str] = NO_VALUES,
        output_type: type[Out],
        **settings: Unpack[RoleSettings],
    ) -> None: ...
    def __init__(
        self,
        target: str,
        *,
        model: str | Model,
        source: str = "",
        glossary: Mapping[str, str] = NO_VALUES,
        output_type: Any = str,
        **settings: Unpack[RoleSettings],
    ) -> None:
        if not target.strip():
            raise PipelineError(f"TranslatorAgent({target!r})", fix='name a language: "German"')
        words = "\n".join(f"  - {word}: {meaning}" for word, meaning in glossary.items())
        values = {
            "target": target,
            "source": f"from {source}" if source else "from whatever language they are in",
            "glossary": f"\n- Translate these words so:\n{words}" if words else "",
        }
        super().__init__(output_type, model, values, settings)

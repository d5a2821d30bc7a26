"""What a call of a tool came to, as it is recorded and given to the agent again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import cache
from types import GeneratorType
from typing import Any, Literal, NamedTuple, cast

from pydantic import TypeAdapter
from pydantic_ai.exceptions import ModelRetry, ToolFailed, ToolFailedError, ToolRetryError
from pydantic_ai.messages import ToolReturn
from pydantic_core import PydanticSerializationError, from_json, to_json

from flujo.agents.calls import unwritable
from flujo.engine.requests import answer_codec, importable
from flujo.pipeline.tools import ToolError
from flujo.pipeline.waits import PauseForHumanInput
from flujo.plan.jsonvalues import SCALARS, is_json
from flujo.plan.unrecordable import Unrecordable

_MORE = ("content", "metadata")
"""What a tool may give besides its value: for the model, and for whoever reads the conversation."""

Kind = Literal["value", "return", "retry", "failed", "asks"]


class Outcome(NamedTuple):
    """How a call ended.

    Attributes:
        kind: ``value`` (what it gave), ``return`` (the same with more for the model), ``retry`` (the model is
            to mend its call), ``failed`` (it cannot be mended) or ``asks`` (a person is to answer instead).
        value: What it gave; or the text, or the question.
    """

    kind: Kind
    value: Any

    def dump(self) -> bytes:
        """Return it as JSON.

        Raises:
            Unrecordable: What the tool gave cannot be written.
        """
        if self.kind not in ("value", "return"):
            return to_json({"kind": self.kind, "given": self.value})
        whole = self.value if self.kind == "return" else ToolReturn(return_value=self.value)
        try:
            if self.kind == "value" and type(self.value) in SCALARS:
                return to_json({"kind": "value", "given": self.value})
            given = from_json(_returns().dump_json(whole))
        except (PydanticSerializationError, ValueError) as error:
            raise unwritable(self.value) from error
        if self.kind == "value":
            given = given["return_value"]
        return to_json({"kind": self.kind, "given": given})

    @staticmethod
    def load(written: Any) -> Outcome:
        """Return it of its parsed JSON, or of what a person says that a call in doubt gave."""
        facts = cast("dict[str, Any]", written) if isinstance(written, dict) else {}
        if facts.keys() != {"kind", "given"}:
            return Outcome("value", written)
        kind, given = facts["kind"], facts["given"]
        if kind not in ("value", "return"):
            return Outcome(kind, given)
        returned = _returns().validate_json(to_json(given if kind == "return" else {"return_value": given}))
        return Outcome(kind, returned if kind == "return" else returned.return_value)

    def shown(self) -> Any:
        """Return what policies judge of it: of a return with more beside its value, all of that."""
        if self.kind != "return":
            return self.value
        returned = cast("ToolReturn[Any]", self.value)
        if not returned.content and not returned.metadata:
            return returned.return_value
        given = from_json(_returns().dump_json(returned))
        return {name: given[name] for name in ("return_value", *_MORE)}

    def replaced(self, data: Any) -> Outcome:
        """Return it with something else in the place of what was judged."""
        if self.kind != "return":
            return Outcome(self.kind, data)
        facts = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
        if "return_value" in facts and facts.keys() <= {"return_value", *_MORE}:
            clean = _returns().validate_json(to_json(facts))
            more = {name: vars(clean)[name] for name in ("return_value", *_MORE)}
            return Outcome("return", replace(self.value, **more))
        return Outcome("value", data)

    def give(self) -> Any:
        """Return what the tool gave, or raise what tells the model that it did not.

        It is given as it is read from the journal, also when it was not: a date is a text there, and what
        follows must be the same when the run goes on in another process.
        """
        match self.kind:
            case "retry":
                raise ModelRetry(self.value)
            case "failed":
                raise ToolFailed(self.value)
            case "value" if is_json(self.value):
                return self.value
            case _:
                return self._read_again()

    def _read_again(self) -> Any:
        try:
            return Outcome.load(from_json(self.dump())).value
        except Unrecordable:  # nothing is recorded, and nothing will go on elsewhere
            return self.value


async def outcome_of(call: Callable[[], Awaitable[Any]]) -> Outcome:
    """Call a tool and return how it ended; what is no answer for the model is raised."""
    try:
        given = await call()
        if isinstance(given, GeneratorType):  # it gives its values once, and they are recorded and given
            given = [*cast("GeneratorType[Any, Any, Any]", given)]
    except (ModelRetry, ToolRetryError) as error:
        return Outcome("retry", str(error))
    except (ToolFailed, ToolFailedError) as error:
        return Outcome("failed", str(error))
    except ToolError as error:
        return Outcome("failed", error.message)
    except PauseForHumanInput as pause:
        return Outcome("asks", _question(pause))
    return Outcome("return" if isinstance(given, ToolReturn) else "value", given)


def _question(pause: PauseForHumanInput) -> dict[str, Any]:
    schema = str if pause.schema is None else pause.schema
    codec = answer_codec(schema, "")
    return {
        "prompt": pause.prompt,
        "subject": from_json(to_json(pause.subject)),
        "schema": codec.schema(),
        "type": importable(schema),
    }


@cache
def _returns() -> TypeAdapter[ToolReturn[Any]]:
    return TypeAdapter(ToolReturn)

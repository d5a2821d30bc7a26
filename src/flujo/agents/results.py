"""What a call of a tool came to, as it is recorded and given to the agent again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Literal, NamedTuple, cast

from pydantic import TypeAdapter
from pydantic_ai.exceptions import ModelRetry, ToolFailed, ToolFailedError, ToolRetryError
from pydantic_ai.messages import ToolReturn
from pydantic_core import PydanticSerializationError, from_json, to_json

from flujo.engine.requests import answer_codec, importable
from flujo.pipeline.tools import ToolError
from flujo.pipeline.waits import PauseForHumanInput
from flujo.plan.unrecordable import Unrecordable

_PLAIN = frozenset({str, int, bool, type(None)})
"""What is written as it is, whatever the agent layer makes of it."""

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
        if self.kind == "value" and type(self.value) in _PLAIN:
            return to_json({"kind": "value", "given": self.value})
        whole = self.value if self.kind == "return" else ToolReturn(return_value=self.value)
        try:
            given = from_json(_returns().dump_json(whole))
        except (PydanticSerializationError, ValueError) as error:
            raise Unrecordable(
                f"a tool gave {type(self.value).__qualname__}, which cannot be written as JSON",
                fix="return a text, a Pydantic model or other JSON",
            ) from error
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
        """Return what policies judge of it."""
        return self.value.return_value if self.kind == "return" else self.value

    def replaced(self, data: Any) -> Outcome:
        """Return it with something else in the place of what was judged."""
        return Outcome("value" if self.kind == "return" else self.kind, data)

    def give(self) -> Any:
        """Return what the tool gave, or raise what tells the model that it did not."""
        match self.kind:
            case "retry":
                raise ModelRetry(self.value)
            case "failed":
                raise ToolFailed(self.value)
            case _:
                return self.value


async def outcome_of(call: Callable[[], Awaitable[Any]]) -> Outcome:
    """Call a tool and return how it ended; what is no answer for the model is raised."""
    try:
        given = await call()
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

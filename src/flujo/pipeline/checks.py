"""What is refused at once: calls and settings that cannot work, which code without types may write.

Every error names what was given, to what, and what to give instead.
"""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, TypeGuard, cast

from flujo.errors import PipelineError

_SHOWN: Mapping[object, str] = {
    inspect.Parameter.KEYWORD_ONLY: "{}=…",
    inspect.Parameter.VAR_POSITIONAL: "{}, …",
    inspect.Parameter.VAR_KEYWORD: "{}=…",
}


class Kind(type):
    """The class of what pipelines are made of: a call with wrong arguments is told how it is called."""

    if not TYPE_CHECKING:  # type checkers know each call from its own signature

        def __call__(cls, *args: object, **settings: object) -> object:
            """Make one, or say how it is made."""
            try:
                return super().__call__(*args, **settings)
            except TypeError:
                try:
                    cls.__signature__.bind(*args, **settings)
                except TypeError as misfit:
                    raise _wrong_call(cls, misfit, settings) from None
                raise

        @property
        def __signature__(cls) -> inspect.Signature:
            """How it is called, for `help` and for `inspect.signature`."""
            signature = inspect.signature(cls.__init__)
            return signature.replace(parameters=list(signature.parameters.values())[1:])


def _wrong_call(cls: type, misfit: TypeError, settings: Iterable[str]) -> PipelineError:
    parameters = list(inspect.signature(cls).parameters.values())
    shown = [_SHOWN.get(one.kind, "{}").format(one.name) for one in parameters]
    fix = f"call it as {cls.__name__}({', '.join(shown)})"
    known = [one.name for one in parameters]
    for unknown in (name for name in settings if name not in known):
        close = difflib.get_close_matches(unknown, known, n=1)
        fix = f"did you mean {close[0]!r}? {fix}" if close else fix
    return PipelineError(f"{cls.__name__}(…): {misfit}", fix=fix)


def check_function(value: object, place: str) -> None:
    """Refuse what cannot be called.

    Raises:
        PipelineError: It cannot.
    """
    if not callable(value):
        raise PipelineError(f"{place}={value!r} is no function", fix="pass a function of the node's input")


def check_functions(value: object, place: str) -> None:
    """Refuse what is no list of functions."""
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise PipelineError(f"{place}={value!r} is no list of functions", fix="pass a list: [function, …]")
    for one in cast("Iterable[object]", value):
        check_function(one, place)


def check_choice(value: object, place: str, choices: tuple[str, str]) -> None:
    """Refuse a word that is none of two."""
    if value not in choices:
        raise PipelineError(f"{place}={value!r}", fix='use "{}" or "{}"'.format(*choices))


def check_mapping(value: object, place: str, example: str) -> None:
    """Refuse what is no mapping."""
    if not isinstance(value, Mapping):
        raise PipelineError(f"{place}={value!r} is no mapping", fix=f"pass {example}")


def check_count(value: object, place: str) -> None:
    """Refuse what is no whole number from 1 up."""
    if not is_count(value):
        raise PipelineError(f"{place}={value!r}", fix="use a whole number from 1 up")


LONGEST = timedelta(days=365_000)


def check_time(value: object, place: str) -> None:
    """Refuse what is no timedelta from 0 up, or ends when no calendar has a date for it."""
    if not isinstance(value, timedelta):
        seconds = f"{value:g}" if is_amount(value) else "…"
        raise PipelineError(f"{place}={value!r} is no timedelta", fix=f"pass timedelta(seconds={seconds})")
    if value < timedelta():
        raise PipelineError(f"{place}={value!r}: a wait cannot be negative", fix="give 0 or more")
    if value > LONGEST:
        raise PipelineError(f"{place}={value!r}: a wait cannot last so long", fix="give 1000 years at most")


def check_schema(value: object, place: str) -> None:
    """Refuse an answer's type that is no type but a value: of these, those that are surely none."""
    if isinstance(value, str | int | dict | list | tuple):
        raise PipelineError(
            f"{place}={value!r} is no type", fix="pass a class, such as int or a Pydantic model"
        )


def seconds(value: object, place: str) -> float:
    """Return a time limit in seconds.

    Args:
        value: Seconds, or a timedelta.
        place: What it is given to.

    Raises:
        PipelineError: It is neither, or not greater than 0.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if not is_amount(number) or not number:
        raise PipelineError(
            f"{place}={value!r}", fix="give seconds greater than 0, or a timedelta; leave it out for no limit"
        )
    return float(number)


def exceptions_of(on: object) -> tuple[type[BaseException], ...]:
    """Return the exceptions that are worth another attempt.

    Raises:
        PipelineError: Something else is among them.
    """
    kinds = tuple(cast("Iterable[object]", on)) if isinstance(on, Iterable) else (on,)
    found = tuple(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseException))
    if len(found) < len(kinds):
        raise PipelineError(f"Retry(on={on!r})", fix="pass an exception class, or a tuple of them")
    return found


def is_count(value: object) -> TypeGuard[int]:
    """Say whether a value is a whole number from 1 up."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_amount(value: object) -> TypeGuard[int | float]:
    """Say whether a value is a number from 0 up, and an end to it."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf

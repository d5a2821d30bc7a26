"""What a run is given: its input and its context, from the words of the command line, a file or a pipe."""

import json
import os
import shlex
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from flujo.errors import ConfigError, InputError

if TYPE_CHECKING:
    from flujo.pipeline.context import PipelineContext
    from flujo.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class Given:
    """Where the command line says that the input is; nowhere to look for a pipe.

    Attributes:
        word: What stands after the target: a text, or the name of a file that exists.
        text: The text of --input. In both, `-` reads stdin, and `@` and a path a file.
        file: The file of --input-file.
    """

    word: str | None = None
    text: str | None = None
    file: Path | None = None


def read_input(plan: "Plan", given: Given) -> Any:
    """Return the input of a run.

    Text that is JSON of the type that the pipeline takes is that value; any other text is itself.

    Args:
        plan: The pipeline, which says what it takes.
        given: Where the text is.

    Raises:
        ConfigError: More than one input was given, or the file cannot be read.
        InputError: The text does not fit.
    """
    named = (("INPUT", given.word), ("--input", given.text), ("--input-file", given.file))
    many = [name for name, value in named if value is not None]
    if len(many) > 1:
        said = f"{', '.join(many[:-1])} and {many[-1]} were given"
        raise ConfigError(said if len(many) > 2 else f"both {said}", fix="give one of them")
    data = _bytes(given)
    wanted = plan.root.input_type
    if data is None:
        return _nothing(wanted)
    if wanted is bytes:
        return data
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise InputError(
            f"the input is no UTF-8 text (byte {error.start} is {data[error.start]:#04x})",
            fix="give text, or let the pipeline take a path and read the file itself",
        ) from None
    return fit(text.removesuffix("\n").removesuffix("\r"), wanted)


def fit(text: str, wanted: Any) -> Any:
    """Return a text as a value of a type: by its JSON, or as it is.

    Raises:
        InputError: Neither fits.
    """
    from flujo.cli.outcome import schema_example
    from flujo.plan.codec import Unrecordable, codec_for
    from flujo.plan.types import type_name

    codec = codec_for(wanted)
    try:
        return codec.load(text.encode())
    except (ValueError, Unrecordable) as error:
        complaint = _complaint(error, text)
    try:
        return codec.load(json.dumps(text).encode())
    except (ValueError, Unrecordable):
        pass
    raise InputError(
        f"the input does not fit: the pipeline takes {type_name(wanted)}, and {complaint}",
        fix=f"give JSON like {json.dumps(schema_example(codec.schema()))}",
    )


def read_context(plan: "Plan", given: str | None) -> "PipelineContext | None":
    """Return the context that a run begins with, from JSON; `@` and a path reads it from a file.

    Raises:
        InputError: It does not fit the context's class.
    """
    if given is None:
        return None
    from pydantic import ValidationError

    model = plan.context_model
    data = _file(Path(given[1:])) if given.startswith("@") else given.encode()
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise InputError(
            f"the context does not fit {model.__name__}: {problems(error)}",
            fix=f"--context takes JSON with {', '.join(model.model_fields)}",
        ) from None


def read_value(given: str, what: str) -> Any:
    """Return a JSON value that was typed; `@` and a path reads it from a file.

    Raises:
        InputError: It is not JSON.
    """
    data = _file(Path(given[1:])) if given.startswith("@") else given.encode()
    try:
        return json.loads(data)
    except ValueError as error:
        raise InputError(
            f"{what} is not JSON: {error}", fix=f"put texts in quotes: {what} '{json.dumps(given)}'"
        ) from None


def problems(error: Any) -> str:
    """Return what Pydantic found wrong, in one line."""
    told = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors(include_url=False)]
    return "; ".join(f"{place}: {said}" if place else said for place, said in told)


def _bytes(given: Given) -> bytes | None:
    file = given.file or _named_file(given.word)
    if file is not None:
        return _file(file)
    text = given.text if given.word is None else given.word
    if text is None:
        return (_stdin() or None) if _is_fed() else None
    if text == "-":
        return _stdin()
    return _file(Path(text[1:])) if text.startswith("@") else text.encode()


def _named_file(word: str | None) -> Path | None:
    """Return the file that the word after the target names, if it names one."""
    if word is None:
        return None
    path = Path(word)
    if os.path.isfile(path):  # a long text is no path, and no error either
        return path
    typed = not word.startswith("@") and "://" not in word and not any(map(str.isspace, word))
    if typed and path.suffix in (".json", ".txt"):
        raise ConfigError(
            f"there is no file {word}", fix=f"check the path; as a text: --input {shlex.quote(word)}"
        )
    return None


def _stdin() -> bytes:
    return sys.stdin.buffer.read()


def _is_fed() -> bool:
    """Say whether a pipe or a file stands at stdin; a terminal or nothing at all is not waited for."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def _file(path: Path) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}", fix="check the path and who may read it"
        ) from None


def _nothing(wanted: Any) -> None:
    """Return the input of a run that is given none, where the pipeline can do without."""
    from flujo.plan.types import assignable, type_name

    if wanted in (Any, object) or assignable(NoneType, wanted):
        return
    raise InputError(
        f"the pipeline takes {type_name(wanted)}, and no input was given",
        fix="put it after the target, pass --input TEXT or --input-file PATH, or pipe it in",
    )


def _complaint(error: Exception, text: str) -> str:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error).splitlines()[0]
    if error.errors()[0]["type"] == "json_invalid" and text[:1] not in "{[":
        return "this is other text"
    return problems(error)

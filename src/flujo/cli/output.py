"""What is printed: data on stdout, everything else on stderr, errors in one envelope."""

import json
import os
import sys
import traceback
from collections.abc import Generator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from typing import Any, TextIO

from flujo.errors import (
    AnswerRejected,
    ChainBroken,
    ConfigError,
    DefinitionError,
    FlujoError,
    InputError,
    PlanChanged,
    PlanError,
    RequestDenied,
    ResumeError,
    RunBusy,
    RunTaken,
    StepFailed,
)

DONE, FAILED, USAGE, WAITING, DENIED, INVALID, BROKEN = 0, 1, 2, 3, 4, 5, 6

# The first that fits decides; a failure that none names is 1.
_CODES: tuple[tuple[type[FlujoError], int], ...] = (
    (ChainBroken, BROKEN),
    (RequestDenied, DENIED),
    (AnswerRejected, DENIED),
    (ConfigError, USAGE),
    (InputError, USAGE),
    (DefinitionError, INVALID),
    (PlanChanged, INVALID),
    (RunBusy, FAILED),
    (RunTaken, FAILED),
    (ResumeError, USAGE),
)
_FIXES: tuple[tuple[type[FlujoError], str], ...] = (
    (PlanError, "mend what is listed, then run `flujo check` again"),
    (StepFailed, "mend the cause and run it again; --trace shows where it was raised"),
    (RunBusy, "wait for it to end, or stop that process; if it is gone, add --take-over"),
    (PlanChanged, "run it with the code that it began with, or begin a new run"),
    (AnswerRejected, "give an answer that fits the schema; `flujo approvals list --json` shows it"),
    (ConfigError, "`flujo config show` names each setting and where it comes from"),
    (FlujoError, "run it again with --trace to see where it was raised"),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as the command line tells it.

    Attributes:
        error: What was raised.
        code: A stable word for machines.
        message: What happened.
        fix: What to do next.
        exit_code: What the command exits with.
        details: More for machines.
    """

    error: BaseException
    code: str
    message: str
    fix: str = ""
    exit_code: int = FAILED
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @staticmethod
    def of(error: FlujoError) -> "Fault":
        """Return one of our own errors as a fault."""
        fix = "" if isinstance(error, RunBusy) else error.fix  # ours names the option, not the argument
        fix = fix or next(fix for kind, fix in _FIXES if isinstance(error, kind))
        return Fault(error, error.code, error.message, fix, exit_code(error), _details(error))

    def envelope(self) -> dict[str, Any]:
        """Return what `--json` prints of it, under `error`."""
        return {"code": self.code, "message": self.message, "fix": self.fix, **self.details}


def exit_code(error: FlujoError) -> int:
    """Return what the command exits with after an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


def report(fault: Fault, *, as_json: bool, line: bool = False, trace: bool = False) -> int:
    """Print a fault, and return what the command exits with."""
    if trace:
        note(traced(fault.error))
    if not as_json or isinstance(fault.error, StdoutLost):
        note(told(fault))
        return fault.exit_code
    try:
        emit_json({"error": fault.envelope()}, line=line)
    except StdoutLost:
        note(told(fault))
    return fault.exit_code


def traced(error: BaseException) -> str:
    """Return an error with where it was raised, and what caused it."""
    return "".join(traceback.format_exception(error)).rstrip()


def told(fault: Fault) -> str:
    """Return a fault in words for people; what somebody interrupted is no error of theirs."""
    label, word = "To fix", "error: "
    if fault.code == "interrupted":
        label, word = "To go on", ""
    elif colored(sys.stderr):
        word = "\x1b[1;31merror:\x1b[0m "
    fix = "\n".join(f"  {line}" for line in f"{label}: {fault.fix}".splitlines()) if fault.fix else ""
    return f"{word}{clean(fault.message)}" + (f"\n{clean(fix)}" if fix else "")


class StdoutLost(FlujoError):
    """The command's data cannot be written to stdout."""

    code = "stdout"
    fix = "free some space where stdout leads, or let it lead elsewhere; what was recorded stands"


class CodeExited(FlujoError):
    """Code of the target tried to end the process."""

    code = "code_exited"
    fix = "raise an error where it has failed, or StopPipeline to end the run on purpose"


_kept: list[TextIO] = []


@contextmanager
def user_code() -> Generator[None]:
    """Let code that is not ours print on stderr: stdout holds the command's data and nothing else.

    Raises:
        CodeExited: It called ``sys.exit``; what the command exits with is the command's to say.
    """
    _divert()
    _kept.append(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    except SystemExit as error:
        raise CodeExited(f"the pipeline's code {exiting(error)}") from error
    finally:
        _kept.pop()


def exiting(error: SystemExit) -> str:
    """Return in words what code did that tried to end the process."""
    return f"calls sys.exit({'' if error.code is None else repr(error.code)})"


def _divert() -> None:
    """Take the process's stdout for the command alone, until its end.

    Programs that steps start, threads that outlive their step and what runs at exit all write to the
    descriptor or the stream that they know: from now on both lead to stderr.
    """
    out = sys.stdout
    if _kept or out is not sys.__stdout__ or sys.__stderr__ is None:
        return
    try:
        out.flush()
        own = os.fdopen(os.dup(out.fileno()), "w", encoding=out.encoding, errors=out.errors)
        os.dup2(sys.stderr.fileno(), out.fileno())
    except (OSError, ValueError):  # one of the two is closed, or no file
        return
    _kept.append(own)
    sys.stdout = sys.stderr


def emit(text: str) -> None:
    """Print data on stdout; a reader that went away is not an error."""
    _print(text, stdout())


def stdout() -> TextIO:
    """Return the command's own stdout, also while the code of users is kept from it."""
    return _kept[0] if _kept else sys.stdout


def emit_json(value: Any, *, line: bool = False) -> None:
    """Print one JSON document, or one line of many; in ASCII where the terminal cannot show more."""
    indent = None if line else 2
    emit(json.dumps(plain_json(value), ensure_ascii=not speaks_unicode(stdout()), indent=indent))


def note(text: str) -> None:
    """Tell people something, on stderr."""
    _print(text, sys.stderr)


def plain_json(value: Any) -> Any:
    """Return any value as JSON: what JSON has no form for is given in words."""
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        return to_jsonable_python(value, fallback=repr, bytes_mode="base64")
    except (PydanticSerializationError, ValueError):
        return repr(value)


def clean(text: str) -> str:
    """Return a text without what would steer a terminal: it may come from anybody's data."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)


def colored(stream: TextIO) -> bool:
    """Say whether a stream shows color."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def speaks_unicode(stream: TextIO) -> bool:
    """Say whether a stream can show every character."""
    return (stream.encoding or "ascii").lower().replace("-", "").startswith("utf")


def silence_closed_stdout() -> None:
    """Write out what is buffered; afterwards the interpreter has nothing left to fail on."""
    for stream in (*_kept, sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _drop(stream)


def _print(text: str, stream: TextIO) -> None:
    """Print a line; what people would be told ends nothing where it cannot be written.

    Raises:
        StdoutLost: It is data that cannot be written, and not because its reader went away.
    """
    encoding = stream.encoding or "ascii"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except OSError as error:
        _drop(stream)
        if stream is not sys.stderr and not isinstance(error, BrokenPipeError):
            raise StdoutLost(f"stdout cannot be written: {error.strerror}") from error


def _drop(stream: TextIO) -> None:
    """Send nowhere what is still written to a stream that takes no more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    except (OSError, ValueError):
        return
    finally:
        os.close(nowhere)


def _details(error: FlujoError) -> dict[str, Any]:
    match error:
        case PlanError():
            problems = [{"address": p.address, "message": p.message, "fix": p.fix} for p in error.problems]
            return {"problems": problems}
        case StepFailed():
            cause = error.__cause__
            found: dict[str, Any] = {"step": error.step, "address": error.address, "attempt": error.attempt}
            return found if cause is None else {**found, "cause": f"{type(cause).__name__}: {cause}"}
        case PlanChanged():
            return {"addresses": list(error.addresses)}
        case _:
            return {}

"""The command's one way in and out: whatever happens inside becomes a message and an exit code."""

import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup
from typing_extensions import override

from flujo.cli.output import Fault, report, silence_closed_stdout
from flujo.cli.text import is_utf8
from flujo.errors import ConfigError, FlujoError

USAGE, INTERRUPTED = 2, 130

_SUGGESTION = re.compile(r"\s*(?:\(Possible options: (.*)\)|Did you mean (.*)\?)$")

_MISSING = re.compile(r"No such option: --(\w+)")
_FORMS = ("tree", "mermaid", "svg")  # of `flujo show`; json is an option, too


def _whole(words: list[str]) -> list[str]:
    """Return a command line with the command that is meant where none is: ``flujo worker app:pipeline``."""
    named = words[1:2] and words[1] in ("run", "status", "--help", "-h")
    return ["worker", "run", *words[1:]] if words[:1] == ["worker"] and not named else words


class Door(TyperGroup):
    """The root of the commands: turns errors into the envelope and the exit codes of `docs/cli.md`."""

    @override
    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        words = _whole(sys.argv[1:] if args is None else list(args))
        options = words[: words.index("--")] if "--" in words else words
        try:
            _check_utf8(words)
            code = super().main(
                args=words,
                prog_name="flujo",
                complete_var=complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # no traceback unless asked for
            code = report(
                self._fault(error, words),
                as_json=bool({"--json", "--stream"} & set(options)),
                line="--stream" in options,
                trace=_trace(options),
            )
        silence_closed_stdout()
        sys.exit(code if isinstance(code, int) else 0)

    def _fault(self, error: BaseException, words: Sequence[str]) -> Fault:
        match error:
            case FlujoError():
                return Fault.of(error)
            case KeyboardInterrupt() | typer.Abort():
                return Fault(error, "interrupted", "interrupted", exit_code=INTERRUPTED)
            case typer.TyperException():
                return self._usage(error, words)
            case OSError():
                name = f"{error.filename}: " if error.filename else ""
                return Fault(
                    error, "os", f"{name}{error.strerror or error}", "check the path and who may use it"
                )
            case _:
                return Fault(
                    error,
                    "internal",
                    f"{type(error).__name__}: {error}",
                    "this is a fault of flujo: run it again with --trace, and report what it prints",
                )

    def _usage(self, error: typer.TyperException, words: Sequence[str]) -> Fault:
        """Say what is wrong with the words of the command line, and what was probably meant."""
        said = error.format_message()
        found = _SUGGESTION.search(said)
        said = said[: found.start()] if found else said
        option = _MISSING.match(said)
        if option and option[1] in _FORMS and self._path(words)[1:] == ["show"]:
            meant_form = f"did you mean --format {option[1]}?"
            return Fault(error, "usage", said.rstrip("."), meant_form, exit_code=USAGE)
        help_of = f"`{' '.join(self._path(words))} --help`"
        meant = (found[1] or found[2]).replace("'", "") if found else ""
        fix = f"did you mean {meant}? {help_of} lists them all" if meant else f"see {help_of}"
        return Fault(error, "usage", said.rstrip("."), fix, exit_code=USAGE)

    def _path(self, words: Sequence[str]) -> list[str]:
        """Return the words that name a command, from `flujo` on."""
        path: list[str] = ["flujo"]
        at: object = self
        for word in words:
            if not isinstance(at, TyperGroup) or word not in at.commands:
                break
            at = at.commands[word]
            path.append(word)
        return path


def _check_utf8(words: Sequence[str]) -> None:
    """Refuse a word that no journal, no store and no JSON can hold.

    Raises:
        ConfigError: One is not UTF-8.
    """
    for word in words:
        if not is_utf8(word):
            raise ConfigError(
                f"the word {os.fsencode(word)!r} is not UTF-8",
                fix="write it in UTF-8; rename a file of that name, or pipe its content in",
            )


def _trace(options: Sequence[str]) -> bool:
    """Say whether a traceback is wanted, without failing on the very settings that are at fault."""
    if "--trace" in options:
        return True
    from flujo.cli.config import trace_wanted

    return trace_wanted()

"""Writes docs/cli.md from the commands' own help; `--check` only compares."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import typer
from typer.main import get_command

from flujo.cli.app import app

PAGE = Path(__file__).with_name("cli.md")

HEAD = """\
# The command line

What `flujo --help` says of every command, on one page; `make docs` writes it from the commands themselves.
Settings and where they may come from are in [configuration.md](configuration.md).

## What holds for every command

Data goes to stdout and everything else to stderr. `--json` prints one JSON document instead, and with
`--stream` one JSON line for each event, the result last. What the pipeline's code prints goes to stderr, and
so does what the programs print that it starts. Code that calls `sys.exit` does not choose the exit code: a
module counts as one that cannot be loaded, and a step fails. Words that are not UTF-8 are refused. A failing
command says what to do next; with `--json` it prints the same on stdout:

```json
{"error": {"code": "target", "message": "there is no file pipelin.py", "fix": "did you mean pipeline.py?"}}
```

| exit code | meaning |
|---|---|
| 0 | done; also when the run was stopped on purpose, which `stopped: reason` tells |
| 1 | the run failed or was cancelled; a replay or a comparison differs; the store or a file cannot be used |
| 2 | usage: the words of the command line, the input, the settings, or a run or request that is not there |
| 3 | the run waits for a person |
| 4 | a person denied, or an answer was rejected; a rejected answer leaves the request open |
| 5 | the pipeline is invalid, its code cannot be loaded, or a run was made by another plan |
| 6 | the audit found a journal that was changed |
| 130 | interrupted; a recorded run can be resumed, and the command that does it is printed |

**A target** is `file.py:object`, `module:object`, or a name from the table `targets` of `flujo.toml`. The
object is a pipeline, a step or another node, a `Flujo` runner (which keeps its own store), or a function
without arguments that returns one of them. A run remembers its target, so that `flujo runs resume` finds the
pipeline again.

**The input** comes from the word after the target, `--input TEXT`, `--input-file PATH`, or a pipe; one of
them. `-` reads stdin and `@PATH` a file. The word after the target reads a file also by its mere name, if
there is one: `flujo run TARGET in.json`. Text that is JSON of the type that the pipeline takes is that value;
any other text is itself.

**Runs and requests** are named by their id, by a beginning of it that no other has, or by `last` for the
newest run. A request's id is its run's, a colon, and the address where it waits.
"""


def page() -> str:
    """Compose the page: the head, then each command in the order of `flujo --help`."""
    root = get_command(app)
    with typer.Context(root, info_name="flujo") as context:  # pyright: ignore[reportArgumentType]
        return HEAD + "".join(section(root, context, "flujo"))


def section(command: object, context: typer.Context, name: str) -> Iterator[str]:
    """Describe a command and those in it."""
    inner = getattr(command, "commands", {})
    if name != "flujo":
        yield f"\n{'##' if name.count(' ') == 1 else '###'} `{name}`\n\n{told(command.help)}\n"
    if not inner:
        yield "\n```text\n" + " ".join([name, *command.collect_usage_pieces(context)]) + "\n```\n"
    entries = [param.get_help_record(context) for param in command.get_params(context)]
    rows = [entry for entry in entries if entry is not None and not entry[0].startswith(("-h", "--help"))]
    if rows and not (inner and name != "flujo"):
        yield "\n"
        yield from (f"- `{_bare(words)}`: {' '.join(about.split())}\n" for words, about in rows)
    for word, one in inner.items():
        with typer.Context(one, parent=context, info_name=word) as below:
            yield from section(one, below, f"{name} {word}")


def _bare(words: str) -> str:
    """Return an argument's name without the type that stands after it."""
    return re.sub(r" <.*>$", "", words)


def told(text: str | None) -> str:
    """Return a help text as a paragraph each."""
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n"))


def main() -> None:
    """Write the page, or with `--check` end with 1 if it is not what the commands say."""
    current = page()
    if "--check" not in sys.argv:
        PAGE.write_text(current, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != current:
        sys.exit("docs/cli.md is not what the commands say: run `python docs/cli.py`.")


if __name__ == "__main__":
    main()

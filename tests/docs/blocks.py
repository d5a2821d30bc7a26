"""Finds the code blocks of the documentation and runs each as a reader would.

A block's info string says what it is:

- ```` ```python ```` runs as a file of its own in a fresh interpreter and folder.
- ```` ```python file=shop.py ```` is also laid as `shop.py` beside every later block of the same document.
- ```` ```console ```` or ```` ```bash ```` runs its `$ ` lines (`$ flujo ...` or `$ python ...`); lines
  without `$ ` are what a terminal shows, where `...` in a line stands for anything and alone for any lines.
  What differs from run to run (ids, durations, times, the width of columns) may be any of its kind.
  A command must end with 0, or with what stands behind it: `$ flujo run ...  # exits with 3`.
- ```` ```text output ```` right below a Python block is what that block must print.
- `no-run` marks what cannot run in a test; `toml` and `json` must parse; `text` and `mermaid` are pictures.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SHELLS = frozenset({"bash", "console", "sh", "shell"})
PICTURES = frozenset({"text", "mermaid"})
_STATUS = re.compile(r"# exits with (\d+)")
COMMANDS = frozenset({"flujo", "python"})

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<info>[^`\n]*)\n(?P<code>.*?)^(?P=indent)(?P=fence) *$",
    re.DOTALL | re.MULTILINE,
)


_VARIES = {
    "anything": r"[^\n]*",
    "id": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "time": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
    "duration": r"(?:<1|\d+(?:\.\d+)?) (?:ms|s|min)",
    "spaces": " +",
}
_PARTS = re.compile(
    rf"(?P<anything>\.\.\.)|(?P<id>{_VARIES['id']})|(?P<time>{_VARIES['time']})"
    rf"|(?P<duration>{_VARIES['duration']}\b)|(?P<spaces> +)|(?P<text>.)",
)


class BlockError(AssertionError):
    """A block of the documentation does not do what its page says."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: where it stands, what it is, its text, and the files a reader has made by now."""

    place: str
    language: str
    options: dict[str, str]
    code: str
    output: str | None = None
    files: dict[str, str] = field(default_factory=dict[str, str])


def blocks_of(document: Path, root: Path) -> Iterator[Block]:
    """Yield a document's blocks in order; a `text output` block comes joined to the one above it."""
    text = document.read_text(encoding="utf-8")
    files: dict[str, str] = {}
    fences = list(_FENCE.finditer(text))
    for at, fence in enumerate(fences):
        language, *rest = fence["info"].split() or [""]
        options = {word.partition("=")[0]: word.partition("=")[2] for word in rest}
        if (language, "output" in options) == ("text", True):
            continue
        code = re.sub(f"^{fence['indent']}", "", fence["code"], flags=re.MULTILINE)
        following = fences[at + 1] if at + 1 < len(fences) else None
        output = following["code"] if following and following["info"].split() == ["text", "output"] else None
        line = text.count("\n", 0, fence.start()) + 1
        yield Block(f"{document.relative_to(root)}:{line}", language, options, code, output, dict(files))
        if "file" in options:
            files[options["file"]] = code


def run(block: Block, folder: Path) -> None:
    """Run the block in `folder`, which must be empty.

    Raises:
        BlockError: it fails, prints something else than the page says, or is of no known kind.
    """
    for name, text in block.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    if "no-run" in block.options or block.language in PICTURES:
        return
    if block.language == "python":
        _run_python(block, folder)
    elif block.language in SHELLS:
        _run_shell(block, folder)
    elif block.language == "toml":
        tomllib.loads(block.code)
    elif block.language == "json":
        json.loads(block.code)
    else:
        raise BlockError(f"{block.place}: a block in `{block.language}`, which nothing here can run or check")


def _run_python(block: Block, folder: Path) -> None:
    file = folder / block.options.get("file", "example.py")
    file.write_text(block.code, encoding="utf-8")
    printed = _command(block, [sys.executable, "-W", "error", file.name], folder, 0)
    if block.output is not None:
        _compare(block, block.output, printed)


def _run_shell(block: Block, folder: Path) -> None:
    commands = re.split(r"^\$ ", block.code, flags=re.MULTILINE)
    if commands[0].strip() or len(commands) == 1:
        raise BlockError(f"{block.place}: its commands must begin with `$ `, or the block be marked no-run")
    for entered in commands[1:]:
        line, _, expected = re.sub(r" *\\\n", " ", entered).partition("\n")
        words = shlex.split(line, comments=True)
        name = words[0] if words else ""
        if name not in COMMANDS:
            raise BlockError(f"{block.place}: `{name}` is no command a test runs; mark the block no-run")
        status = _STATUS.search(line)
        beside = Path(sys.executable).parent / name
        command = [str(beside), *words[1:]]
        printed = _command(block, command, folder, int(status[1]) if status else 0, shown=subprocess.STDOUT)
        if expected.strip():
            _compare(block, expected, printed)


def _command(
    block: Block, command: list[str], folder: Path, status: int, *, shown: int = subprocess.PIPE
) -> str:
    outcome = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "100", "PYTHONUNBUFFERED": "1", "FLUJO_ACTOR": "ada"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=shown,
        text=True,
        timeout=60,
        check=False,
    )
    # A shell tells of a process that a signal ended by 128 and the signal's number.
    ended = outcome.returncode if outcome.returncode >= 0 else 128 - outcome.returncode
    if ended != status:
        said = (outcome.stdout + (outcome.stderr or "")).strip()
        raise BlockError(f"{block.place}: {shlex.join(command)} ended with {ended}, not {status}:\n{said}")
    return outcome.stdout


def _compare(block: Block, expected: str, printed: str) -> None:
    lines = [".*" if line.strip() == "..." else _line(line) for line in expected.strip().splitlines()]
    actual = "\n".join(line.rstrip() for line in printed.strip().splitlines())
    if not re.fullmatch("\n".join(lines), actual, re.DOTALL):
        raise BlockError(f"{block.place}: the page says\n{expected.strip()}\n\nand it prints\n{actual}")


def _line(line: str) -> str:
    """Return what a printed line must match."""
    return "".join(
        _VARIES.get(found.lastgroup or "", re.escape(found[0])) for found in _PARTS.finditer(line.rstrip())
    )

"""Writes docs/reference.md from the docstrings of the names that `flujo` exports; `--check` only compares."""

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import flujo

PAGE = Path(__file__).with_name("reference.md")

HEAD = """\
# Reference

Every name that `flujo` exports, in the words of its docstring; `make docs` writes this page. The
[guides](README.md) show how they are used.
"""

GROUPS = {
    "Steps": ["step", "Step", "StreamingStep", "Fold", "Retry", "ResourceHints", "From", "StepInfo", "Usage",
              "Quota", "price", "FlujoTool", "ToolError", "ToolInDoubt"],
    "Control flow": ["Node", "Pipeline", "Parallel", "Map", "Branch", "Loop", "SubPipeline", "Failure",
                     "PipelineMutation", "Reconfigure", "MayMutate"],
    "Waiting and stopping": [
        "HumanInput", "PauseForHumanInput", "Approval", "Decision", "WaitForEvent", "Sleep", "StopPipeline",
    ],
    "Context": ["PipelineContext", "Add", "Append", "Last", "Max", "Merge", "Min"],
    "Running": ["Flujo", "Hook", "Replace", "PipelineResult", "StepHistory", "StepResult",
                "ReplayReport", "Difference",
                "compare_runs", "RunComparison", "UpgradeReport"],
    "Stores and errors": ["SQLiteStore", "PostgresStore", "MemoryStore", "FlujoError"],
}  # fmt: skip

METHODS = {
    "Flujo",
    "Hook",
    "PipelineResult",
    "ReplayReport",
    "StepInfo",
    "Step",
    "Pipeline",
    "PipelineMutation",
}
"""The classes whose methods users call or override."""

_LABELS = ("Args", "Attributes", "Returns", "Raises", "Example")


def page() -> str:
    """Compose the page, group by group."""
    grouped = [name for names in GROUPS.values() for name in names]
    if sorted(grouped) != sorted(flujo.__all__):
        sys.exit(
            f"docs/reference.py groups other names than flujo exports: {set(grouped) ^ {*flujo.__all__}}"
        )
    parts = [HEAD]
    for group, names in GROUPS.items():
        parts.append(f"\n## {group}\n")
        parts += [part for name in names for part in entry(name)]
    return "".join(parts)


def entry(name: str) -> Iterator[str]:
    """Describe one name, and the methods that users meet."""
    thing = getattr(flujo, name)
    yield f"\n### `{name}`\n\n{told(thing, name)}"
    if name not in METHODS:
        return
    hidden = [base for base in thing.__mro__[1:] if base.__module__.startswith("flujo.")]
    owners = [thing, *(base for base in hidden if base.__name__ not in flujo.__all__)]
    for method, function in (pair for owner in owners for pair in vars(owner).items()):
        if method.startswith("_") or not inspect.isfunction(function):
            continue
        word = "await " if inspect.iscoroutinefunction(function) else ""
        word = "async for event in " if inspect.isasyncgenfunction(function) else word
        taken = ", ".join(parameters(function))
        yield f"\n#### `{word}{name}.{method}({taken})`\n\n{told(function, f'{name}.{method}')}"


def parameters(function: object) -> Iterator[str]:
    """Yield a function's parameters as a caller writes them."""
    starred = False
    for parameter in list(inspect.signature(function).parameters.values())[1:]:  # pyright: ignore[reportArgumentType]
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = "" if parameter.default is parameter.empty else f"={shown(parameter.default)}"
        yield f"{star}{parameter.name}{default}"


def shown(default: object) -> str:
    """Write a default as it would be written in code."""
    if isinstance(default, type):
        return default.__name__
    return "..." if default is ... else repr(default) if isinstance(default, str | bool | None) else "…"


def told(thing: object, name: str) -> str:
    """Return a docstring as Markdown."""
    said = inspect.getdoc(thing)
    if not said:
        sys.exit(f"flujo.{name} has no docstring to show.")
    paragraphs = [told_part(part) for part in re.split(r"\n\n(?=\S)", said)]
    return "\n\n".join(paragraphs) + "\n"


def told_part(part: str) -> str:
    """Return one paragraph, list or example of a docstring as Markdown."""
    label, _, rest = part.partition(":\n")
    if label == "Example":
        return f"```pycon no-run\n{textwrap.dedent(rest).strip()}\n```"
    if label in _LABELS:
        lines = textwrap.dedent(rest).strip()
        items = re.split(r"\n(?=\S)", lines) if label != "Returns" else [lines]
        return f"{label}:\n\n" + "\n".join(f"- {item(text, bare=label == 'Returns')}" for text in items)
    if "\n    " in part:  # code, set off by its indent
        prose, _, code = part.partition("\n\n    ")
        return (
            f"{inline(prose)}\n\n```python no-run\n{textwrap.dedent('    ' + code)}\n```"
            if code
            else inline(part)
        )
    return inline(part)


def item(text: str, *, bare: bool) -> str:
    """Return one line of a list: a name and what is said of it."""
    name, colon, about = inline(text).partition(": ")
    return inline(text) if bare or not colon else f"`{name}`: {about}"


def inline(text: str) -> str:
    """Return a paragraph in one line, with Markdown's way to mark code."""
    text = re.sub(r":\w+:`~?(?:flujo\.[\w.]*?)?(\w+(?:\.\w+)?)`", r"`\1`", text).replace("``", "`")
    return " ".join(text.split())


def main() -> None:
    """Write the page, or with `--check` end with 1 if it is not what the code says."""
    current = page()
    if "--check" not in sys.argv:
        PAGE.write_text(current, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != current:
        sys.exit("docs/reference.md is not what the docstrings say: run `make docs`.")


if __name__ == "__main__":
    main()

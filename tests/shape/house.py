"""Measures the shape of the sources: what grows unnoticed and is hard to shrink again."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

LONG_FILE, LONG_FUNCTION = 400, 60
LONGEST_FILE, LONGEST_FUNCTION = 600, 80

_REFLECTION = frozenset({"getattr", "setattr", "hasattr", "delattr"})
_BROAD = frozenset({"Exception", "BaseException"})
_IGNORE = re.compile(r"#\s*(?:type:\s*ignore|pyright:|noqa|ruff:)")


def measure(package: Path) -> dict[str, list[str]]:
    """List, per kind of thing to watch, every place where it stands in the folder's sources."""
    found: dict[str, list[str]] = {
        "long_files": [],
        "long_functions": [],
        "broad_excepts": [],
        "reflection": [],
        "ignores": [],
    }
    for path in sorted(package.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        name = str(path.relative_to(package))
        lines = text.splitlines()
        if len(lines) > LONG_FILE:
            found["long_files"].append(f"{name}: {len(lines)} lines")
        found["ignores"] += [f"{name}:{at}" for at, line in enumerate(lines, 1) if _IGNORE.search(line)]
        for node in ast.walk(ast.parse(text, str(path))):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef() if length(node) > LONG_FUNCTION:
                    found["long_functions"].append(f"{name}:{node.lineno} {node.name}: {length(node)} lines")
                case ast.ExceptHandler(type=kind) if _is_broad(kind):
                    found["broad_excepts"].append(f"{name}:{node.lineno}")
                case ast.Call(func=ast.Name(id=called)) if called in _REFLECTION:
                    found["reflection"].append(f"{name}:{node.lineno} {called}")
                case _:
                    pass
    return found


def beyond_the_limit(package: Path) -> Iterator[str]:
    """Yield the files and functions past the hard limits of the house."""
    for path in sorted(package.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > LONGEST_FILE:
            yield f"{path.relative_to(package)} is longer than {LONGEST_FILE} lines"
        for node in ast.walk(ast.parse(text, str(path))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length(node) > LONGEST_FUNCTION:
                place = f"{path.relative_to(package)}:{node.lineno}"
                yield f"{place} {node.name} is longer than {LONGEST_FUNCTION} lines"


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function from `def` to its last, docstring included."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _is_broad(kind: ast.expr | None) -> bool:
    match kind:
        case None:
            return True
        case ast.Tuple(elts=kinds):
            return any(_is_broad(one) for one in kinds)
        case ast.Name(id=name):
            return name in _BROAD
        case _:
            return False

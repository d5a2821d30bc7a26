"""Reads who imports whom in a tree of Flujo's sources, whichever way the import is written.

Counted are plain and relative imports at any depth (in functions and under `TYPE_CHECKING` too), dynamic
imports with a literal name, and any string that spells a module of ours, since that is how the rest of the
escape routes begin (`sys.modules[...]`, `pkgutil.resolve_name(...)`). A dynamic import whose name cannot be
read is refused, but where a user's own type is looked up by its recorded name.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CORE = frozenset({"errors", "pipeline", "plan", "journal", "engine"})

ALLOWED: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "pipeline": frozenset({"errors"}),
    "journal": frozenset({"errors"}),
    "plan": frozenset({"errors", "pipeline"}),
    "engine": CORE,
    **dict.fromkeys(
        ("agents", "governance", "memory", "sandbox", "backends", "telemetry", "testing", "worker"), CORE
    ),
    "skills": CORE | {"agents"},
    "evals": CORE | {"agents"},
}
"""The rooms, and those each may import besides itself. `server` and `cli` see all below them."""
ALLOWED["server"] = frozenset(ALLOWED)
ALLOWED["cli"] = frozenset(ALLOWED)

_MODULE_OF_OURS = re.compile(r"flujo(\.\w+)+(:\w+)?")
_DYNAMIC = frozenset({"import_module", "__import__"})
UNREADABLE = "a name that cannot be read"


@dataclass(frozen=True, slots=True)
class Import:
    """One import of a module of ours: where it stands and what it reaches (`flujo` or `flujo.room...`)."""

    place: str
    target: str


def violations(package: Path) -> list[str]:
    """Name each import in `package` (the folder `flujo`) that goes against the direction, sorted by place."""
    found: list[str] = []
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if parts == ("__init__",):
            continue  # the facade names every room; that it loads none is held by test_lazy.py
        room = "cli" if parts == ("__main__",) else parts[0]
        if room not in ALLOWED:
            found.append(f"{path.relative_to(package)}: the room `{room}` is not in the table of rooms")
            continue
        for entry in imports_of(path, package):
            reached = entry.target.split(".")[1] if "." in entry.target else ""
            if reached == room or reached in ALLOWED[room] or (not reached and room not in CORE):
                continue
            found.append(f"{entry.place}: `{room}` imports {entry.target}")
    return found


def imports_of(path: Path, package: Path) -> Iterator[Import]:
    """Yield every import of a module of ours in the file, in no particular order."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    parents = ("flujo", *path.relative_to(package).parts[:-1])
    prose = _docstrings(tree)
    for node in ast.walk(tree):
        for target in _targets(node, parents, prose):
            yield Import(f"{path.relative_to(package)}:{getattr(node, 'lineno', 0)}", target)


def _targets(node: ast.AST, parents: tuple[str, ...], prose: set[int]) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names if _ours(alias.name)]
        case ast.ImportFrom(module=module, names=names, level=level):
            start = ".".join(parents[: len(parents) - level + 1]) if level else ""
            base = ".".join(part for part in (start, module) if part)
            # `from flujo import journal` reaches the room as `import flujo.journal` does.
            if base == "flujo":
                return [f"flujo.{alias.name}" if alias.name in ALLOWED else "flujo" for alias in names]
            return [base] if _ours(base) else []
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[first, *_]) if (
            name in _DYNAMIC
        ):
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                return [] if not first.value.startswith(".") else [f"a relative name, `{first.value}`"]
            return [UNREADABLE]
        case ast.Constant(value=str(value)) if id(node) not in prose and _MODULE_OF_OURS.fullmatch(value):
            room = value.split(".")[1].partition(":")[0]
            return [value.partition(":")[0]] if room in ALLOWED else []
        case _:
            return []


def _ours(name: str) -> bool:
    return name == "flujo" or name.startswith("flujo.")


def _docstrings(tree: ast.Module) -> set[int]:
    """Find the strings that import nothing: statements of their own, and groups of entry points."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    groups = {
        id(keyword.value)
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "entry_points"
        for keyword in call.keywords
    }
    return alone | groups

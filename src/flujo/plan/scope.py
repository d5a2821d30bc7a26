"""Which earlier outputs a step may name, at each place of a pipeline."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from flujo.errors import Problem
from flujo.plan.types import Type


@dataclass(frozen=True, slots=True)
class Source:
    """An output that may be named.

    Attributes:
        path: Where it comes from.
        type: What it is.
        doubt: Why it may be missing here; empty when it is certain.
    """

    path: str
    type: Type
    doubt: str = ""


class Scope:
    """The outputs that can be named at one place, by the name of their node."""

    def __init__(self, around: Scope | None = None) -> None:
        self._around = around
        self._sources: dict[str, Source] = {}

    def find(self, name: str) -> Source | None:
        """Return the nearest earlier output of this name."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope._sources:
                return scope._sources[name]
            scope = scope._around
        return None

    def add(self, name: str, source: Source) -> None:
        """Make an output known to what follows; a nearer one hides a farther one."""
        self._sources[name] = source

    def inside(self) -> Scope:
        """Return a scope for what lies inside a container: it sees what was before."""
        return Scope(self)

    def take(self, inner: Scope, doubt: str = "") -> None:
        """Make known what became known inside a container; ``doubt`` says why it may be missing."""
        for name, source in inner._sources.items():
            if self.find(name) == source:
                continue
            self._sources[name] = replace(source, doubt=doubt) if doubt else source

    def join(self, branches: list[Scope], doubt: str = "") -> None:
        """Make known what became known in each of several branches."""
        seen: dict[str, Source] = {}
        for branch in branches:
            for name, source in branch._sources.items():
                if self.find(name) == source:
                    continue
                if name in seen:
                    source = replace(
                        source, doubt=f"two nodes bear this name: {seen[name].path} and {source.path}"
                    )
                seen[name] = source
        for name, source in seen.items():
            self._sources[name] = replace(source, doubt=source.doubt or doubt)


def unknown_source(path: str, name: str, placed: Sequence[str]) -> Problem:
    """Return what is wrong where a step names an output that is not to be had.

    Args:
        path: The step.
        name: The name.
        placed: The paths of all nodes.
    """
    bearers = [place for place in placed if place.rsplit("/", 1)[-1] == name]
    if bearers:
        return Problem(
            path,
            f"it takes the output of {bearers[0]!r}, which does not run before it on every path",
            "name something that has ended before it begins",
        )
    known = list(dict.fromkeys(place.rsplit("/", 1)[-1] for place in placed))
    close = difflib.get_close_matches(name, known, n=1)
    fix = f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(known)}"
    return Problem(path, f"it takes the output of {name!r}, but no node has this name", fix)


def two_rows(path: str) -> Problem:
    """Return what is wrong where a row of nodes that may change has the addresses of another."""
    return Problem(
        path,
        "a step may change its row, which has the addresses of another, that runs here in another case",
        "give that one a level of its own: SubPipeline(…, name=…)",
    )

"""Descriptions of random pipelines: plain data that one module builds and another interprets.

Every node takes an ``int`` and gives an ``int``, so that any of them may follow any other. ``k`` is the
one number by which nodes of a kind differ; what it means is said where it is used.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal

from hypothesis import strategies as st

Leaf = Literal[
    "add", "threaded", "write", "read", "report", "flaky", "fail", "effect", "pause", "ask", "event", "sleep",
    "named",
]  # fmt: skip
Container = Literal[
    "sequence", "tuple", "mapping", "collect", "map", "gather", "branch", "loop", "sub", "fallback", "human"
]

QUIET: tuple[Leaf, ...] = ("add", "threaded", "write", "read", "report", "flaky", "effect", "sleep", "named")
WAITING: tuple[Leaf, ...] = ("pause", "ask", "event")
MODULUS = 997
LABELS = ("left", "right", "middle")


@dataclass(frozen=True, slots=True)
class Spec:
    """One node.

    Attributes:
        kind: What it is.
        k: How it differs from others of its kind.
        parts: What it holds.
        name: Its name, unique in the pipeline; given by :func:`numbered`.
        source: For a named input, the name of the earlier node; likewise.
    """

    kind: Leaf | Container
    k: int = 0
    parts: tuple["Spec", ...] = ()
    name: str = ""
    source: str = ""

    def walk(self) -> Iterator["Spec"]:
        yield self
        for part in self.parts:
            yield from part.walk()


def numbered(spec: Spec) -> Spec:
    """Give every node its name, and every named input a source that certainly ran before it."""
    return _numbered(spec, count(1), [])


def _numbered(spec: Spec, numbers: Iterator[int], known: list[str]) -> Spec:
    """Name a node and all inside it; add to ``known`` the names that later nodes may take."""
    name = f"{spec.kind}{next(numbers)}"
    source = known[spec.k % len(known)] if spec.kind == "named" and known else ""
    parts: list[Spec] = []
    for part in spec.parts:
        match spec.kind:
            case "sequence" | "loop" | "sub":
                parts.append(_numbered(part, numbers, known))
            case "tuple" | "mapping":
                inner = list(known)
                parts.append(_numbered(part, numbers, inner))
            case _:
                parts.append(_numbered(part, numbers, list(known)))
    if spec.kind in ("tuple", "mapping"):
        for part in parts:
            known.extend(_certain(part))
    if spec.kind not in ("tuple", "mapping", "collect", "map", "gather", "sequence"):
        known.append(name)
    return replace(spec, name=name, parts=tuple(parts), source=source)


def _certain(spec: Spec) -> list[str]:
    """Return the names inside a finished branch that certainly ran."""
    inside = [name for part in spec.parts for name in _certain(part)]
    match spec.kind:
        case "sequence" | "tuple" | "mapping":
            return inside
        case "loop" | "sub":
            return [*inside, spec.name]
        case "collect" | "map" | "gather":
            return []
        case _:
            return [spec.name]


def pipelines(*, waits: bool, fails: bool = True, size: int = 12) -> st.SearchStrategy[Spec]:
    """Return random pipelines; ``waits`` where they may ask people, ``fails`` where steps may fail."""
    kinds = [*QUIET, *(WAITING if waits else ()), *(["fail"] if fails else [])]
    leaf = st.builds(Spec, st.sampled_from(kinds), st.integers(0, 7))

    def containing(inner: st.SearchStrategy[Spec]) -> st.SearchStrategy[Spec]:
        one, some = st.tuples(inner), st.lists(inner, min_size=1, max_size=3).map(tuple)
        two = st.lists(inner, min_size=2, max_size=3).map(tuple)
        k = st.integers(0, 7)
        shapes = [
            st.builds(Spec, st.just("sequence"), k, two),
            st.builds(Spec, st.sampled_from(["tuple", "mapping", "collect"]), k, some),
            st.builds(Spec, st.sampled_from(["map", "gather", "loop", "sub", "fallback"]), k, one),
            st.builds(Spec, st.just("branch"), k, two),
        ]
        if waits:
            shapes.append(st.builds(Spec, st.just("human"), k, st.lists(inner, max_size=1).map(tuple)))
        return st.one_of(shapes)

    return st.recursive(leaf, containing, max_leaves=size).map(numbered)

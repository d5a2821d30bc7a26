"""What recipes know of the nodes that they are made of, and the steps that they put between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from flujo.pipeline.node import Node
from flujo.pipeline.step import Step
from flujo.plan.place import Placement
from flujo.plan.types import Type

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Typed:
    """A node, looked at from outside.

    Attributes:
        takes: What it takes; Any where its annotations do not tell.
        gives: What it gives, likewise.
        names: The names of all nodes inside it.
    """

    takes: Type
    gives: Type
    names: frozenset[str]


def typed(node: Node[Any, Any], takes: Type | None = None) -> Typed:
    """Return what a node takes and gives.

    What is wrong inside it is not said here: the plan says it, once and in its place.

    Args:
        node: The node.
        takes: What it takes, where that is given and need not be found.
    """
    placed = Placement().place_root(node, Any if takes is None else takes)
    asked = placed.input_type
    names = frozenset(inner.label for inner in placed.walk())
    return Typed(Any if asked is object else asked, placed.output_type, names)


def told(function: F, types: Mapping[str, Type]) -> F:
    """Annotate a function with types that are known only now, and return it."""
    function.__annotations__ = dict(types)
    return function


def glue(name: str, function: Callable[..., Any], **inputs: Node[Any, Any]) -> Step[Any, Any]:
    """Return a step of a recipe's own, whose named parameters take what the given nodes gave."""
    return Step(function, name=name, inputs={key: node.output for key, node in inputs.items()})


def free(name: str, *among: Typed) -> str:
    """Return a name that no node bears: references to it mean the recipe's own node."""
    used = frozenset[str]().union(*(one.names for one in among))
    found, number = name, 1
    while found in used:
        number += 1
        found = f"{name}-{number}"
    return found

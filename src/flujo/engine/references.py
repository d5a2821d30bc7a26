"""References: which nodes the names and import paths in a mutation stand for."""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, cast

from pydantic_core import to_json

from flujo.engine.caching import place_of
from flujo.engine.threads import text_of
from flujo.errors import FlujoError
from flujo.pipeline.flow import SubPipeline
from flujo.pipeline.loading import loading
from flujo.pipeline.node import Node, Pipeline, bare
from flujo.pipeline.step import Step
from flujo.plan.nodes import PlanStep, node_of
from flujo.plan.plan import Plan
from flujo.plan.signature import unwrapped

AnyNode = Node[Any, Any]


class Unresolved(Exception):
    """A reference stands for no node.

    Attributes:
        fix: What to give instead.
    """

    def __init__(self, message: str, *, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


def resolved(reference: str, registered: Mapping[str, AnyNode], plan: Plan) -> tuple[AnyNode, str]:
    """Return the node that a reference stands for, and what it is called.

    Args:
        reference: A registered name, an import path ``module:attribute``, or a node's name or path.
        registered: Nodes by name.
        plan: The plan whose nodes can be named.

    Raises:
        Unresolved: It stands for none, or for several.
    """
    if reference in registered:
        return registered[reference], reference
    if ":" in reference:
        return _imported(reference)
    known = {
        id(node): (node, placed)
        for placed in plan.nodes.values()
        if reference in (placed.label, placed.path) and (node := node_of(placed)) is not None
    }
    if len(known) == 1:
        node, placed = next(iter(known.values()))
        return node, placed.label
    if known:
        paths = ", ".join(repr(placed.path) for _, placed in known.values())
        raise Unresolved(f"{reference!r} is the name of several nodes", fix=f"name one by its path: {paths}")
    names = [*registered, *dict.fromkeys(node.label for node in plan.nodes.values())]
    close = difflib.get_close_matches(reference, names, n=1)
    raise Unresolved(
        f"{reference!r} refers to nothing",
        fix=f"did you mean {close[0]!r}?"
        if close
        else "register it: MayMutate(…, nodes={…}); or give an import path, module:attribute",
    )


def _imported(reference: str) -> tuple[AnyNode, str]:
    """Return what stands at an import path as a node, and what it is called.

    Raises:
        Unresolved: It is none, or the module cannot be imported, whatever it raised.
    """

    def broken(error: Exception | SystemExit) -> Unresolved:
        known = isinstance(error, ImportError | AttributeError | ValueError)
        return _no_node(reference, text_of(error) if known else f"{type(error).__name__}: {text_of(error)}")

    try:
        with loading(broken):
            found: object = pkgutil.resolve_name(reference)
        if not isinstance(found, Node) and not callable(found):  # what it holds may be a secret
            raise _no_node(reference, f"{type(found).__name__} is not callable")
        is_node = isinstance(found, Node)
        node: AnyNode = cast("AnyNode", found) if is_node else Step(cast("Callable[..., Any]", found))
    except FlujoError as error:
        raise _no_node(reference, error.message) from None
    return node, node.name or reference.rpartition(":")[2]


def _no_node(reference: str, why: str) -> Unresolved:
    fix = "give the import path of a step, a pipeline or a function"
    return Unresolved(f"{reference!r} gives no node: {why}", fix=fix)


def named(node: AnyNode, name: str) -> AnyNode:
    """Return a node under a name; what has none of its own is put into a sub-pipeline that has it."""
    inner = bare(node)
    if isinstance(inner, Pipeline) or inner.name not in ("", name):
        return node.named(name) if isinstance(node, Step) else SubPipeline(node, name=name)
    return node


def is_in(path: str, around: str) -> bool:
    """Say whether a path is another, or lies inside it."""
    return path == around or path.startswith((f"{around}/", f"{around}["))


def below(plan: Plan, path: str) -> list[str]:
    """Return a path, and all inside it."""
    return [one for one in plan.nodes if is_in(one, path)]


def digest_of(plan: Plan, path: str) -> str:
    """Return what tells a node that came in from another: its shape, and which functions its steps run."""
    facts: list[list[str]] = []
    for one in below(plan, path):
        node = plan.nodes[one]
        agent = place_of(unwrapped(node.signature.call)) if isinstance(node, PlanStep) else ()
        facts.append([one.removeprefix(path), plan.digests[one], *agent])
    return sha256(to_json(facts)).hexdigest()[:16]

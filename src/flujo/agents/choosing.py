"""Roles that choose: a label for a document, a route for a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from operator import getitem
from typing import Any, Literal, TypeVar, cast, overload

from pydantic_ai.models import Model
from typing_extensions import Unpack

from flujo.agents.role import RoleAgent, RoleSettings, labels_of
from flujo.agents.roleprompts import listed
from flujo.agents.typed import glue, told, typed
from flujo.errors import PipelineError
from flujo.pipeline.flow import Branch, SubPipeline
from flujo.pipeline.node import Node, Pipeline, check_node
from flujo.pipeline.step import Step

Label = TypeVar("Label", covariant=True)
E = TypeVar("E", bound=Enum)
T = TypeVar("T")
B = TypeVar("B")
Labels = Sequence[str] | Mapping[str, str]

_LITERAL: Any = Literal


def _choice(labels: Labels | type[Enum], what: str) -> tuple[dict[str, str], Any]:
    """Return labels with their meanings, and the type of one of them."""
    if isinstance(labels, type):
        known = labels_of([str(member.value) for member in labels], what)
        return known, labels
    known = labels_of(labels, what)
    return known, getitem(_LITERAL, tuple(known))


class ClassifierAgent(RoleAgent[Label]):
    """Sorts documents: gives the label that fits, or all that fit.

    Args:
        labels: The labels; with what each means, as a mapping; or an Enum, whose members are given.
        model: The model.
        multiple: Whether several labels, or none, may be given: as a list.
        settings: What else is to be changed: see :class:`RoleSettings`.

    Raises:
        PipelineError: The labels cannot be told apart, or a setting cannot work.
    """

    role = "classifier"

    @overload
    def __init__(
        self: ClassifierAgent[str],
        labels: Labels,
        *,
        model: str | Model,
        multiple: Literal[False] = False,
        **settings: Unpack[RoleSettings],
    ) -> None: ...
    @overload
    def __init__(
        self: ClassifierAgent[list[str]],
        labels: Labels,
        *,
        model: str | Model,
        multiple: Literal[True],
        **settings: Unpack[RoleSettings],
    ) -> None: ...
    @overload
    def __init__(
        self: ClassifierAgent[E],
        labels: type[E],
        *,
        model: str | Model,
        multiple: Literal[False] = False,
        **settings: Unpack[RoleSettings],
    ) -> None: ...
    @overload
    def __init__(
        self: ClassifierAgent[list[E]],
        labels: type[E],
        *,
        model: str | Model,
        multiple: Literal[True],
        **settings: Unpack[RoleSettings],
    ) -> None: ...
    def __init__(
        self,
        labels: Labels | type[Enum],
        *,
        model: str | Model,
        multiple: bool = False,
        **settings: Unpack[RoleSettings],
    ) -> None:
        known, one = _choice(labels, "ClassifierAgent, labels")
        how = "all that fit, or an empty list if none does," if multiple else "exactly one"
        super().__init__(
            list[one] if multiple else one, model, {"labels": listed(known), "how": how}, settings
        )


class RouterAgent(RoleAgent[Label]):
    """Passes requests on: gives the route that deals with a request, for a ``Branch``.

    :meth:`branch` makes the whole node: it chooses the route, and runs its case on the request.

    Args:
        routes: The routes; with what each deals with, as a mapping; or an Enum, whose members are given.
        model: The model.
        settings: What else is to be changed: see :class:`RoleSettings`.

    Raises:
        PipelineError: The routes cannot be told apart, or a setting cannot work.
    """

    role = "router"
    label = "request"
    routes: tuple[str, ...]

    @overload
    def __init__(
        self: RouterAgent[str], routes: Labels, *, model: str | Model, **settings: Unpack[RoleSettings]
    ) -> None: ...
    @overload
    def __init__(
        self: RouterAgent[E], routes: type[E], *, model: str | Model, **settings: Unpack[RoleSettings]
    ) -> None: ...
    def __init__(
        self, routes: Labels | type[Enum], *, model: str | Model, **settings: Unpack[RoleSettings]
    ) -> None:
        known, one = _choice(routes, "RouterAgent, routes")
        super().__init__(one, model, {"labels": listed(known)}, settings)
        object.__setattr__(self, "routes", tuple(known))

    def branch(
        self, cases: Mapping[str, Node[T, B]], *, takes: type[T] | None = None, name: str = "route"
    ) -> Node[T, B]:
        """Return a node that chooses a route for its input, and gives the input to the node of that route.

        Args:
            cases: The node of each route.
            takes: The type of the input, where the first case does not declare it.
            name: Its name in addresses.

        Raises:
            PipelineError: A route has no case, or a case no route.
        """
        for route, node in cases.items():
            check_node(node, f"RouterAgent.branch, {route}")
        lost = [route for route in self.routes if route not in cases]
        unknown = [route for route in cases if route not in self.routes]
        if lost or unknown:
            wrong = [f"no case for {', '.join(lost)}"] * bool(lost)
            wrong += [f"no route {', '.join(unknown)}"] * bool(unknown)
            raise PipelineError(
                f"RouterAgent.branch: {' and '.join(wrong)}",
                fix=f"give each a case: {', '.join(self.routes)}",
            )
        task = typed(next(iter(cases.values())), takes).takes

        async def keep(request: Any) -> Any:
            return request

        async def request(route: Any, request: Any) -> Any:
            return request

        def label_of(route: Any) -> str:
            return str(route.value) if isinstance(route, Enum) else str(route)

        kept = glue("request", told(keep, {"request": task, "return": task}))
        again = glue("given", told(request, {"return": task}), request=kept)
        inner: Mapping[str, Node[Any, Any]] = {
            route: Pipeline(again, SubPipeline(node, name=node.name or "case"))
            for route, node in cases.items()
        }
        on = cast("Callable[..., str]", told(label_of, {"return": getitem(_LITERAL, self.routes)}))
        chosen: Node[Any, Any] = Step(self)
        return SubPipeline(Pipeline(kept, chosen, Branch(on=on, cases=inner, name="to")), name=name)

"""Every place a pipeline's nodes may stand in, so that one suite holds what must be true in all of them."""

from collections.abc import Callable
from dataclasses import dataclass

from flujo import Branch, Loop, Map, Node, Parallel, SubPipeline, step

IntNode = Node[int, int]


@step
async def from_items(items: list[int]) -> int:
    return items[0]


@step
async def from_pair(pair: tuple[int, int]) -> int:
    return pair[1]


@step
async def from_labels(labels: dict[str, int]) -> int:
    return labels["chosen"]


@step
async def other(x: int) -> int:
    return -1000


def just(x: int) -> list[int]:
    return [x]


def always(x: int) -> bool:
    return True


def key(x: int) -> str:
    return "case"


@dataclass(frozen=True)
class Place:
    """Somewhere that nodes may stand.

    Attributes:
        name: What it is called in test ids.
        holding: Puts a node there; what comes out takes and gives what the node takes and gives.
        prefix: What the node's address begins with there.
    """

    name: str
    holding: Callable[[IntNode], IntNode]
    prefix: str


PLACES = [
    Place("top", lambda node: node, ""),
    Place(
        "branch",
        lambda node: Branch(on=key, cases={"case": node, "other": other}, name="route"),
        "route/case/",
    ),
    Place(
        "default",
        lambda node: Branch(on=key, cases={"other": other}, default=node, name="route"),
        "route/default/",
    ),
    Place("loop", lambda node: Loop(node, until=always, max_turns=3, name="loop"), "loop[1]/"),
    Place(
        "loop in loop",
        lambda node: Loop(
            Loop(node, until=always, max_turns=3, name="inner"), until=always, max_turns=2, name="outer"
        ),
        "outer[1]/inner[1]/",
    ),
    Place("tuple", lambda node: Parallel(other, node, name="both") >> from_pair, "both/1/"),
    Place(
        "mapping",
        lambda node: Parallel(name="both", chosen=node, beside=other) >> from_labels,
        "both/chosen/",
    ),
    Place("map", lambda node: Map(node, over=just, name="each") >> from_items, "each[0]/"),
    Place("sub-pipeline", lambda node: SubPipeline(node, name="sub"), "sub/"),
    Place(
        "map in loop in branch in parallel",
        lambda node: (
            Parallel(
                name="both",
                chosen=Branch(
                    on=key,
                    cases={
                        "case": Loop(
                            Map(node, over=just, name="each") >> from_items,
                            until=always,
                            max_turns=2,
                            name="loop",
                        )
                    },
                    name="route",
                ),
                beside=other,
            )
            >> from_labels
        ),
        "both/chosen/route/case/loop[1]/each[0]/",
    ),
]

"""A fingerprint says one thing in every process, however the pipeline's module came to be loaded."""

import os
import subprocess
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Generic, List, Literal, NewType, NotRequired, TypeVar, Union  # noqa: UP035

import pytest
from pydantic import AfterValidator, BaseModel
from typing_extensions import TypeAliasType, TypedDict

from flujo import Flujo, MemoryStore, Parallel, Step
from flujo.plan.types import type_text

INTAKE = '''
"""A pipeline whose types have no short text of their own."""

import enum
from typing import Annotated, Generic, Literal, Optional, TypeVar

from pydantic import AfterValidator, BaseModel
from typing_extensions import TypedDict

from flujo import Flujo, HumanInput, MemoryStore, Parallel, Step

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"


class Order(BaseModel):
    number: str


class Box(BaseModel, Generic[T]):
    held: T


class Row(TypedDict):
    order: Order
    color: Color


def check(x: int) -> int:
    return x


async def count(x: Annotated[int, AfterValidator(check)]) -> Annotated[int, AfterValidator(check)]:
    return x


async def orders(x: int) -> list[Order]:
    return []


async def rows(x: int) -> dict[str, Row]:
    return {}


async def color(x: int) -> Literal[Color.RED, "blue", None]:
    return None


async def boxed(x: int) -> Box[Order]:
    return Box(held=Order(number=""))


async def last(x: object) -> Optional[Order]:
    return None


node = (
    Step(count)
    >> Parallel(orders=Step(orders), rows=Step(rows), color=Step(color), boxed=Step(boxed))
    >> Step(last)
    >> HumanInput("?", schema=Annotated[Order, AfterValidator(check)])
)
print(Flujo(node, state=MemoryStore()).plan.fingerprint)
'''


def printed(folder: Path, seed: int, *arguments: str) -> str:
    """Return what a process prints that is given the seed of its hashes."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_is_the_same_in_every_process_and_however_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "intake.py").write_text(INTAKE)
    ways = [("intake.py",), ("-m", "intake"), ("-c", "import intake")]
    assert len({printed(tmp_path, seed, *way) for seed, way in enumerate(ways, 1)}) == 1


T = TypeVar("T")
Id = NewType("Id", int)


class Color(Enum):
    RED = "red"


class Order(BaseModel):
    number: str


class Box(BaseModel, Generic[T]):
    held: T


class Row(TypedDict):
    order: Order
    note: NotRequired[Annotated[str, AfterValidator(str.strip)]]


class Tree(TypedDict):
    below: "list[Tree]"


Words = TypeAliasType("Words", list["Words"] | str)


def check(x: int) -> int:
    return x


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (None, "NoneType"),
        (Any, "Any"),
        (Order, "Order"),
        (Id, "int"),
        (Annotated[int, AfterValidator(check)], "int"),
        (list[Annotated[Order, AfterValidator(check)]], "list[Order]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (dict[str, list[Order]], "dict[str, list[Order]]"),
        (Callable[[int], str], "Callable[[int], str]"),
        (str | int | None, "NoneType | int | str"),
        (Literal["b", "a", 1, True, None, Color.RED], "Literal['a', 'b', 1, Color.RED, None, True]"),
        (Row, "{note?: str, order: Order}"),
        (Tree, "{below: list[Tree]}"),
        (Words, "list[Words] | str"),
        (Box[Annotated[int, AfterValidator(check)]], "Box[int]"),
        (list[T], "list[T]"),  # pyright: ignore[reportGeneralTypeIssues]
        ("Later", "Later"),
        (list["Later"], "list[Later]"),  # pyright: ignore[reportUndefinedVariable]  # noqa: F821
    ],
)
def test_the_text_of_a_type(annotation: Any, text: str) -> None:
    assert type_text(annotation) == text


def test_the_order_of_a_union_does_not_matter() -> None:
    """``typing`` gives back the union it made first: the order depends on what was imported before."""
    one: Any = List[Union[bytes, Order]]  # noqa: UP006, UP007
    other: Any = List[Union[Order, bytes]]  # noqa: UP006, UP007
    assert type_text(one) == type_text(other) == type_text(list[Order | bytes])


def test_what_a_parallel_gives_counts() -> None:
    def of(number: type) -> str:
        async def work(x: int) -> Any:
            return x

        work.__annotations__["return"] = list[number]
        return Flujo(Parallel(a=Step(work)), state=MemoryStore()).plan.digests["parallel"]

    assert of(int) != of(str)
    assert of(int) == of(int)

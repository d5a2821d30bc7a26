"""Which values may be given where which are asked for."""

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    NotRequired,
    Optional,
    Protocol,
    TypedDict,
    TypeVar,
    Union,
)

import pytest
from pydantic import BaseModel

from flujo.plan.types import assignable


class Base(BaseModel):
    x: int = 0


class Derived(Base):
    y: int = 0


class Color(enum.Enum):
    RED = 1


class Named(TypedDict):
    name: str


class Person(TypedDict):
    name: str
    age: int


class Partly(TypedDict):
    name: str
    age: NotRequired[int]


class Reads(Protocol):
    def read(self) -> str: ...


UserId = NewType("UserId", int)
T = TypeVar("T")


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (int, int),
        (int, float),
        (int, complex),
        (bool, int),
        (Any, int),
        (int, Any),
        (int, object),
        (int, int | str),
        (int | str, str | int | None),
        (None, int | None),
        (int, Optional[int]),  # noqa: UP045
        (int, Union[int, str]),  # noqa: UP007
        (Derived, Base),
        (list[int], list),
        (list, list[int]),
        (list[int], list[float]),
        (list[int], Sequence[int]),
        (list[int], Iterable[int]),
        (tuple[int, ...], Sequence[int]),
        (tuple[int, str], tuple[int | str, ...]),
        (tuple[int, int], Iterable[int]),
        (tuple[int, str], tuple[int, str]),
        (tuple[int, ...], tuple[int, int]),
        (dict[str, int], Mapping[str, int]),
        (dict[str, Derived], dict[str, Base]),
        (Literal["a"], str),
        (Literal["a"], Literal["a", "b"]),
        (Literal[1], int),
        (Annotated[int, "note"], int),
        (int, Annotated[int, "note"]),
        (UserId, int),
        (Person, Named),
        (Person, dict[str, int | str]),
        (Person, Mapping[str, Any]),
        (dict[str, int], Person),
        (Color, Color),
        (T, int),
        (int, T),
        (int, Reads),
        (Callable[[int], int], Callable),
    ],
)
def test_fits(source: Any, target: Any) -> None:
    assert assignable(source, target)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (int, str),
        (float, int),
        (str, int),
        (object, int),
        (int | str, int),
        (int | None, int),
        (None, int),
        (Base, Derived),
        (list[str], list[int]),
        (list[int], tuple[int, ...]),
        (list[int], dict[str, int]),
        (tuple[int, str], tuple[int, int]),
        (tuple[int, str, int], tuple[int, str]),
        (tuple[int, str], Sequence[int]),
        (dict[str, str], dict[str, int]),
        (dict[int, int], dict[str, int]),
        (str, Literal["a"]),
        (Literal["a", "c"], Literal["a", "b"]),
        (Literal["a"], int),
        (Named, Person),
        (Partly, Person),
        (Person, dict[str, int]),
        (list[int], Person),
        (Decimal, float),
        (Color, str),
        (int, Iterable[int]),
    ],
)
def test_does_not_fit(source: Any, target: Any) -> None:
    assert not assignable(source, target)

"""Annotations that do not name a type are problems of the pipeline, told with their place."""

from typing import Any

import pytest

from flujo import Flujo, Step
from flujo.errors import PlanError


@pytest.mark.parametrize(
    "annotation", ["Nowhere", "os.Nope", "pytest.Nope", "int[3]", "list[", "a b", "3 +"], ids=str
)
@pytest.mark.parametrize("place", ["x", "return"])
def test_each_is_a_problem(annotation: str, place: str) -> None:
    async def work(x: Any) -> Any:
        return x

    work.__annotations__[place] = annotation
    with pytest.raises(PlanError, match="work: its annotations cannot be resolved"):
        Flujo(Step(work))


def test_builtins_without_annotations_are_none() -> None:
    assert Flujo(Step(len)).run("abc").output == 3

"""Errors: each can travel between processes with all it tells."""

import copy
import pickle
from typing import Any

import pytest

from flujo import errors
from flujo.errors import FlujoError, PlanChanged, PlanError, Problem, StepFailed, StepTimedOut

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, FlujoError)]


def made(kind: type[FlujoError]) -> FlujoError:
    if issubclass(kind, StepFailed):
        return kind("no", step="work", address="each[3]/work", attempt=2, fix="mend it")
    if issubclass(kind, PlanError):
        return kind([Problem("a", "it is wrong", "mend it"), Problem("", "so is this", "mend it, too")])
    if issubclass(kind, PlanChanged):
        return kind("changed", addresses=["a", "b"], fix="go back")
    return kind("no", fix="mend it")


def facts(error: FlujoError) -> dict[str, Any]:
    return {**vars(error), "kind": type(error), "args": error.args, "text": str(error), "code": error.code}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_travels_with_what_it_tells(kind: type[FlujoError]) -> None:
    error = made(kind)
    error.add_note("on the way")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert facts(other) == facts(error)


def test_attributes_by_name() -> None:
    failed = pickle.loads(pickle.dumps(made(StepTimedOut)))
    assert (failed.step, failed.address, failed.attempt) == ("work", "each[3]/work", 2)
    assert pickle.loads(pickle.dumps(made(PlanChanged))).addresses == ("a", "b")
    assert [problem.address for problem in pickle.loads(pickle.dumps(made(PlanError))).problems] == ["a", ""]


def test_the_drawing_shows_every_error_below_its_parent() -> None:
    drawn: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        depth, _, rest = line.partition("── ")
        if rest:
            drawn.append((len(depth), rest.split()[0]))
    parents: dict[str, str] = {}
    for place, (depth, name) in enumerate(drawn):
        above = [other for at, other in drawn[:place] if at < depth]
        nearest = next((other for at, other in reversed(drawn[:place]) if at < depth), "FlujoError")
        parents[name] = nearest if above else "FlujoError"
    assert parents == {kind.__name__: kind.__mro__[1].__name__ for kind in KINDS if kind is not FlujoError}

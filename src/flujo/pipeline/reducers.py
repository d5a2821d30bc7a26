"""How the values that parallel branches gave one context field become one value.

A field without a reducer may be written by one branch only. Otherwise its annotation says how to combine:

    class Review(PipelineContext):
        findings: Annotated[list[str], Append()] = []
        spent: Annotated[float, Add()] = 0.0

A reducer of one's own is any object with ``combine``. It must be a pure function: it is called once where the
branches join, and its result is what the journal keeps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from flujo.errors import ReducerError


@runtime_checkable
class Reducer(Protocol):
    """Combines what parallel branches made of one context field."""

    def combine(self, base: Any, branches: Sequence[Any], /) -> Any:
        """Return the field's value after the branches.

        Args:
            base: The value that each branch started from.
            branches: The value of each branch that changed it, in the order the branches are declared.

        Raises:
            ReducerError: If they cannot be combined.
        """
        ...


@dataclass(frozen=True, slots=True)
class Append:
    """Adds to a list what each branch appended to it, in declared order."""

    def combine(self, base: list[Any] | None, branches: Sequence[list[Any] | None], /) -> list[Any]:
        """Return the base followed by what each branch appended."""
        start = base or []
        count = len(start)
        result = list(start)
        for value in branches:
            items = value or []
            if items[:count] != start:
                raise ReducerError(
                    f"Append() takes branches that only append, and one changed or removed some of "
                    f"the {count} items that were there before"
                )
            result.extend(items[count:])
        return result


@dataclass(frozen=True, slots=True)
class Merge:
    """Unites dicts: where two branches wrote one key, the later one wins.

    A key that a branch removed is gone, unless another branch wrote it.
    """

    def combine(
        self, base: dict[Any, Any] | None, branches: Sequence[dict[Any, Any] | None], /
    ) -> dict[Any, Any]:
        """Return the base with each branch's changes."""
        start = base or {}
        result = dict(start)
        for value in branches:
            branch = value or {}
            for key in start.keys() - branch.keys():
                if result.get(key) == start[key]:
                    result.pop(key, None)
            changed = [key for key, member in branch.items() if key not in start or start[key] != member]
            result.update({key: branch[key] for key in changed})
        return result


@dataclass(frozen=True, slots=True)
class Add:
    """Adds up what each branch added to a number."""

    def combine(self, base: Any, branches: Sequence[Any], /) -> Any:
        """Return the base plus the difference that each branch made."""
        result = base
        for value in branches:
            result = result + (value - base)
        return result


@dataclass(frozen=True, slots=True)
class Max:
    """Keeps the largest value: the base or a branch's."""

    def combine(self, base: Any, branches: Sequence[Any], /) -> Any:
        """Return the largest of all that are not None."""
        return max([value for value in (base, *branches) if value is not None], default=None)


@dataclass(frozen=True, slots=True)
class Min:
    """Keeps the smallest value: the base or a branch's."""

    def combine(self, base: Any, branches: Sequence[Any], /) -> Any:
        """Return the smallest of all that are not None."""
        return min([value for value in (base, *branches) if value is not None], default=None)


@dataclass(frozen=True, slots=True)
class Last:
    """Keeps the value of the last declared branch that wrote one."""

    def combine(self, base: Any, branches: Sequence[Any], /) -> Any:
        """Return the last branch's value."""
        return branches[-1] if branches else base

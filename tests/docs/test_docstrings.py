"""The examples in the docstrings of what users import run as they stand."""

import doctest

import pytest

import flujo

EXAMPLES = [
    example
    for name in flujo.__all__
    for example in doctest.DocTestFinder(recurse=True).find(
        getattr(flujo, name), name, globs={"step": flujo.step}
    )
    if example.examples
]


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])
def test_an_example_of_a_docstring(example: doctest.DocTest) -> None:
    said: list[str] = []
    assert doctest.DocTestRunner().run(example, out=said.append).failed == 0, "".join(said)


def test_the_runner_shows_an_example() -> None:
    assert any(example.name == "Flujo" for example in EXAMPLES)

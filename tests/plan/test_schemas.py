"""What a JSON Schema tells of an answer is checked; what it does not tell is left alone."""

from decimal import Decimal
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from flujo.plan.schemas import check_schema


class Line(BaseModel, extra="forbid"):
    sku: str = Field(min_length=1)
    count: int = Field(ge=1, lt=100)
    price: Decimal | None = None
    unit: Literal["piece", "box"] = "piece"
    parts: "list[Line]" = []


LINE = Line.model_json_schema()
A = {"sku": "a", "count": 1}


@pytest.mark.parametrize(
    "value",
    [
        A,
        A | {"count": "7"},
        A | {"price": "1.50", "parts": [A, A | {"parts": [A]}]},
        A | {"price": None, "unit": "box"},
    ],
)
def test_what_fits_is_taken(value: Any) -> None:
    check_schema(LINE, value)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (7, ()),
        ({}, ("sku",)),
        (A | {"count": "many"}, ("count",)),
        (A | {"count": 100}, ("count",)),
        (A | {"sku": ""}, ("sku",)),
        (A | {"unit": "pallet"}, ("unit",)),
        (A | {"more": 1}, ("more",)),
        (A | {"parts": [A | {"parts": [A | {"count": 0}]}]}, ("parts", 0, "parts", 0, "count")),
    ],
)
def test_what_does_not_fit_is_refused_where_it_does_not(value: Any, where: tuple[Any, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        check_schema(LINE, value)
    assert caught.value.errors()[0]["loc"] == where


@pytest.mark.parametrize(
    ("schema", "fits", "unfit"),
    [
        ({"type": ["integer", "null"]}, None, "x"),
        ({"type": "array", "items": {"type": "number"}, "maxItems": 1}, [1.5], [1, 2]),
        ({"oneOf": [{"type": "boolean"}, {"const": "maybe"}]}, "maybe", "never"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"a": 1}, {"a": "x"}),
        (TypeAdapter(dict[str, list[int]]).json_schema(), {"a": [1]}, {"a": [None]}),
    ],
)
def test_schemas_of_other_makers(schema: dict[str, Any], fits: Any, unfit: Any) -> None:
    check_schema(schema, fits)
    with pytest.raises(ValidationError):
        check_schema(schema, unfit)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$ref": "#/$defs/Nothing"},
        {"$ref": "https://example.org/schema"},
        {"type": "object", "properties": None, "required": True, "$defs": []},
        {"type": "object", "properties": {"a": {"type": "array", "minItems": "one"}}},
        {"type": "odd"},
        {"type": ["object", 7]},
        {"enum": []},
        {"anyOf": []},
        {"const": {"a": [1]}},
        {"enum": [{"a": [1]}, 2.5]},
        {"allOf": [{"type": "string"}, True]},
        {"properties": {"a": True}},
    ],
)
def test_a_schema_that_tells_nothing_clear_refuses_nothing(schema: dict[str, Any]) -> None:
    check_schema(schema, {"a": [1]})

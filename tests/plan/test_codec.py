"""What is loaded equals what was dumped, as its declared type, or dump raises and says what to do."""

import dataclasses
import enum
import inspect
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ForwardRef, Literal, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    PrivateAttr,
    Secret,
    SecretBytes,
    SecretStr,
    computed_field,
    field_serializer,
    model_validator,
)
from pydantic_core import from_json
from typing_extensions import TypedDict

from flujo.plan.codec import Codec, codec_for, join
from flujo.plan.same import alike, difference
from flujo.plan.unrecordable import Unrecordable


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


class Pair(NamedTuple):
    left: int
    right: str = ""


class Item(BaseModel):
    name: str
    count: int = 0


class Special(Item):
    extra: str = "kept only by the subclass"


class Leaf(BaseModel):
    """Exact and without subclasses, so that it is written without reading it back."""

    name: str
    tags: list[str] = []
    color: Color = Color.RED
    at: date | None = None


@dataclass
class Point:
    x: int
    y: list[int]


@dataclass
class Sealed:
    token: int = dataclasses.field(init=False, default=3)


class Address(TypedDict):
    street: str


class Tree(BaseModel):
    children: list["Tree"] = []


class Aliased(BaseModel):
    a: int = Field(alias="alpha")
    b: int = Field(0, validation_alias=AliasPath("deep", 0), serialization_alias="beta")

    @computed_field
    @property
    def double(self) -> int:
        return self.a * 2


class Lossy(BaseModel):
    shown: int = 1
    hidden: int = Field(2, exclude=True)


class Growing(BaseModel):
    x: int

    @field_serializer("x")
    def grow(self, value: int) -> int:
        return value + 1


class Hiding(BaseModel):
    _secret: int = PrivateAttr(0)

    def hide(self, value: int) -> "Hiding":
        self._secret = value
        return self


class Stripping(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)
    text: str = ""


class Checked(BaseModel):
    low: int
    high: int

    @model_validator(mode="after")
    def ordered(self) -> "Checked":
        if self.low > self.high:
            raise ValueError("low must not exceed high")
        return self


class Blob(BaseModel):
    data: bytes


class Blob64(Blob):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


class Opaque:
    pass


class Holder(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    held: Opaque


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def refusal(annotation: object, value: object) -> Unrecordable:
    codec = codec_for(annotation)
    with pytest.raises(Unrecordable) as caught:
        codec.dump(value)
    assert caught.value.message
    assert caught.value.fix
    return caught.value


def check_round_trip(codec: Codec, value: object) -> None:
    data = codec.dump(value)
    for loaded in (codec.load(data), codec.load_parsed(from_json(data))):
        assert type(loaded) is type(value)
        assert difference(value, loaded) is None
    assert from_json(codec.mark(value)) == from_json(data)


finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]))
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
items = st.builds(Item, name=texts, count=st.integers())
leaves = st.builds(
    Leaf, name=texts, tags=st.lists(texts), color=st.sampled_from(Color), at=st.none() | st.dates()
)
zones: st.SearchStrategy[Any] = st.none() | st.sampled_from(
    [UTC, timezone(timedelta(hours=-3, minutes=30)), ZoneInfo("Asia/Tokyo")]
)

NEW = datetime(1950, 1, 1)  # noqa: DTZ001 (since then, offsets are of whole minutes)

EXACT: list[tuple[object, st.SearchStrategy[Any]]] = [
    (str, texts),
    (int, st.integers()),
    (bool, st.booleans()),
    (float, finite),
    (None, st.none()),
    (bytes, st.binary()),
    (date, st.dates()),
    (datetime, st.datetimes(min_value=NEW, timezones=zones)),
    (time, st.times()),
    (timedelta, st.timedeltas(timedelta(days=-40_000), timedelta(days=40_000))),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (UUID, st.uuids()),
    (Color, st.sampled_from(Color)),
    (Level, st.sampled_from(Level)),
    (Literal["a", 1], st.sampled_from(["a", 1])),
    (int | None, st.none() | st.integers()),
    (int | str | None, st.none() | st.integers() | texts),
    (list[str], st.lists(texts)),
    (list[float], st.lists(finite)),
    (list[int | str], st.lists(st.integers() | texts)),
    (dict[str, int], st.dictionaries(texts, st.integers())),
    (dict[int, str], st.dictionaries(st.integers(), texts)),
    (
        dict[str, list[Decimal]],
        st.dictionaries(texts, st.lists(st.decimals(allow_nan=False, allow_infinity=False))),
    ),
    (tuple[int, str], st.tuples(st.integers(), texts)),
    (tuple[int, ...], st.lists(st.integers()).map(tuple)),
    (set[str], st.sets(texts)),
    (frozenset[int], st.frozensets(st.integers())),
    (Pair, st.builds(Pair, st.integers(), texts)),
    (Point, st.builds(Point, st.integers(), st.lists(st.integers()))),
    (Address, st.fixed_dictionaries({"street": texts})),
    (Item, items),
    (Leaf, leaves),
    (list[Leaf], st.lists(leaves)),
    (dict[str, Leaf | None], st.dictionaries(texts, st.none() | leaves)),
    (Item | Leaf, items | leaves),
    (Path, st.sampled_from([Path("/a/b"), Path("c.txt")])),
    (Any, json_values),
    (JsonValue, json_values),
    (dict[str, Any], st.dictionaries(texts, json_values)),
    (list, st.lists(json_values)),
]


@pytest.mark.parametrize(("annotation", "values"), EXACT, ids=[str(annotation) for annotation, _ in EXACT])
def test_what_is_loaded_equals_what_was_dumped(annotation: object, values: st.SearchStrategy[Any]) -> None:
    codec = codec_for(annotation)

    @given(values)
    def check(value: object) -> None:
        check_round_trip(codec, value)

    check()


@given(st.sampled_from([annotation for annotation, _ in EXACT]), st.one_of([values for _, values in EXACT]))
def test_any_value_as_any_type_comes_back_or_is_refused(annotation: object, value: object) -> None:
    codec = codec_for(annotation)
    try:
        data = codec.dump(value)
    except Unrecordable:
        return
    assert difference(value, codec.load(data)) is None
    assert difference(value, codec.load_parsed(from_json(data))) is None


@pytest.mark.parametrize("annotation", [inspect.Parameter.empty, Any, object, JsonValue])
def test_without_a_declared_type_any_json_value_will_do(annotation: object) -> None:
    codec = codec_for(annotation)
    value = {"a": [1, 2.5, True, None, {"b": "ü"}]}
    assert codec.load(codec.dump(value)) == value
    assert codec.schema() == {}
    assert codec.plain


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ((1, 2), "it is of type 'tuple'"),
        ({"a": [{1, 2}]}, "at ['a'][0] it is of type 'set'"),
        ({"a": Item(name="x")}, "at ['a'] it is of type 'Item'"),
        (Color.RED, "it is of type 'Color'"),
        ([Level.LOW], "at [0] it is of type 'Level'"),
        (Pair(1), "it is of type 'Pair'"),
        ({1: "a"}, "it has a key of type 'int'"),
        ([float("nan")], "at [0] it is not a finite number"),
        (float("-inf"), "it is not a finite number"),
        ({"a": "\ud800"}, "at ['a'] it is text with an unpaired surrogate"),
        ({"\ud800": 1}, "it has a key with an unpaired surrogate"),
        ([b"x"], "at [0] it is of type 'bytes'"),
        (datetime(2020, 1, 1), "it is of type 'datetime'"),  # noqa: DTZ001
        (nested(130), "it nests deeper than 120 levels"),
        (nested(300), "it nests deeper than 120 levels"),
    ],
)
def test_what_is_no_json_needs_a_declared_type(value: object, reason: str) -> None:
    error = refusal(Any, value)
    assert reason in error.message
    assert "annotate its type" in error.fix


def test_a_value_that_contains_itself_is_refused_with_the_place() -> None:
    value: dict[str, Any] = {"a": [1]}
    value["a"].append(value)
    assert "at ['a'][1] it contains itself" in refusal(Any, value).message
    assert "at ['a'][1] it contains itself" in refusal(dict[str, Any], value).message
    loop: list[list[Any]] = []
    loop.append(loop)
    assert "contains itself" in refusal(list[list[Any]], loop).message


@pytest.mark.parametrize(
    ("annotation", "value", "reason", "fix"),
    [
        (
            str,
            1,
            "a value of type 'int' cannot be recorded as the declared type str",
            "return what is declared",
        ),
        (list[str], ["a", 2], "declared type list[str]", "return what is declared"),
        (
            Leaf,
            Item(name="x"),
            "it is of type 'Item' and would come back as 'Leaf'",
            "declare",
        ),
        (Item, Special(name="x"), "it is of type 'Special' and would come back as 'Item'", "subclass itself"),
        (list[Item], [Special(name="x")], "at [0] it is of type 'Special'", "subclass itself"),
        (dict[str, Item], {"k": Special(name="x")}, "at ['k'] it is of type 'Special'", "subclass itself"),
        (Lossy, Lossy(hidden=5), "at .hidden it changes its value", "excluded field"),
        (Growing, Growing(x=1), "at .x it changes its value", "serializer"),
        (Hiding, Hiding().hide(4), "it is no longer the same Hiding", "private attributes"),
        (Address, {"street": "s", "city": "c"}, "it is no longer the same dict", "undeclared keys"),
        (Address, {}, "it breaks the rules of that type", "rules"),
        (Stripping, Stripping.model_construct(text=" a "), "at .text it changes its value", ""),
        (Checked, Checked.model_construct(low=2, high=1), "it breaks the rules of that type", "rules"),
        (Annotated[str, Field(max_length=2)], "abc", "recorded as str", "rules"),
        (Literal["a"], "b", "it breaks the rules", "rules"),
        (float, float("nan"), "it is not a finite number", "None"),
        (list[float], [1.0, float("inf")], "at [1] it is not a finite number", "None"),
        (float, 2**53 + 1, "it is of type 'int' and would come back as 'float'", "declare"),
        (Decimal, Decimal("NaN"), "it breaks the rules", "rules"),
        (Decimal | str, "1", "it is of type 'str' and would come back as 'Decimal'", "declare"),
        (Blob, Blob(data=b"\xff"), "it holds bytes that are no text", 'ser_json_bytes="base64"'),
        (str, "\ud800", "it is text with an unpaired surrogate", "return what is declared"),
        (
            list[str],
            ["a", "\ud800"],
            "at [1] it is text with an unpaired surrogate",
            "return what is declared",
        ),
        (dict[str, Any], {"a": (1,)}, "at ['a'] it is of type 'tuple'", "declare the type"),
        (dict[str, JsonValue], {"a": {1}}, "at ['a'] it is of type 'set'", "declare the type"),
        (
            list[Any],
            (1, 2),
            "a value of type 'tuple' cannot be recorded as the declared type list[Any]",
            "declared",
        ),
    ],
)
def test_a_value_that_would_not_come_back_is_refused(
    annotation: object, value: object, reason: str, fix: str
) -> None:
    error = refusal(annotation, value)
    assert reason in error.message
    assert fix in error.fix


def test_a_field_that_is_not_given_to_init_comes_back_or_is_refused() -> None:
    check_round_trip(codec_for(Sealed), Sealed())
    changed = Sealed()
    changed.token = 4
    assert "at .token it changes its value" in refusal(Sealed, changed).message


def test_a_deep_model_is_refused_before_it_is_too_deep_to_be_read() -> None:
    tree = Tree()
    for _ in range(20):
        tree = Tree(children=[tree])
    check_round_trip(codec_for(Tree), tree)
    for _ in range(100):
        tree = Tree(children=[tree])
    assert "nests deeper" in refusal(Tree, tree).message


def test_a_subclass_defined_later_is_noticed() -> None:
    class Base(BaseModel):
        a: int = 1

    codec = codec_for(list[Base])
    check_round_trip(codec, [Base()])

    class Derived(Base):
        b: int = 2

    check_round_trip(codec, [Base()])
    assert "Derived' and would come back as" in refusal(list[Base], [Derived()]).message


def test_fields_are_written_by_name_whatever_their_aliases() -> None:
    value = Aliased.model_validate({"alpha": 1, "deep": [2]})
    codec = codec_for(Aliased)
    assert codec.dump(value) == b'{"a":1,"b":2}'
    check_round_trip(codec, value)
    check_round_trip(codec_for(list[Aliased]), [value])


def test_a_custom_type_with_a_faithful_serializer_is_taken() -> None:
    plus = Annotated[int, PlainSerializer(lambda value: f"+{value}", return_type=str), BeforeValidator(int)]
    check_round_trip(codec_for(plus), 5)
    check_round_trip(codec_for(Blob64), Blob64(data=b"\xff"))


def test_a_serializer_that_raises_is_an_ordinary_refusal() -> None:
    def broken(value: int) -> str:
        raise KeyError(value)

    refusal(Annotated[int, PlainSerializer(broken)], 5)


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (Opaque, "Opaque"),
        (Holder, "it has no schema: Opaque"),
        (list[Holder], "it has no schema: Opaque"),
        (Callable[[], int], "it is a function"),
        (Iterator[int], "Iterator"),
        (Generator[int, None, None], "it is an iterator, which is empty once it was read"),
        (type, "cannot be recorded"),
        (type[int], "it is a class, not data: int"),
        (SecretStr, "holds a secret"),
        (SecretBytes, "holds a secret"),
        (Secret[int], "holds a secret"),
        (dict[str, list[SecretStr]], "holds a secret"),
        ("Unknown", "Unknown"),
        (list[ForwardRef("Unknown")], "Unknown"),
    ],
)
def test_a_type_that_cannot_be_recorded_is_refused_at_plan_time(annotation: object, reason: str) -> None:
    with pytest.raises(Unrecordable) as caught:
        codec_for(annotation)
    assert reason in caught.value.message
    assert caught.value.fix


def test_a_secret_in_a_model_is_refused_at_plan_time() -> None:
    class Login(BaseModel):
        user: str
        password: SecretStr

    with pytest.raises(Unrecordable, match=r"the type .*Login.* holds a secret"):
        codec_for(Login | None)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, "hunter2"),
        (list[int], [1, "hunter2"]),
        (Any, {"a": {"hunter2"}}),
        (Literal["a"], "hunter2"),
        (Leaf, {"name": "hunter2"}),
        (Any, SecretStr("hunter2")),
    ],
)
def test_a_refusal_never_shows_the_value(annotation: object, value: object) -> None:
    assert "hunter2" not in str(refusal(annotation, value))


def test_a_refusal_says_what_to_do() -> None:
    assert str(refusal(Any, {"rows": [(1, 2)]})) == (
        "a value without a declared type must be JSON, and at ['rows'][0] it is of type 'tuple'\n"
        "  To fix: annotate its type (a return type, a field), so that it can be restored as what it was"
    )


@pytest.mark.parametrize("fold", [0, 1])
def test_the_repeated_hour_at_the_end_of_summer_comes_back(fold: int) -> None:
    at = datetime(2025, 10, 26, 2, 30, tzinfo=ZoneInfo("Europe/Paris"), fold=fold)
    for annotation, value in ((datetime, at), (list[datetime | None], [at])):
        codec = codec_for(annotation)
        loaded: Any = codec.load(codec.dump(value))
        back: datetime = loaded if annotation is datetime else loaded[0]
        assert back.isoformat() == at.isoformat()
        assert back.timestamp() == at.timestamp()


@pytest.mark.parametrize(
    ("annotation", "data"), [(int, b'"a"'), (str, b"1"), (list[str], b"{}"), (Item, b"{}"), (Any, b"{")]
)
def test_bytes_of_another_type_are_refused_when_read(annotation: object, data: bytes) -> None:
    with pytest.raises(ValueError):
        codec_for(annotation).load(data)


def test_one_type_has_one_codec() -> None:
    assert codec_for(list[int]) is codec_for(list[int])
    assert repr(codec_for(list[int])) == "Codec(list[int])"
    unhashable = Annotated[int, []]
    assert codec_for(unhashable).dump(1) == b"1"


def test_the_schema_is_json_schema() -> None:
    assert codec_for(int).schema() == {"type": "integer"}
    assert codec_for(Item).schema()["properties"].keys() == {"name", "count"}


def test_raw_pieces_are_joined() -> None:
    pieces = {"output": codec_for(Item).dump(Item(name='"ü"')), "patch": b"{}", "usage": b"null"}
    body = join(pieces)
    assert from_json(body) == {"output": {"name": '"ü"', "count": 0}, "patch": {}, "usage": None}
    assert join({}) == b"{}"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, True, False),
        (1, 1.0, False),
        (0.0, -0.0, False),
        (Decimal("1.0"), Decimal("1.00"), False),
        ([Decimal("1.0")], [Decimal("1.00")], False),
        (
            datetime(2020, 1, 1, 1, tzinfo=UTC),
            datetime(2020, 1, 1, 2, tzinfo=timezone(timedelta(hours=1))),
            False,
        ),
        ((1,), [1], False),
        ({"a": [1]}, {"a": [1]}, True),
        (Item(name="a"), Item(name="a"), True),
        (Point(1, [2]), Point(1, [2]), True),
        (Point(1, [2]), Point(1, [3]), False),
        ([1], [1, 2], False),
        ({"a": 1}, {"b": 1}, False),
        (Opaque(), Opaque(), True),
        (nested(5000), nested(5000), False),
    ],
)
def test_sameness_is_stricter_than_equality(one: object, other: object, same: bool) -> None:
    assert alike(one, other) is same


def test_the_schema_names_fields_as_they_are_read() -> None:
    class Aliased(BaseModel):
        amount: int = Field(alias="howMany")

    codec = codec_for(Aliased)
    (name,) = codec.schema()["properties"]
    assert codec.load(b'{"%s": 3}' % name.encode()) == Aliased(howMany=3)

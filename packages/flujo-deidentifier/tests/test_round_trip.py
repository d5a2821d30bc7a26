"""What was taken out comes back byte for byte: any text, any shape of value, by tokens of both kinds."""

import json
import re
import secrets
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from flujo import Flujo, MemoryStore, Step
from flujo.governance import PII, Principal
from flujo_deidentifier import GDPR, Deidentify, Keys, MemoryVault, Profile, Reidentify
from flujo_deidentifier.scope import Scope
from flujo_deidentifier.tokens import PATTERN

KEYS = Keys({"k1": secrets.token_bytes(32)})
ADA = Principal("ada", roles=("reidentify",), tenant="north")
ALL = GDPR.but(secret="token")
PROFILES = {"vault": ALL, "sealed": Profile("sealed", {}, otherwise="encrypt")}
PERSONAL = (
    "jane@example.com",
    "Mr John Smith",
    "+44 20 7946 0958",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "3 March 1987",
    "192.168.0.17",
    "SSN 078-05-1120",
    "patient name: Żaneta Łęcka",
    "Cafe\u0301 am Ring 12, 10115 Berlin",
    "password=hunter2hunter2",
    "data:image/png;base64,iVBORw0KGgo=",
)
LOOK_ALIKE = (
    "[EMAIL:7K3M9QX2ABC]",
    "[EMAIL:",
    "7K3M9QX2ABC]",
    "[NAME:k1.QUJDREVGR0hJSktMTU5PUFFSU1RVVg]",
    "[LITERAL:00000000000]",
    "[EMAIL]",
    "[[",
    "]:",
)
ODD = (
    "\r\n",
    "\n",
    "\t",
    "\u202e",
    "\u200b",
    "e\u0301",
    "👩‍👩‍👧",
    "שלום",
    "\x00",
    "\\u00e9",
    "\ufeff",
    "𝒥𝒶𝓃ℯ",
    "\ud83d",
)
TEXTS = st.lists(
    st.one_of(st.sampled_from(PERSONAL + LOOK_ALIKE + ODD), st.text(max_size=12), st.just(" ")), max_size=14
).map("".join)
JSON_TEXTS = st.dictionaries(TEXTS, TEXTS, max_size=3).map(lambda told: json.dumps(told, indent=1))


class Visit(BaseModel):
    patient: Annotated[str, PII("name")] = ""
    email: str = ""
    note: str = ""
    others: list[str] = []
    more: dict[str, str] = {}
    raw: bytes = b""


VISITS = st.builds(
    Visit,
    patient=TEXTS,
    email=TEXTS,
    note=TEXTS | JSON_TEXTS,
    others=st.lists(TEXTS, max_size=3),
    more=st.dictionaries(TEXTS, TEXTS, max_size=3),
    raw=st.binary(max_size=8) | st.sampled_from([one.encode() for one in PERSONAL]),
)
VALUES = st.recursive(
    TEXTS | JSON_TEXTS | st.integers(0, 99) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def there_and_back(kind: Any, profile: Profile, value: Any) -> tuple[Any, Any]:
    """Return a value as it was in between, and as it came back."""
    vault = MemoryVault()
    out = Step(Deidentify(kind, profile, keys=KEYS, vault=vault, scope="tenant"))
    back = Step(Reidentify(kind, keys=KEYS, vault=vault, scope="tenant"))
    result = Flujo(out >> back).run(value, principal=ADA)
    assert result.error is None, result.error
    return result.steps[0].output, result.output


@pytest.mark.parametrize("how", PROFILES)
@given(text=TEXTS | JSON_TEXTS)
def test_a_text_comes_back_byte_for_byte(how: str, text: str) -> None:
    assert there_and_back(str, PROFILES[how], text)[1] == text


@pytest.mark.parametrize("how", PROFILES)
@given(visit=VISITS)
@settings(max_examples=60)
def test_a_model_comes_back_byte_for_byte(how: str, visit: Visit) -> None:
    assert there_and_back(Visit, PROFILES[how], visit)[1] == visit


@pytest.mark.parametrize("how", PROFILES)
@given(value=VALUES)
@settings(max_examples=60)
def test_any_shape_comes_back_byte_for_byte(how: str, value: Any) -> None:
    assert there_and_back(Any, PROFILES[how], value)[1] == value


@pytest.mark.parametrize("how", PROFILES)
def test_each_kind_comes_back(how: str) -> None:
    text = " ; ".join(PERSONAL + LOOK_ALIKE + ODD)
    between, back = there_and_back(str, PROFILES[how], text)
    assert back == text
    assert not [one for one in PERSONAL[:7] if one in between]
    assert len(PATTERN.findall(between)) > 12


@pytest.mark.parametrize("how", PROFILES)
def test_what_looks_like_a_token_is_none(how: str) -> None:
    """A token that somebody pastes into a text is not opened for them: it comes back as what they wrote."""
    vault = MemoryVault()
    out = Step(Deidentify(str, PROFILES[how], keys=KEYS, vault=vault, scope="tenant"))
    back = Step(Reidentify(str, keys=KEYS, vault=vault, scope="tenant"))
    stolen = Flujo(out).run("jane@example.com", principal=ADA).output
    assert re.fullmatch(PATTERN, stolen or "")
    result = Flujo(out >> back).run(f"please tell me {stolen}", principal=ADA)
    assert result.output == f"please tell me {stolen}"


def test_twice_taken_out_is_twice_put_back() -> None:
    vault = MemoryVault()
    out = Step(Deidentify(str, GDPR, keys=KEYS, vault=vault))
    back = Step(Reidentify(str, keys=KEYS, vault=vault))
    steps = out >> out.named("again") >> back >> back.named("back_again")
    result = Flujo(steps).run("to jane@example.com", principal=ADA)
    assert result.output == "to jane@example.com"
    assert "jane" not in result.steps[2].output


def test_what_a_replacement_makes_with_its_neighbours_is_no_token() -> None:
    """Something made up that ends what looks like a token is kept, too, rather than opened."""
    profile = Profile("odd", {"project": "keep", "email": "token"})

    class Engine:
        def find(self, text: str) -> list[Any]:
            from flujo.governance import Finding

            at = text.find("XX")
            return [Finding(at, at + 2, "project", 1.0, "mine")] if at >= 0 else []

    vault = MemoryVault()
    out = Step(Deidentify(str, profile, keys=KEYS, vault=vault, engine=Engine()))
    back = Step(Reidentify(str, keys=KEYS, vault=vault))
    text = "see [EMAIL:7K3M9QXXABC] there"
    result = Flujo(out >> back).run(text, principal=ADA)
    assert result.output == text
    assert "[LITERAL:" in result.steps[0].output


@pytest.mark.parametrize("how", PROFILES)
def test_keys_of_every_type_and_old_encodings_come_back(how: str) -> None:
    told = {("jane@example.com", 1): "a", b"joe@example.com": "b", "Mr Smith": "c"}
    value: dict[Any, Any] = {"keys": told, "raw": "Müller, jane@example.com".encode("latin-1")}
    vault = MemoryVault()
    seen: list[Any] = []

    async def look(value: Any) -> Any:
        seen.append(value)
        return value

    take = Deidentify(dict[Any, Any], PROFILES[how], keys=KEYS, vault=vault)
    back = Reidentify(dict[Any, Any], keys=KEYS, vault=vault)
    result = Flujo(Step(take) >> Step(look) >> Step(back)).run(value, principal=ADA)
    assert result.output == value
    assert all(name not in repr(seen) for name in ("example.com", "Smith"))


@pytest.mark.parametrize(("scope", "opens"), [("run", False), ("tenant", True)])
async def test_tokens_of_a_run_do_not_open_in_its_forks_and_those_of_a_tenant_do(
    scope: Scope, opens: bool
) -> None:
    vault = MemoryVault()

    async def look(text: str) -> str:
        return text

    take = Deidentify(str, ALL, keys=KEYS, vault=vault, scope=scope)
    back = Reidentify(str, keys=KEYS, vault=vault, scope=scope)
    runner = Flujo(Step(take) >> Step(look) >> Step(back), state=MemoryStore())
    await runner.run_async("Write to jane@example.com", run_id="one", principal=ADA)
    fork = await runner.fork("one", at="look")
    assert fork.output == ("Write to jane@example.com" if opens else None)
    assert opens or "UnknownToken" in str(fork.error)

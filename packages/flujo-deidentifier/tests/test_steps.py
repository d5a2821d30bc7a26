"""The steps in runs: who may put back what, what the journal holds, and what happens when a run dies."""

import asyncio
import json
import logging
import re
import secrets
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from typing_extensions import override

from flujo import Flujo, HumanInput, MemoryStore, PipelineContext, SQLiteStore, Step, StepInfo
from flujo.errors import PipelineError, PolicyDenied
from flujo.governance import GovernancePolicy, PolicyContext, PolicyDecision, Principal
from flujo_deidentifier import (
    GDPR,
    SAFE_HARBOR,
    DamagedToken,
    Deidentify,
    Keys,
    MemoryVault,
    Profile,
    Reidentify,
    UnknownKey,
    UnknownToken,
    Vault,
    VaultError,
)

TEXT = "Mr John Smith, jane@example.com, +44 20 7946 0958"
RAW = ("Smith", "jane", "7946")
NewKeys = Callable[..., Keys]


def there(keys: Keys, vault: Vault | None, profile: Profile = GDPR, **settings: Any) -> Step[str, str]:
    return Step(Deidentify(str, profile, keys=keys, vault=vault, **settings))


def back(keys: Keys, vault: Vault | None, **settings: Any) -> Step[str, str]:
    return Step(Reidentify(str, keys=keys, vault=vault, **settings))


async def events(store: MemoryStore | SQLiteStore, run_id: str) -> list[tuple[str, str, str]]:
    """Return kind, address and body of each event of a run."""
    return [(one.kind, one.address, bytes(one.body).decode()) for one in await store.events(run_id)]


async def test_who_may_not_is_refused(keys: Keys, vault: Vault) -> None:
    store = MemoryStore()
    runner = Flujo(there(keys, vault) >> back(keys, vault), state=store)
    for who in (
        None,
        Principal("bob"),
        Principal("eve", roles=("reader",), attributes={"permissions": "reidentify"}),
    ):
        result = await runner.run_async(TEXT, principal=who)
        assert result.status == "failed"
        assert isinstance(result.error, PolicyDenied)
        assert (result.error.policy, result.error.tool) == ("reidentify", "reidentify")
        assert not [one for one in await events(store, result.run_id) if one[0] == "effect"]
    for who in (
        Principal("a", roles=("reidentify",)),
        Principal("a", attributes={"permissions": ["reidentify"]}),
    ):
        assert (await runner.run_async(TEXT, principal=who)).output == TEXT


async def test_a_permission_of_another_name_or_a_function(keys: Keys, vault: Vault, ada: Principal) -> None:
    out = there(keys, vault)

    def is_bob(who: Principal) -> bool:
        return who.id == "bob"

    def is_ada(who: Principal) -> bool:
        return who.id == "ada"

    def truthy(who: Principal) -> Any:
        return "yes"

    for permission in ("unseal", is_bob, truthy):
        other = Flujo(out >> back(keys, vault, permission=permission))
        assert (await other.run_async(TEXT, principal=ada)).error
    mine = Flujo(out >> back(keys, vault, permission=is_ada))
    assert (await mine.run_async(TEXT, principal=ada)).output == TEXT


async def test_a_refusal_may_have_another_way_on(keys: Keys, vault: Vault) -> None:
    async def kept(text: str) -> str:
        return text

    step = Step(Reidentify(str, keys=keys, vault=vault), on_denied=Step(kept))
    result = await Flujo(there(keys, vault) >> step).run_async(TEXT)
    assert "jane" not in (result.output or "jane")


async def test_each_time_is_on_the_record_without_values(keys: Keys, vault: Vault, ada: Principal) -> None:
    store = MemoryStore()
    result = await Flujo(there(keys, vault) >> back(keys, vault), state=store).run_async(TEXT, principal=ada)
    effects = [one for one in await events(store, result.run_id) if one[0] == "effect"]
    assert [address for _, address, _ in effects] == ["reidentify#reidentify"]
    told = json.loads(effects[0][2])
    assert (told["principal"], told["tenant"], told["scope"]) == ("ada", "north", "run")
    assert told["entities"] == {"email": 1, "name": 1, "phone": 1}
    assert len(told["tokens"]) == 3
    assert all(re.fullmatch(r"[0-9a-f]{16}", one) for one in told["tokens"])
    assert told["keys"] == ["vault"]
    assert told["output"] == ["email", "name", "phone"]
    assert not [one for one in RAW if one in effects[0][2]]


class Judge(GovernancePolicy):
    """Answers about calls of one tool."""

    def __init__(self, answer: PolicyDecision, tool: str = "reidentify") -> None:
        self.answer = answer
        self.tool = tool
        self.shown: list[Mapping[str, Any]] = []

    @override
    def check_tool(
        self, tool_name: str, arguments: Mapping[str, Any], context: PolicyContext
    ) -> PolicyDecision:
        if tool_name == self.tool and context.point == "before_tool":
            self.shown.append(dict(arguments))
            return self.answer
        return PolicyDecision.ALLOW


async def test_policies_judge_it_as_a_tool(keys: Keys, vault: Vault, ada: Principal) -> None:
    pipeline = there(keys, vault) >> back(keys, vault)
    judge = Judge(PolicyDecision.deny("not today"))
    result = await Flujo(pipeline, policies=[judge]).run_async(TEXT, principal=ada)
    assert isinstance(result.error, PolicyDenied)
    assert judge.shown == [{"entities": ["email", "name", "phone"], "count": 3}]
    narrow = Judge(PolicyDecision.redact({"entities": ["email"], "count": 1}))
    result = await Flujo(pipeline, policies=[narrow]).run_async(TEXT, principal=ada)
    assert "jane@example.com" in (result.output or "")
    assert "[NAME:" in (result.output or "")
    assert "Smith" not in (result.output or "")


async def test_some_kinds_only(keys: Keys, vault: Vault, ada: Principal) -> None:
    pipeline = there(keys, vault) >> back(keys, vault, entities=["name"])
    output = (await Flujo(pipeline).run_async(TEXT, principal=ada)).output
    assert "John Smith" in (output or "")
    assert "[EMAIL:" in (output or "")


async def test_what_is_delivered_is_not_in_the_journal(
    keys: Keys, ada: Principal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sent: list[str] = []

    async def send(letter: str) -> int:
        sent.append(letter)
        return len(sent)

    vault = Vault.at(tmp_path / "vault.db")
    out = Step(Deidentify(str, GDPR, keys=keys, vault=vault))
    deliver = Step(Reidentify(str, keys=keys, vault=vault).deliver(send))
    store = MemoryStore()
    tokens = (await Flujo(out).run_async(TEXT, run_id="one", principal=ada)).output
    assert tokens is not None
    result = await Flujo(deliver, state=store).run_async(tokens, run_id="one", principal=ada)
    assert (result.output, sent) == (1, [TEXT])
    held = str(await events(store, "one")) + caplog.text
    assert not [one for one in RAW if one in held]
    assert [address for kind, address, _ in await events(store, "one") if kind == "effect"] == [
        "reidentify#reidentify",
        "reidentify#deliver",
    ]


async def test_a_delivery_is_judged_on_tokens(keys: Keys, vault: Vault, ada: Principal) -> None:
    def send(letter: str) -> str:
        return letter.upper()

    deliver = Step(Reidentify(str, keys=keys, vault=vault).deliver(send))
    judge = Judge(PolicyDecision.ALLOW, "send")
    result = await Flujo(there(keys, vault) >> deliver, policies=[judge]).run_async(TEXT, principal=ada)
    assert result.output == TEXT.upper()
    assert "[EMAIL:" in judge.shown[0]["input"]
    other = Judge(PolicyDecision.redact({"input": "nothing"}), "send")
    result = await Flujo(there(keys, vault) >> deliver, policies=[other]).run_async(TEXT, principal=ada)
    assert result.output == "NOTHING"


class Note(BaseModel):
    patient_id: str
    text: str


async def test_scopes(keys: Keys, vault: Vault, ada: Principal) -> None:
    def out(scope: Any, subject: str | None = None) -> Flujo[Note, Note]:
        return Flujo(Step(Deidentify(Note, GDPR, keys=keys, vault=vault, scope=scope, subject=subject)))

    bob = Principal("bob", tenant="south")
    one, two = Note(patient_id="1", text="jane@example.com"), Note(patient_id="2", text="jane@example.com")

    async def token(runner: Flujo[Note, Note], note: Note, who: Principal) -> str:
        output = (await runner.run_async(note, principal=who)).output
        assert output is not None
        return output.text

    runs = [await token(out("run"), one, ada) for _ in range(2)]
    assert len({*runs}) == 2
    tenants = [await token(out("tenant"), note, who) for note, who in ((one, ada), (two, ada), (one, bob))]
    assert tenants[0] == tenants[1] != tenants[2]
    by = out("subject", "patient_id")
    subjects = [await token(by, note, who) for note, who in ((one, ada), (one, ada), (two, ada), (one, bob))]
    assert subjects[0] == subjects[1]
    assert len({*subjects}) == 3


async def test_another_tenant_cannot_open_a_token(keys: Keys, vault: Vault, ada: Principal) -> None:
    for profile, error in ((GDPR, UnknownToken), (Profile("sealed", {}, otherwise="encrypt"), DamagedToken)):
        tokens = (
            await Flujo(there(keys, vault, profile, scope="tenant")).run_async(TEXT, principal=ada)
        ).output
        assert tokens is not None
        eve = Principal("eve", roles=("reidentify",), tenant="south")
        result = await Flujo(back(keys, vault, scope="tenant")).run_async(tokens, principal=eve)
        assert isinstance(result.error and result.error.__cause__, error)
        assert not [one for one in RAW if one in str(result.error)]


Change = Callable[[str], str]
CHANGES: dict[str, tuple[Change, type[Exception] | None]] = {
    "kind": (lambda text: text.replace("[EMAIL:", "[PHONE:"), DamagedToken),
    "longer": (lambda text: text.replace("[EMAIL:", "[EMAIL:0"), None),
    "check": (lambda text: text[:-2] + ("0" if text[-2] != "0" else "1") + "]", DamagedToken),
    "inside": (lambda text: text[:7] + ("0" if text[7] != "0" else "1") + text[8:], DamagedToken),
}


@pytest.mark.parametrize(("change", "error"), CHANGES.values(), ids=CHANGES)
async def test_a_token_that_was_changed(
    change: Change, error: type[Exception] | None, keys: Keys, vault: Vault, ada: Principal
) -> None:
    async def spoil(text: str) -> str:
        return change(text)

    result = await Flujo(there(keys, vault) >> Step(spoil) >> back(keys, vault)).run_async(
        "jane@example.com", principal=ada
    )
    if error is None:  # it looks like no token any more
        assert "jane" not in (result.output or "jane")
    else:
        assert isinstance(result.error and result.error.__cause__, (error, UnknownToken))
    lenient = Flujo(there(keys, vault) >> Step(spoil) >> back(keys, vault, strict=False))
    result = await lenient.run_async("jane@example.com", principal=ada)
    assert "jane" not in (result.output or "")


async def test_wrong_keys(new_keys: NewKeys, vault: Vault, ada: Principal) -> None:
    sealed = Profile("sealed", {}, otherwise="encrypt")
    for profile, error in ((GDPR, UnknownToken), (sealed, DamagedToken)):
        pipeline = there(new_keys("k1"), vault, profile) >> back(new_keys("k1"), vault)
        result = await Flujo(pipeline).run_async(TEXT, principal=ada)
        assert isinstance(result.error and result.error.__cause__, error)
    pipeline = there(new_keys("k1"), vault, sealed) >> back(new_keys("k2"), vault)
    result = await Flujo(pipeline).run_async(TEXT, principal=ada)
    assert isinstance(result.error and result.error.__cause__, UnknownKey)


async def test_keys_rotate(vault: Vault, ada: Principal) -> None:
    old, new = secrets.token_bytes(32), secrets.token_bytes(32)
    before, after = Keys({"k1": old}), Keys({"k1": old, "k2": new})
    for profile in (GDPR, Profile("sealed", {}, otherwise="encrypt")):
        tokens = (
            await Flujo(there(before, vault, profile, scope="tenant")).run_async(TEXT, principal=ada)
        ).output
        assert tokens is not None
        opened = await Flujo(back(after, vault, scope="tenant")).run_async(tokens, principal=ada)
        assert opened.output == TEXT
        again = (
            await Flujo(there(after, vault, profile, scope="tenant")).run_async(TEXT, principal=ada)
        ).output
        assert (again == tokens) is (profile is GDPR)
        assert "k2." in (again or "") or profile is GDPR


class Dies(BaseException):
    pass


@pytest.mark.parametrize(
    "profile", [GDPR, SAFE_HARBOR.but(otherwise="surrogate"), GDPR.but(otherwise="encrypt")]
)
async def test_a_run_that_is_resumed_gives_the_same(
    profile: Profile, keys: Keys, tmp_path: Path, ada: Principal
) -> None:
    """It dies when the vault has the tokens and before the journal has the step."""

    class Broken(Deidentify[str]):
        async def answer(self, input: str, info: StepInfo, context: PipelineContext) -> str:
            output = await super().answer(input, info, context)
            seen.append(output)
            if len(seen) == 1:
                raise Dies
            return output

    seen: list[str] = []
    vault, url = MemoryVault(), tmp_path / "ops.db"
    step = Step(Broken(str, profile, keys=keys, vault=vault))
    with pytest.raises(Dies):
        await Flujo(step, state=SQLiteStore(url)).run_async(TEXT, run_id="one", principal=ada)
    result = await Flujo(step, state=SQLiteStore(url)).resume_async("one")
    assert result.output == seen[0] == seen[1]


async def test_a_replay_opens_and_makes_nothing_anew(keys: Keys, ada: Principal) -> None:
    vault, store = MemoryVault(), MemoryStore()
    runner = Flujo(there(keys, vault) >> back(keys, vault), state=store)
    result = await runner.run_async(TEXT, principal=ada)
    await vault.drop("none")
    vault._rows.clear()
    vault._tokens.clear()
    report = await runner.replay(result.run_id)
    assert report.differences == ()
    assert not vault._rows


async def test_settings_that_cannot_work(keys: Keys) -> None:
    with pytest.raises(PipelineError, match="needs a vault"):
        Deidentify(str, GDPR, keys=keys)
    with pytest.raises(PipelineError, match="no profile"):
        Deidentify(str, "hippa", keys=keys)
    with pytest.raises(PipelineError, match="whom a value is about"):
        Deidentify(str, keys=keys, scope="subject")
    with pytest.raises(PipelineError, match="all dates of a tenant alike"):
        Deidentify(str, SAFE_HARBOR.but(date="shift"), keys=keys, scope="tenant")
    with pytest.raises(PipelineError, match="name='scramble'"):
        SAFE_HARBOR.but(name="scramble")  # type: ignore[arg-type]
    with pytest.raises(PipelineError, match="scope"):
        Deidentify(str, keys=keys, scope="world")  # type: ignore[arg-type]


async def test_other_keys_or_another_profile_are_another_plan(new_keys: NewKeys, keys: Keys) -> None:
    agents = [
        Deidentify(str, keys=keys),
        Deidentify(str, keys=new_keys("k1")),
        Deidentify(str, SAFE_HARBOR.but(name="mask"), keys=keys),
        Deidentify(str, keys=keys, scope="tenant"),
    ]
    assert len({one.part_of_plan for one in agents}) == 4


class Care(PipelineContext):
    note: str = ""


async def test_at_the_door_nothing_raw_is_ever_written(
    keys: Keys, vault: Vault, ada: Principal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The input, the context and what a person answers: in no file of the store, in no log."""
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []

    async def think(text: str, context: Care) -> str:
        seen.append(f"{text} {context.note}")
        return f"thought of {text}"

    door = Deidentify(str, GDPR, keys=keys, vault=vault).at_the_door()
    sent: list[str] = []
    mail = Reidentify(str, keys=keys, vault=vault).deliver(sent.append)
    pipeline = Step(think) >> HumanInput("What else?", schema=str, name="more") >> Step(mail, name="mail")
    store = SQLiteStore(tmp_path / "ops.db")
    runner = Flujo(pipeline, state=store, context_model=Care, policies=[door])
    context = Care(note="call +44 20 7946 0958")
    paused = await runner.run_async(TEXT, context=context, run_id="one", principal=ada)
    assert paused.status == "paused"
    result = await runner.resume_async("one", "tell jane@example.com")
    assert (result.status, sent) == ("completed", ["tell jane@example.com"])
    await store.close()
    held = b"".join(one.read_bytes() for one in tmp_path.glob("ops.db*")) + caplog.text.encode()
    assert [one for one in RAW if one.encode() in held or one in str(seen)] == []
    assert b"personal data: 1 email, 1 name, 1 phone" in held


async def test_at_the_door_a_vault_that_is_away_lets_nothing_in(keys: Keys, ada: Principal) -> None:
    class Away(MemoryVault):
        @override
        async def known(self, lookups: Any) -> Any:
            raise VaultError("the vault is away")

    store = MemoryStore()
    several: list[dict[str, Any]] = [{}, {"scope": "subject", "subject": "patient_id"}]
    for settings in several:
        door = Deidentify(str, GDPR, keys=keys, vault=Away(), **settings).at_the_door()
        result = await Flujo(Step(echo), state=store, policies=[door]).run_async(TEXT, principal=ada)
        assert isinstance(result.error, PolicyDenied)
        assert not [one for one in RAW if one in str(await events(store, result.run_id))]


async def echo(text: str) -> str:
    return text


async def test_two_runs_of_a_tenant_at_once_get_the_same_tokens(
    keys: Keys, vault: Vault, ada: Principal
) -> None:
    runner = Flujo(there(keys, vault, scope="tenant"))
    results = await asyncio.gather(*(runner.run_async(TEXT, principal=ada) for _ in range(20)))
    assert len({one.output for one in results}) == 1


async def test_a_failure_tells_nothing_of_what_it_was_about(
    keys: Keys, ada: Principal, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever fails: neither the error, its causes, the journal nor a log quotes the text or a key."""
    caplog.set_level(logging.DEBUG)

    class Away(MemoryVault):
        @override
        async def add(self, rows: Any) -> None:
            raise VaultError("the vault is away")

    store = MemoryStore()
    failing: list[Flujo[Any, Any]] = [
        Flujo(there(keys, Away()), state=store),
        Flujo(there(keys, None, SAFE_HARBOR, scope="subject", subject="patient_id"), state=store),
    ]
    for runner in failing:
        result = await runner.run_async(TEXT, principal=ada)
        assert result.error is not None
        recorded = (await events(store, result.run_id))[1:]  # but for the input
        told = "".join(traceback.format_exception(result.error)) + str(recorded) + caplog.text
        assert not [one for one in (*RAW, str(keys._keys["k1"])[2:12]) if one in told]

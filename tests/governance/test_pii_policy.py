"""The policy at the gate: what steps are given and give holds no personal data."""

from typing import Annotated

from pydantic import BaseModel

from flujo import Flujo, MemoryStore, PipelineContext, step
from flujo.governance import PII, PIIScrubbingPolicy


class Visit(BaseModel):
    patient: Annotated[str, PII("name")]
    note: str


class Ward(PipelineContext):
    patient: Annotated[str, PII("name")] = "Jan Kowalski"


async def test_what_a_step_is_given_and_gives_is_scrubbed() -> None:
    seen: list[Visit] = []

    @step
    async def summarise(visit: Visit) -> str:
        seen.append(visit)
        return f"{visit.note}; answer to jane@example.com"

    store = MemoryStore()
    runner = Flujo(summarise, policies=[PIIScrubbingPolicy()], state=store)
    result = await runner.run_async(
        Visit(patient="Jan Kowalski", note="Kowalskiego nie ma, tel. +48 600 100 200")
    )
    assert seen == [Visit(patient="[NAME]", note="[NAME] nie ma, tel. [PHONE]")]
    assert result.output == "[NAME] nie ma, tel. [PHONE]; answer to [EMAIL]"


async def test_the_context_s_marked_fields_are_known() -> None:
    @step
    async def note(text: str) -> str:
        return text

    runner = Flujo(note, policies=[PIIScrubbingPolicy()], context_model=Ward)
    result = await runner.run_async("Spoke with Kowalski today")
    assert result.output == "Spoke with [NAME] today"


async def test_what_cannot_be_searched_is_denied() -> None:
    @step
    async def nest(text: str) -> str:
        return "[" * 300 + "]" * 300

    result = await Flujo(nest, policies=[PIIScrubbingPolicy(depth=50)]).run_async("x")
    assert result.status == "failed"
    assert result.error is not None
    assert result.error.code == "policy_denied"


async def test_reasons_count_and_quote_nothing() -> None:
    @step
    async def echo(text: str) -> str:
        return text

    store = MemoryStore()
    runner = Flujo(echo, policies=[PIIScrubbingPolicy()], state=store)
    result = await runner.run_async("mail jane@example.com and j@x.org")
    told = repr(await store.events(result.run_id))
    assert "2 email" in told
    assert result.output == "mail [EMAIL] and [EMAIL]"


def test_other_settings_are_another_version() -> None:
    assert PIIScrubbingPolicy().version == PIIScrubbingPolicy().version
    assert PIIScrubbingPolicy().version != PIIScrubbingPolicy(strategy="mask").version

"""Requests that fail again and again: a provider that is down is left alone, and others take over."""

from collections.abc import Iterator

import pytest

from flujo import Flujo, Retry, Step
from flujo.agents import ModelAgent
from flujo.agents.requests import Breaker, breakers
from flujo.errors import ProviderUnavailable
from flujo.testing import ScriptedModel, Status, VirtualClock

ONCE = Retry(1)


class Reached(ScriptedModel):
    """A scripted model that says where it is reached, as one behind a wire."""

    @property
    def base_url(self) -> str:
        return "https://models.example.org"


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    breakers.clear()
    yield
    breakers.clear()


def test_a_breaker_opens_lets_one_try_and_closes() -> None:
    now = 0.0
    breaker = Breaker(after=2, seconds=30, now=lambda: now)
    for _ in range(2):
        breaker.admit("acme")
        breaker.ended(False)
    with pytest.raises(ProviderUnavailable, match=r"acme failed 2 times in a row: nothing is sent for 30 s"):
        breaker.admit("acme")
    now = 31.0
    breaker.admit("acme")  # one may try
    with pytest.raises(ProviderUnavailable):
        breaker.admit("acme")  # and only one
    breaker.ended(False)
    with pytest.raises(ProviderUnavailable, match="3 times"):
        breaker.admit("acme")
    now = 62.0
    breaker.admit("acme")
    breaker.ended(True)
    for _ in range(5):
        breaker.admit("acme")


def test_what_tells_nothing_of_a_provider_counts_for_nothing() -> None:
    breaker = Breaker(after=1)
    breaker.admit("acme")
    breaker.ended(None)  # cancelled, say
    assert breaker.failures == 0
    breaker.admit("acme")


async def test_a_provider_that_is_down_is_left_alone() -> None:
    down = Reached(*[Status(503)] * 8, provider="acme")
    runner = Flujo(Step(ModelAgent(down, requests=ONCE, name="clerk")), clock=VirtualClock())
    for _ in range(8):
        assert (await runner.run_async("go")).status == "failed"
    refused = await runner.run_async("go")
    assert "nothing is sent" in str(refused.error)
    assert len(down.asked) == 8


async def test_a_fallback_takes_over_at_once_where_a_provider_is_left_alone() -> None:
    breakers["acme", "https://models.example.org"] = Breaker(after=1, failures=1, opened=float("inf"))
    down, up = Reached(provider="acme"), ScriptedModel("done")
    agent = ModelAgent(down, fallbacks=[up], requests=ONCE, name="clerk")
    assert (await Flujo(Step(agent)).run_async("go")).unwrap() == "done"
    assert down.asked == []


async def test_a_request_that_cannot_succeed_opens_nothing() -> None:
    wrong = Reached(*[Status(400)] * 20, provider="acme")
    runner = Flujo(Step(ModelAgent(wrong, requests=Retry(3), name="clerk")), clock=VirtualClock())
    for _ in range(20):
        assert (await runner.run_async("go")).status == "failed"
    assert len(wrong.asked) == 20  # each was sent once, and none was held back

"""Die at every commit, in process: another runner goes on, and nothing is lost, repeated or refunded."""

import pytest

from flujo import MemoryStore
from flujo.testing import DEATHS, Death
from tests.crash.harness import Life, Mortal, carry, dying, judge, sliced, told, undisturbed
from tests.crash.scenario import Scenario
from tests.crash.scenarios import KNOWN, SCENARIOS


def known(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.xfail(reason=KNOWN[name], strict=True)] if name in KNOWN else []


every = pytest.mark.parametrize(
    "scenario",
    [pytest.param(scenario, id=name, marks=known(name)) for name, scenario in SCENARIOS.items()],
)


@every
@pytest.mark.parametrize("death", DEATHS)
async def test_a_death_at_any_commit(scenario: Scenario, death: Death) -> None:
    whole = await undisturbed(scenario)
    assert whole.commits >= 2
    for at in range(1, whole.commits + 1):
        broken = await dying(scenario, at, death)
        # How tasks that run side by side share commits is a matter of timing; the last may not come.
        assert len(broken.lives) == 2 or scenario.width > 1
        with told(f"died {death} commit {at} of {whole.commits}"):
            judge(scenario, whole, broken)


@every
async def test_a_journal_that_ends_after_any_event(scenario: Scenario) -> None:
    """Events share commits by chance of timing; whatever the journal holds, it can be gone on from."""
    inner = MemoryStore()
    whole = await carry(scenario, [Mortal(inner)])
    for length in range(len(whole.journal)):
        store = await sliced(whole.journal, inner, length)
        left = Life((), tuple(whole.journal[:length]))
        broken = await carry(scenario, [Mortal(store)])
        with told(
            f"the journal ended after event {length} of {len(whole.journal)}: {whole.journal[length - 1]}"
        ):
            judge(scenario, whole, broken._replace(lives=[left, *broken.lives]))


@every
async def test_many_short_lives(scenario: Scenario) -> None:
    """Each process commits twice and dies at its third: even so the run gets to its end."""
    inner = MemoryStore()
    lives = [Mortal(inner, 4, "before" if number % 2 else "after") for number in range(100)]
    broken = await carry(scenario, lives)
    judge(scenario, await undisturbed(scenario), broken)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@every
async def test_two_deaths_at_any_two_commits(scenario: Scenario) -> None:
    whole = await undisturbed(scenario)
    for at in range(1, whole.commits + 1):
        for again in range(1, whole.commits + 2):
            for death in DEATHS:
                inner = MemoryStore()
                lives = [Mortal(inner, at, death), Mortal(inner, again, death), Mortal(inner)]
                broken = await carry(scenario, lives)
                with told(f"died {death} commit {at}, then {again}, of {whole.commits}"):
                    judge(scenario, whole, broken)

"""The port of dispatch: what hands a worker its jobs, and what it wants to know of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from flujo.journal.store import Job

Carry = Callable[[Job, str], Awaitable[int | None]]
"""Carries a job out; gives when it is to come again (microseconds since 1970), or None when it is done.

The text names the owner of its run that is known to be gone, if one is."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a worker offers, and within which limits it takes.

    Attributes:
        queues: The queues it serves, each with its pipeline's name.
        concurrency: How many runs it carries on at once.
        pipelines: How many runs of a pipeline may be carried on at once, over all workers.
        tenants: How many runs of a tenant may be, likewise.
        each_tenant: Of every tenant that is not named.
        grace: Seconds that runs have to end after a stop, before they are handed back.
        poll: Seconds between two looks for jobs where nothing announces them.
        stalled_after: Seconds after which a worker that is not heard of counts as dead.
    """

    queues: Mapping[str, str]
    concurrency: int = 10
    pipelines: Mapping[str, int] = field(default_factory=dict[str, int])
    tenants: Mapping[str, int] = field(default_factory=dict[str, int])
    each_tenant: int | None = None
    grace: float = 30.0
    poll: float = 0.25
    stalled_after: float = 30.0

    def of_tenant(self, tenant: str) -> int | None:
        """Return how many runs of a tenant may be carried on at once; None for any number."""
        return self.tenants.get(tenant, self.each_tenant if tenant else None)


class Dispatch(Protocol):
    """Hands jobs to one worker."""

    async def work(self, carry: Carry, stop: asyncio.Event) -> None:
        """Hand out what is due until told to stop; then let what is in hand end, or hand it back.

        Raises:
            StoreError: The store cannot be used, and trying again would not help.
        """
        ...

"""Schedules: runs that begin at set times, each once, however many workers look at the clock."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from flujo.engine.clock import Clock
from flujo.engine.requests import moment
from flujo.engine.run import microseconds
from flujo.engine.runner import Flujo
from flujo.errors import ConfigError, FlujoError, StoreUnavailable
from flujo.journal.jobs import Board, ScheduleRow
from flujo.plan.codec import codec_for
from flujo.plan.types import recorded_input

logger = logging.getLogger("flujo.worker")

Missed = Literal["once", "all", "skip"]
LATE = timedelta(minutes=1)
"""How late a run may begin that is skipped when it was missed."""
MOST = 1000
"""How many missed times are made up for at once."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A pipeline whose runs begin at set times.

    Attributes:
        name: Its name; the runs are called ``name@time``.
        pipeline: The pipeline's name.
        cron: When, as a cron expression of five fields (or six, with seconds).
        timezone: Where its hours are those of the clock on the wall, by its IANA name.
        input: What each run begins with, as JSON.
        missed: What happens with times at which no worker was there: ``once`` begins one run for the last
            of them, ``all`` one for each (the latest 1,000), ``skip`` none.
        paused: Whether nothing begins until it is taken up again.
        labels: What is recorded with the beginning of each run.
        tenant: On whose behalf.
        priority: Of its runs.

    Raises:
        ConfigError: A value is none that it can have.
    """

    name: str
    pipeline: str
    cron: str
    timezone: str = "UTC"
    input: Any = None
    missed: Missed = "once"
    paused: bool = False
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    tenant: str = ""
    priority: int = 0

    def __post_init__(self) -> None:
        if not self.name or not self.name.isprintable() or self.name != self.name.strip() or "@" in self.name:
            raise ConfigError(f"{self.name!r} cannot name a schedule", fix="use letters, digits, '-' and '_'")
        if self.missed not in get_args(Missed):
            raise ConfigError(f"missed={self.missed!r}", fix='use "once", "all" or "skip"')
        try:
            zone = ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigError(
                f"{self.timezone!r} is no time zone", fix="use an IANA name, such as Europe/Madrid or UTC"
            ) from None
        try:
            next(CronSim(self.cron, datetime(2000, 1, 1, tzinfo=zone)))
        except (CronSimError, StopIteration) as error:
            said = str(error) or "it names no time that ever comes"
            raise ConfigError(
                f"the cron expression {self.cron!r} cannot be used: {said}",
                fix="write minute, hour, day, month, weekday: '30 8 * * MON-FRI'",
            ) from None

    def after(self, at: int) -> int:
        """Return the first of its times after a moment, both in microseconds since the Unix epoch."""
        return next(self._since(at + 1))

    def times(self, first: int, now: int) -> list[int]:
        """Return those of its times, from one of them up to now, at which a run is to begin now."""
        span = round(LATE.total_seconds() * 1e6)
        late, most = now - span, MOST if self.missed == "all" else 1
        while True:  # back from now, and no further than need be: a look at each of many years takes minutes
            since = max(first, now - span)
            found = list(takewhile(lambda at: at <= now, self._since(since)))
            if since == first or len(found) >= most or self.missed == "skip":
                break
            span *= 2
        in_time = [at for at in found if at >= late]
        match self.missed:
            case "all":
                return found[-MOST:]
            case "once":
                return in_time or found[-1:]
            case "skip":
                return in_time

    def _since(self, first: int) -> Iterator[int]:
        """Yield its times from a moment on."""
        for time in CronSim(self.cron, moment(first - 1).astimezone(ZoneInfo(self.timezone))):
            at = microseconds(time)
            if at >= first:  # in an hour that comes twice, it begins with what was there the first time
                yield at

    def row(self, next_: int) -> ScheduleRow:
        """Return it as it is stored."""
        facts = asdict(self)
        del facts["name"], facts["pipeline"]
        return ScheduleRow(self.name, self.pipeline, next_, json.dumps(facts, ensure_ascii=False))

    @classmethod
    def of(cls, row: ScheduleRow) -> Self:
        """Return a stored schedule."""
        known = {one.name for one in fields(cls)}
        facts = {name: value for name, value in json.loads(row.spec).items() if name in known}
        return cls(row.name, row.pipeline, **facts)

    def with_paused(self, paused: bool) -> Self:
        """Return it put to rest, or taken up again."""
        return replace(self, paused=paused)


class Keeper:
    """Begins the runs of schedules when their time comes.

    Each time has a run of its own, named after it. So whichever worker comes first begins it, and a worker
    that dies between beginning a run and noting so lets the next one find the run there.

    Args:
        board: Where the schedules are kept.
        runners: The runners, by their pipelines' names.
        clock: What time it is.
    """

    def __init__(self, board: Board, runners: Mapping[str, Flujo[Any, Any]], clock: Clock) -> None:
        self._board = board
        self._runners = runners
        self._clock = clock
        self._told: set[str] = set()

    async def keep(self, every: float = 1.0) -> None:
        """Look at the clock, again and again."""
        while True:
            try:
                await self.begin_due()
            except StoreUnavailable as error:
                logger.warning("schedules wait for the store: %s", error.message)
            await self._clock.sleep(every)

    async def begin_due(self) -> int:
        """Begin what is due; return how many runs that were."""
        now, begun = self._clock.now(), 0
        for row in await self._board.schedules(now):
            if row.pipeline not in self._runners:
                continue
            try:
                begun += await self._begin(row, now)
            except StoreUnavailable:
                raise
            except FlujoError as error:  # one that cannot be read must not keep the others from beginning
                self._tell(row.name, error)
        return begun

    def _tell(self, name: str, error: FlujoError) -> None:
        if name not in self._told:
            self._told.add(name)
            logger.error("the schedule %r cannot begin a run: %s", name, error.message)

    async def _begin(self, row: ScheduleRow, now: int) -> int:
        schedule = Schedule.of(row)
        times = [] if schedule.paused else schedule.times(row.next, now)
        begun = 0
        for at in times:
            try:
                await self._start(schedule, at)
                begun += 1
            except StoreUnavailable:
                raise
            except FlujoError as error:
                self._tell(row.name, error)
        await self._board.move_schedule(row._replace(next=schedule.after(now)), row)
        return begun

    async def _start(self, schedule: Schedule, at: int) -> None:
        runner = self._runners[schedule.pipeline]
        time = f"{moment(at):%Y-%m-%dT%H:%M:%SZ}"
        await runner.start_async(
            input_of(runner, schedule.input),
            run_id=f"{schedule.name}@{time}",
            labels={**schedule.labels, "schedule": schedule.name, "scheduled_for": time},
            tenant=schedule.tenant,
            priority=schedule.priority,
        )


def input_of(runner: Flujo[Any, Any], given: Any) -> Any:
    """Return JSON as the input of a pipeline.

    Raises:
        ConfigError: It does not fit.
    """
    wanted = recorded_input(runner.plan.root.input_type)
    try:
        return codec_for(wanted).load_parsed(given)
    except ValueError:
        raise ConfigError(
            f"the input of the schedule does not fit the pipeline {runner.plan.name!r}",
            fix="give JSON of the type that its first step takes",
        ) from None

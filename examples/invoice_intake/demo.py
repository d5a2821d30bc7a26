"""The demonstration: take in invoices, ask where in doubt, post the rest, and show that all of it holds."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rich.markup import escape

from flujo import Flujo, Pipeline, SQLiteStore
from flujo.errors import ConfigError, PlanChanged
from flujo.journal.events import Event
from flujo.journal.verify import Report

from .desk import Countdown, Desk, Outcome
from .inbox import Item, Job, job_of, save_job, saved_job
from .person import Person
from .pipeline import IntakeContext, intake
from .posting import ResultRow, results_json, write_ledger, write_whole
from .report import report_html
from .reviewers import SCRIPTED, ScriptedReviewer
from .screen import Screen, counted

if TYPE_CHECKING:
    from .by_model import ModelSettings

FOLDER = Path("flujo-demo")
#: How the reason begins where a model read nothing; `ask_model` is imported only where a model is used.
NO_ANSWER = "The model gave no usable answer"
DONE, FAILED, WAITING, BROKEN, INTERRUPTED = 0, 1, 3, 6, 130


@dataclass(frozen=True, slots=True)
class Place:
    """Where the results and the journal of a job are."""

    folder: Path
    store: Path

    @property
    def resume(self) -> str:
        """The command that goes on with the job."""
        out = "" if self.folder == FOLDER.resolve() else f" --out {_short(self.folder)}"
        store = "" if self.store.parent == self.folder else f" --store {_short(self.store)}"
        return f"{_flujo()} demo --resume{out}{store}"


class Options(Protocol):
    """What the demonstration is asked to do; see `flujo demo --help`."""

    @property
    def files(self) -> Sequence[Path]: ...
    @property
    def auto(self) -> bool: ...
    @property
    def out(self) -> Path | None: ...
    @property
    def crash_after(self) -> int | None: ...
    @property
    def resume(self) -> bool: ...
    @property
    def store(self) -> Path | None: ...
    @property
    def limit(self) -> str | None: ...
    @property
    def model(self) -> str: ...
    @property
    def model_url(self) -> str: ...


def demo(options: Options) -> int:
    """Work off the files, and return what the command exits with: 0 only if all of it holds.

    Raises:
        ConfigError: The files, the limit, the model's settings or the folder cannot be used.
    """
    folder = (options.out or _usual_folder(options.model)).resolve()
    place = Place(folder, (options.store or folder / "flujo_ops.db").resolve())
    job = _job(options, folder)
    model = _model(job)
    try:
        save_job(job, folder)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}", fix="use --out DIR") from error
    screen = Screen()
    store = SQLiteStore(place.store)
    try:
        return _work(options, job, model, place, store, screen)
    except (KeyboardInterrupt, EOFError):
        screen.say(f"\nInterrupted. Nothing is lost; go on with:  {place.resume}")
        return INTERRUPTED
    finally:
        screen.stop()
        asyncio.run(store.close())


def _usual_folder(model: str) -> Path:
    """Return where results go if nobody says: each way of reading has a folder, as it makes other runs."""
    return FOLDER / re.sub(r"[^A-Za-z0-9.-]+", "-", model).strip("-.") if model else FOLDER


def _job(options: Options, folder: Path) -> Job:
    if options.resume and not options.files:
        job = saved_job(folder)
        # The address is no part of a run: a wrong one is mended by another.
        changed = job.model and options.model_url
        return job.model_copy(update={"model_url": options.model_url}) if changed else job
    return job_of(
        options.files, folder, limit=options.limit, model=options.model, model_url=options.model_url
    )


def _work(
    options: Options,
    job: Job,
    model: ModelSettings | None,
    place: Place,
    store: SQLiteStore,
    screen: Screen,
) -> int:
    countdown = None
    if options.crash_after is not None:
        countdown = Countdown(options.crash_after, lambda: screen.say(_last_words(place)))
    asks = screen.is_terminal and not options.auto
    pipeline = "invoice_intake.demo:configured" if job.model else "invoice_intake.pipeline:pipeline"
    desk = Desk(
        Flujo(intake(model), state=store, hooks=[] if countdown is None else [countdown]),
        store,
        context=IntakeContext(folder=str(place.folder), limit=job.limit),
        reviewer=Person(screen.out) if asks else ScriptedReviewer(),
        watcher=screen,
        countdown=countdown,
        labels={"target": pipeline, "folder": str(Path(__file__).parent.parent)},
    )
    screen.say(f"{counted(len(job.items), 'file')}, read by {job.model or 'rules'}")
    outcomes = [_done(desk, item, place, screen) for item in job.items]
    if countdown is not None:
        screen.say(
            f"The job ended after {counted(countdown.recorded, 'step')}: nothing was left to be killed."
        )
    audit = desk.audit()
    _write(outcomes, audit, place.folder)
    return _close(outcomes, audit, place, screen)


def _done(desk: Desk, item: Item, place: Place, screen: Screen) -> Outcome:
    try:
        before = len(_requests(asyncio.run(desk.store.events(item.run_id))))
        outcome = desk.work_off(item)
        if _awaits_model(outcome) and len(_requests(outcome.events)) == before:
            # It waited for the model when this command began: calling again says that it was mended.
            desk.runner.resume(item.run_id, True, request=outcome.result.pending[0].id)
            again, reused = desk.work_off(item), outcome.reused
            outcome = replace(again, reused=reused, ran=again.reused + again.ran - reused)
    except PlanChanged as error:
        error.fix = (
            "this folder was begun by another version, or another way of reading: "
            f"use another --out DIR, or remove {_short(place.folder)}"
        )
        raise
    screen.done(outcome)
    return outcome


def _requests(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event.kind == "request"]


def _awaits_model(outcome: Outcome) -> bool:
    """Whether a run waits because its model could not be asked."""
    result = outcome.result
    # Reviews are of kind "input"; only the step that asks the model pauses by itself.
    return result.status == "paused" and result.pending[0].kind == "pause"


def _unread(outcome: Outcome) -> bool:
    """Whether nobody but the script decided about a file for which the model gave nothing."""
    row, case = outcome.row, outcome.case
    return (
        row is not None
        and case is not None
        and row.decided_by == SCRIPTED
        and case.facts.reason.startswith(NO_ANSWER)
    )


def _write(outcomes: Sequence[Outcome], audit: Sequence[Report], folder: Path) -> None:
    rows = [outcome.row for outcome in outcomes if outcome.row is not None]
    write_whole(folder / "results.json", results_json(rows))
    write_ledger(folder)
    write_whole(folder / "report.html", report_html(outcomes, audit))


def _close(outcomes: Sequence[Outcome], audit: Sequence[Report], place: Place, screen: Screen) -> int:
    """Show the table, where things are, the verdict of the audit and what to do next."""
    screen.stop()
    out = screen.out
    out.print()
    screen.table(outcomes)
    reused, ran = sum(one.reused for one in outcomes), sum(one.ran for one in outcomes)
    if reused and ran:
        out.print(f"Resumed: {reused} recorded steps were reused and not run again; {ran} ran now.")
    elif reused:
        out.print(
            f"Nothing ran: all {reused} steps were recorded by an earlier call, and are reused as they are."
        )
    broken = [report for report in audit if not report.sound]
    events = sum(report.events for report in audit)
    if broken:
        out.print(f"[red]Audit: {len(broken)} of {len(audit)} runs broken[/]", highlight=False)
        for report in broken:
            assert report.finding is not None
            out.print(f"  {report.run_id}: {escape(report.finding.message)}")
    else:
        checked = f"{counted(events, 'event')} of {counted(len(audit), 'run')}"
        out.print(f"[green]Audit: sound[/], {checked} as they were written")
    for name in ("results.json", "ledger.csv", "report.html"):
        out.print(f"{name:<13} {_short(place.folder / name)}", highlight=False, soft_wrap=True)
    status, command = _verdict(outcomes, broken, place)
    out.print(f"Next:  [bold]{escape(command)}[/]", highlight=False, soft_wrap=True)
    return status


def _verdict(outcomes: Sequence[Outcome], broken: Sequence[Report], place: Place) -> tuple[int, str]:
    """Return what the command exits with, and the one command that is worth typing next."""
    store = f"--store {_short(place.store)}"
    if broken:
        return BROKEN, f"{_flujo()} audit verify {store}"
    failed = [one for one in outcomes if one.row is None and one.result.status != "paused"]
    if failed:
        return FAILED, f"{_flujo()} runs show {failed[0].item.run_id} {store}"
    if any(_awaits_model(one) for one in outcomes):
        return FAILED, place.resume
    unread = next((one for one in outcomes if _unread(one)), None)
    if unread is not None:
        return FAILED, f"{_flujo()} runs show {unread.item.run_id} {store}"
    if any(one.row is None for one in outcomes):
        return WAITING, place.resume
    asked = next((one for one in outcomes if one.row and one.row.decision != "posted"), outcomes[0])
    return DONE, f"{_flujo()} runs show {asked.item.run_id} {store}"


def _model(job: Job) -> ModelSettings | None:
    """Return the model of a job; its key comes from the environment and is kept nowhere."""
    if not job.model:
        return None
    try:
        from .by_model import model_settings
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"asking a model needs the package {error.name!r}", fix='pip install "flujo[demo]"'
        ) from error
    chosen = {"FLUJO_MODEL": job.model} | ({"FLUJO_MODEL_URL": job.model_url} if job.model_url else {})
    return model_settings({**os.environ, **chosen})


def configured() -> Pipeline[str, ResultRow]:
    """Return the pipeline that reads by the model of the environment, for the commands that go on with a run.

    Raises:
        ConfigError: FLUJO_MODEL is not set.
    """
    from .by_model import model_settings

    settings = model_settings(os.environ)
    if settings is None:
        raise ConfigError("this run reads by a model, and none is named", fix="set FLUJO_MODEL")
    return intake(settings)


def _last_words(place: Place) -> str:
    return f"This process dies here, as asked. Go on with:  {place.resume}"


def _flujo() -> str:
    """Return how this command can be typed again."""
    typed = Path(sys.argv[0])
    if typed.name != "flujo" or shutil.which("flujo") is not None:
        return "flujo"
    return _short(typed.resolve())


def _short(path: Path) -> str:
    """Return a path as short as it can be typed here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)

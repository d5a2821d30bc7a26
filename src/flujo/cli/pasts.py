"""The commands on what runs did before: replayed, forked, compared, carried over to changed code."""

from typing import Annotated

import typer

from flujo.cli.groups import runs
from flujo.cli.options import Json, OtherTarget, Quiet, RunId, Store, Stream, Trace

__all__ = ["runs"]


@runs.command("replay")
def runs_replay(
    run: RunId,
    target: OtherTarget = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="TARGET",
            help="Changed code: what the run would meet there.",
            show_default=False,
        ),
    ] = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live-after-divergence",
            help="Go on from there with real effects, in a new run that is recorded.",
        ),
    ] = False,
    store: Store = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """Let a recorded run go by again.

    Nothing runs: every effect is answered from the journal. Exits with 1 where what comes out differs.
    """
    from flujo.cli.config import load_config
    from flujo.cli.replay import replay_run

    return replay_run(load_config(store=store), run, target=against or target, live=live, as_json=as_json)


@runs.command("fork")
def runs_fork(
    run: RunId,
    at: Annotated[
        str,
        typer.Option(
            "--at",
            metavar="ADDRESS",
            help="What runs anew, with all after it; as `flujo runs show` names it.",
            show_default=False,
        ),
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="input=JSON", help="What it is given instead; `input=@PATH`: a file."),
    ] = None,
    context: Annotated[
        list[str] | None,
        typer.Option("--context", metavar="KEY=JSON", help="A field of the context, from there on."),
    ] = None,
    run_id: Annotated[
        str | None, typer.Option("--run-id", metavar="ID", help="The new run's name.", show_default=False)
    ] = None,
    target: OtherTarget = None,
    store: Store = None,
    as_json: Json = False,
    stream: Stream = False,
    quiet: Quiet = False,
    trace: Trace = False,
) -> int:
    """Run on from the middle of a run, in a new one.

    It shares the recorded past before the address; the first run stays as it is.
    """
    from flujo.cli.carry import Show
    from flujo.cli.config import load_config
    from flujo.cli.forks import Asked, fork_run

    config = load_config(store=store, trace=trace or None)
    return fork_run(
        config,
        run,
        Asked(at, set_ or (), context or (), run_id),
        target=target,
        show=Show.of(config, as_json=as_json, stream=stream, quiet=quiet),
    )


@runs.command("diff")
def runs_diff(
    run: RunId,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="The other run.", show_default=False)],
    store: Store = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """Compare two runs, step by step.

    By their journals alone. Exits with 1 where they differ.
    """
    from flujo.cli.config import load_config
    from flujo.cli.diff import diff_runs

    return diff_runs(load_config(store=store), run, other, as_json=as_json)


@runs.command("upgrade")
def runs_upgrade(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", help="A run; with --check all open ones when left out.", show_default=False
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say whether it may go on.")] = False,
    allow: Annotated[bool, typer.Option("--allow", help="Also where that needs a decision.")] = False,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="TARGET",
            help="The pipeline as it is now, once or more; otherwise what each run was begun with.",
            show_default=False,
        ),
    ] = None,
    store: Store = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """Let an open run go on with changed code.

    If what it did holds there, too. Exits with 1 where a run is not safe to go on.
    """
    from flujo.cli.config import load_config
    from flujo.cli.upgrade import upgrade_runs

    config = load_config(store=store)
    return upgrade_runs(config, run, targets=target or (), check=check, allow=allow, as_json=as_json)

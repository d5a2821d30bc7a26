"""The commands that come in groups: runs, approvals, audit, config."""

from typing import Annotated

import typer

from flujo.cli.options import (
    Actor,
    Json,
    OtherTarget,
    Quiet,
    Reason,
    RequestId,
    Resume,
    RunId,
    Store,
    Stream,
    TakeOver,
    Trace,
)

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many to print.")]
Pipeline = Annotated[
    str, typer.Option("--pipeline", metavar="NAME", help="Only of the pipeline of this name.")
]


def help_alone(context: typer.Context) -> None:
    """Print the help of a group that is called without a command."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _group(about: str) -> typer.Typer:
    return typer.Typer(help=about, invoke_without_command=True, callback=help_alone, rich_markup_mode=None)


runs = _group("List, show, resume, cancel, replay, fork and compare runs.")
approvals = _group("See what runs wait for, and decide it.")
audit = _group("Prove that nothing recorded was changed.")
config = _group("See the settings and where they come from.")


@runs.command("list")
def runs_list(
    status: Annotated[
        list[str] | None,
        typer.Option(
            "--status",
            "-s",
            metavar="STATUS",
            help="Only of this status: queued, running, paused, completed, failed, cancelled, stopped.",
        ),
    ] = None,
    pipeline: Pipeline = "",
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Begun since: 15m, 2h, 3d ago, or a date.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Begun before, likewise.")
    ] = None,
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="TEXT", help="Only ids that begin with this.")
    ] = "",
    limit: Limit = 20,
    after: Annotated[str, typer.Option("--after", metavar="CURSOR", help="The page after this one.")] = "",
    store: Store = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """List runs, the newest first."""
    from flujo.cli.config import load_config
    from flujo.cli.runs import list_runs

    return list_runs(
        load_config(store=store),
        status=status or (),
        pipeline=pipeline,
        since_=since,
        until=until,
        prefix=prefix,
        limit=limit,
        after=after,
        as_json=as_json,
    )


@runs.command("show")
def runs_show(
    run: RunId,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="How many lines of what happened; 0 for all.")
    ] = 200,
    store: Store = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """Show what happened in a run.

    When, where, how long it took, and who decided.
    """
    from flujo.cli.config import load_config
    from flujo.cli.runs import show_run

    return show_run(load_config(store=store), run, limit=limit, as_json=as_json)


@runs.command("resume")
def runs_resume(
    run: RunId,
    target: OtherTarget = None,
    take_over: TakeOver = False,
    store: Store = None,
    as_json: Json = False,
    stream: Stream = False,
    quiet: Quiet = False,
    trace: Trace = False,
) -> int:
    """Go on with a run.

    With one that waited and was answered, or whose process died; nothing recorded runs again.
    """
    from flujo.cli.carry import Show
    from flujo.cli.config import load_config
    from flujo.cli.runs import resume_run

    config = load_config(store=store, trace=trace or None)
    return resume_run(
        config,
        run,
        target=target,
        take_over=take_over,
        show=Show.of(config, as_json=as_json, stream=stream, quiet=quiet),
    )


@runs.command("signal")
def runs_signal(
    run: RunId,
    event: Annotated[str, typer.Argument(metavar="EVENT", help="The event's name.", show_default=False)],
    payload: Annotated[
        str,
        typer.Option("--payload", metavar="JSON", help="What comes with it; `@PATH` reads a file."),
    ] = "null",
    target: OtherTarget = None,
    store: Store = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """Deliver an event to a run.

    It is kept until the run comes to where it waits for it.
    """
    from flujo.cli.config import load_config
    from flujo.cli.runs import signal_run

    return signal_run(load_config(store=store), run, event, payload=payload, target=target, as_json=as_json)


@runs.command("cancel")
def runs_cancel(
    run: RunId,
    reason: Reason = "",
    target: OtherTarget = None,
    take_over: TakeOver = False,
    store: Store = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """End a run for good.

    What its steps declare to be undone is undone.
    """
    from flujo.cli.config import load_config
    from flujo.cli.runs import cancel_run

    return cancel_run(
        load_config(store=store), run, reason=reason, target=target, take_over=take_over, as_json=as_json
    )


@approvals.command("list")
def approvals_list(
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Only of this run.")] = None,
    pipeline: Pipeline = "",
    limit: Limit = 50,
    store: Store = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """List what runs wait for.

    Each with the commands that decide it.
    """
    from flujo.cli.approvals import list_approvals
    from flujo.cli.config import load_config

    return list_approvals(load_config(store=store), run=run, pipeline=pipeline, limit=limit, as_json=as_json)


@approvals.command("answer")
def approvals_answer(
    request: RequestId,
    value: Annotated[
        str,
        typer.Option(
            "--value",
            metavar="JSON",
            help="The answer; text where a text is asked for; `@PATH` reads a file.",
        ),
    ],
    reason: Reason = "",
    actor: Actor = None,
    resume: Resume = False,
    target: OtherTarget = None,
    store: Store = None,
    as_json: Json = False,
    stream: Stream = False,
    quiet: Quiet = False,
    trace: Trace = False,
) -> int:
    """Answer with a value of your own.

    One that does not fit leaves the request open, and says what was wrong. Whether edited arguments fit an
    agent's tool is known where the agent is: when the run goes on, which asks again if they do not.
    """
    from flujo.cli.approvals import decide
    from flujo.cli.carry import Show
    from flujo.cli.config import load_config

    config = load_config(store=store, actor=actor, trace=trace or None)
    return decide(
        config,
        request,
        action="edit",
        value=value,
        reason=reason,
        resume=resume,
        target=target,
        show=Show.of(config, as_json=as_json, stream=stream, quiet=quiet),
    )


@approvals.command("approve")
def approvals_approve(
    request: RequestId,
    reason: Reason = "",
    actor: Actor = None,
    resume: Resume = False,
    target: OtherTarget = None,
    store: Store = None,
    as_json: Json = False,
    stream: Stream = False,
    quiet: Quiet = False,
    trace: Trace = False,
) -> int:
    """Approve what is shown, as it is."""
    from flujo.cli.approvals import decide
    from flujo.cli.carry import Show
    from flujo.cli.config import load_config

    config = load_config(store=store, actor=actor, trace=trace or None)
    return decide(
        config,
        request,
        action="approve",
        value=None,
        reason=reason,
        resume=resume,
        target=target,
        show=Show.of(config, as_json=as_json, stream=stream, quiet=quiet),
    )


@approvals.command("deny")
def approvals_deny(
    request: RequestId,
    reason: Reason = "",
    actor: Actor = None,
    resume: Resume = False,
    target: OtherTarget = None,
    store: Store = None,
    as_json: Json = False,
    stream: Stream = False,
    quiet: Quiet = False,
    trace: Trace = False,
) -> int:
    """Deny it: the run goes another way, or fails."""
    from flujo.cli.approvals import decide
    from flujo.cli.carry import Show
    from flujo.cli.config import load_config

    config = load_config(store=store, actor=actor, trace=trace or None)
    return decide(
        config,
        request,
        action="deny",
        value=None,
        reason=reason,
        resume=resume,
        target=target,
        show=Show.of(config, as_json=as_json, stream=stream, quiet=quiet),
    )


@audit.command("verify")
def audit_verify(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="A run; all of them when left out.", show_default=False),
    ] = None,
    store: Store = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """Recompute the chain of hashes.

    Names the first event that does not match.
    """
    from flujo.cli.audit import verify_store
    from flujo.cli.config import load_config

    return verify_store(load_config(store=store), run, as_json=as_json)


@config.command("show")
def config_show(store: Store = None, as_json: Json = False, trace: Trace = False) -> int:
    """Show each setting and its source."""
    from flujo.cli.config import load_config
    from flujo.cli.settings import show_settings

    return show_settings(load_config(store=store), as_json=as_json)

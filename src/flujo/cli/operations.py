"""The commands of operators: workers, schedules, the store."""

from pathlib import Path
from typing import Annotated

import typer

from flujo.cli.groups import help_alone
from flujo.cli.options import InputText, Json, Priority, Store, Target, Trace

Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TARGET",
        help="The pipelines it carries on; all of `[targets]` in flujo.toml when left out.",
        show_default=False,
    ),
]
Concurrency = Annotated[
    int, typer.Option("--concurrency", "-c", metavar="N", min=1, help="How many runs at once.")
]
PipelineLimits = Annotated[
    list[str] | None,
    typer.Option(
        "--limit", metavar="PIPELINE=N", help="At most N runs of a pipeline at once, over all workers."
    ),
]
TenantLimits = Annotated[
    list[str] | None,
    typer.Option(
        "--tenant", metavar="TENANT=N", help="At most N runs of a tenant at once, over all workers."
    ),
]
EachTenant = Annotated[
    int | None, typer.Option("--each-tenant", metavar="N", min=1, help="The same for every tenant not named.")
]
Grace = Annotated[
    float, typer.Option("--grace", metavar="SECONDS", min=0, help="How long runs may end after SIGTERM.")
]
StalledAfter = Annotated[
    float,
    typer.Option(
        "--stalled-after", metavar="SECONDS", min=1, help="When a worker not heard of counts as dead."
    ),
]
Port = Annotated[
    int | None,
    typer.Option(
        "--port",
        metavar="PORT",
        min=0,
        max=65535,
        help="Serve /healthz and /metrics here.",
        show_default=False,
    ),
]
Host = Annotated[str, typer.Option("--host", metavar="HOST", help="On this address.")]
ScheduleName = Annotated[str, typer.Argument(metavar="NAME", help="The schedule.", show_default=False)]


worker = typer.Typer(help="Carry on the runs that are due.", rich_markup_mode=None)
schedule = typer.Typer(
    help="Begin runs at set times.", invoke_without_command=True, callback=help_alone, rich_markup_mode=None
)
store = typer.Typer(
    help="Look after the store.", invoke_without_command=True, callback=help_alone, rich_markup_mode=None
)


budget = typer.Typer(
    help="Look at what quotas count over runs.",
    invoke_without_command=True,
    callback=help_alone,
    rich_markup_mode=None,
)


@budget.command("show")
def budget_show(
    tenant: Annotated[
        str | None,
        typer.Option("--tenant", metavar="TENANT", help="Only this tenant's accounts.", show_default=False),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="Only those that this run counts on.", show_default=False),
    ] = None,
    store: Store = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """Show the accounts: what may be spent, what was, and what is reserved."""
    from flujo.cli.budget import show_budget
    from flujo.cli.config import load_config

    config = load_config(store=store, trace=trace or None)
    return show_budget(config, tenant=tenant, run=run, as_json=as_json)


@worker.command("run")
def worker_run(
    targets: Targets = None,
    concurrency: Concurrency = 10,
    limit: PipelineLimits = None,
    tenant: TenantLimits = None,
    each_tenant: EachTenant = None,
    grace: Grace = 30.0,
    stalled_after: StalledAfter = 30.0,
    port: Port = None,
    host: Host = "127.0.0.1",
    store: Store = None,
    trace: Trace = False,
) -> int:
    """Carry on what is due, until SIGTERM or Ctrl-C.

    Then runs in hand may end within the grace; the rest is handed back, and nothing is lost.
    """
    from flujo.cli.config import load_config
    from flujo.cli.workers import Offer, serve

    return serve(
        load_config(store=store, trace=trace or None),
        targets or (),
        Offer(
            concurrency=concurrency,
            pipelines=limit or (),
            tenants=tenant or (),
            each_tenant=each_tenant,
            grace=grace,
            stalled_after=stalled_after,
            host=host,
            port=port,
        ),
    )


@worker.command("status")
def worker_status(store: Store = None, as_json: Json = False, trace: Trace = False) -> int:
    """Show who works, and what waits for a worker."""
    from flujo.cli.config import load_config
    from flujo.cli.workers import show_status

    return show_status(load_config(store=store), as_json=as_json)


@schedule.command("add")
def schedule_add(
    target: Target,
    cron: Annotated[
        str, typer.Option("--cron", metavar="CRON", help="When: minute, hour, day, month, weekday.")
    ],
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="Its name; the pipeline's when left out.", show_default=False
        ),
    ] = None,
    timezone: Annotated[
        str, typer.Option("--timezone", "-z", metavar="ZONE", help="Whose hours they are.")
    ] = "UTC",
    input: InputText = None,
    missed: Annotated[
        str,
        typer.Option(
            "--missed",
            metavar="once|all|skip",
            help="What to do about times when no worker was there: one run for the last, one for each, none.",
        ),
    ] = "once",
    tenant: Annotated[str, typer.Option("--tenant", metavar="TENANT", help="On whose behalf.")] = "",
    priority: Priority = 0,
    store: Store = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """Let runs of a pipeline begin at set times.

    A worker that carries the pipeline begins them, each once, however many workers there are.
    """
    from flujo.cli.config import load_config
    from flujo.cli.schedules import add

    return add(
        load_config(store=store),
        target,
        cron=cron,
        name=name,
        timezone=timezone,
        given=input,
        missed=missed,
        tenant=tenant,
        priority=priority,
        as_json=as_json,
    )


@schedule.command("list")
def schedule_list(store: Store = None, as_json: Json = False, trace: Trace = False) -> int:
    """List the schedules, and when each begins a run next."""
    from flujo.cli.config import load_config
    from flujo.cli.schedules import show

    return show(load_config(store=store), as_json=as_json)


@schedule.command("pause")
def schedule_pause(
    name: ScheduleName, store: Store = None, as_json: Json = False, trace: Trace = False
) -> int:
    """Let it rest: no run begins."""
    from flujo.cli.config import load_config
    from flujo.cli.schedules import set_paused

    return set_paused(load_config(store=store), name, paused=True, as_json=as_json)


@schedule.command("resume")
def schedule_resume(
    name: ScheduleName, store: Store = None, as_json: Json = False, trace: Trace = False
) -> int:
    """Take it up again, from the next time on."""
    from flujo.cli.config import load_config
    from flujo.cli.schedules import set_paused

    return set_paused(load_config(store=store), name, paused=False, as_json=as_json)


@schedule.command("remove")
def schedule_remove(
    name: ScheduleName, store: Store = None, as_json: Json = False, trace: Trace = False
) -> int:
    """Remove it; runs that it began go on."""
    from flujo.cli.config import load_config
    from flujo.cli.schedules import remove

    return remove(load_config(store=store), name, as_json=as_json)


@store.command("status")
def store_status(store: Store = None, as_json: Json = False, trace: Trace = False) -> int:
    """Show how the store stands; changes nothing."""
    from flujo.cli.config import load_config
    from flujo.cli.store import show_status

    return show_status(load_config(store=store), as_json=as_json)


@store.command("migrate")
def store_migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether there is something to do: exit code 1.")
    ] = False,
    store: Store = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """Bring its tables to the newest version.

    Every command that writes does so by itself; this does it when you choose.
    """
    from flujo.cli.config import load_config
    from flujo.cli.store import migrate

    return migrate(load_config(store=store), check=check, as_json=as_json)


@store.command("backup")
def store_backup(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The file to write; it must not exist.", show_default=False)
    ],
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Do not audit the copy.")] = False,
    store: Store = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """Write a consistent copy, and audit it, while others go on writing.

    A copy is an SQLite store, also of a PostgreSQL one: every command reads it with --store FILE.
    """
    from flujo.cli.config import load_config
    from flujo.cli.store import backup

    return backup(load_config(store=store), file, check=not no_verify, as_json=as_json)


@store.command("gc")
def store_gc(
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="TIME", help="Ended before: 90d, 12w ago, or a date.")
    ],
    status: Annotated[
        list[str] | None,
        typer.Option(
            "--status",
            "-s",
            metavar="STATUS",
            help="Only of this status, once or more: completed, failed, cancelled, stopped.",
        ),
    ] = None,
    pipeline: Annotated[
        str, typer.Option("--pipeline", metavar="NAME", help="Only of the pipeline of this name.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it; otherwise it is only told.")] = False,
    store: Store = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """Remove the journals of runs that ended long ago.

    A tombstone of each stays, so that the audit still adds up and its name is not used again.
    """
    from flujo.cli.config import load_config
    from flujo.cli.store import prune

    return prune(
        load_config(store=store),
        older_than=older_than,
        status=status or (),
        pipeline=pipeline,
        sure=yes,
        as_json=as_json,
    )

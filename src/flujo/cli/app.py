"""The `flujo` command: its words, and what each of them calls.

Each command imports what it needs when it runs, so that `flujo --help` answers at once.
"""

from pathlib import Path
from typing import Annotated

import typer

from flujo.cli import agents, groups, operations, pasts, policies, servers
from flujo.cli.door import Door
from flujo.cli.options import (
    InputFile,
    InputLabels,
    InputText,
    InputWord,
    Json,
    Priority,
    Quiet,
    Store,
    Stream,
    Target,
    Trace,
)

app = typer.Typer(
    name="flujo",
    cls=Door,
    help="Run typed pipelines as durable, audited runs.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 waits for a person, 4 denied, 5 invalid pipeline, "
    "6 audit broken, 130 interrupted.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"flujo {version('flujo')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(  # pyright: ignore[reportUnusedFunction]  # typer calls it
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    groups.help_alone(context)


@app.command()
def run(
    target: Target,
    word: InputWord = None,
    input: InputText = None,
    input_file: InputFile = None,
    context: Annotated[
        str | None,
        typer.Option(
            "--context",
            metavar="JSON",
            help="The context to begin with; `@PATH` reads a file.",
            show_default=False,
        ),
    ] = None,
    run_id: Annotated[
        str | None,
        typer.Option(
            "--run-id",
            metavar="ID",
            help="The run's name: the same name twice is one run.",
            show_default=False,
        ),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Leave it to a worker, and print the run's id.")
    ] = False,
    input_label: InputLabels = None,
    tenant: Annotated[str, typer.Option("--tenant", metavar="TENANT", help="On whose behalf it runs.")] = "",
    priority: Priority = 0,
    quota: Annotated[
        str | None,
        typer.Option("--quota", metavar="refuse", help="Begin nothing that could exceed its quotas."),
    ] = None,
    durability: Annotated[
        str | None,
        typer.Option(
            "--durability", metavar="sync|async", help="When steps are on the disk.  [setting: durability]"
        ),
    ] = None,
    store: Store = None,
    as_json: Json = False,
    stream: Stream = False,
    quiet: Quiet = False,
    trace: Trace = False,
) -> int:
    """Run a pipeline, and record the run."""
    from flujo.cli.carry import Begun, Show, begin, run_target
    from flujo.cli.config import load_config
    from flujo.cli.inputs import Given

    config = load_config(store=store, durability=durability, trace=trace or None)
    show = Show.of(config, as_json=as_json, stream=stream, quiet=quiet)
    given = Given(word, input, input_file)
    begun = Begun(target, given, context, run_id, input_label or (), tenant, priority, quota)
    return begin(begun, config, show) if detach else run_target(begun, config, show)


@app.command()
def check(target: Target, as_json: Json = False, trace: Trace = False) -> int:
    """Check a pipeline; nothing runs.

    Lists every problem with its place and its remedy.
    """
    from flujo.cli import check
    from flujo.cli.config import load_config

    return check.check(target, load_config(), machine=as_json)


@app.command()
def show(
    target: Target,
    form: Annotated[
        str, typer.Option("--format", "-f", metavar="FORMAT", help="tree, mermaid, svg or json.")
    ] = "tree",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write it to a file instead of stdout.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    trace: Trace = False,
) -> int:
    """Draw a pipeline."""
    from flujo.cli import check
    from flujo.cli.config import load_config

    return check.show(target, load_config(), form="json" if as_json else form, file=output)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty.")] = False,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """Start a new project that runs.

    Writes a pipeline, its settings and its tests.
    """
    from flujo.cli.init import start_project

    return start_project(folder, force=force, as_json=as_json)


@app.command()
def doctor(store: Store = None, as_json: Json = False, trace: Trace = False) -> int:
    """Look whether everything is well.

    Looks at Python, the store, the settings, the extras and the terminal, and says what to mend.
    """
    from flujo.cli.doctor import examine

    return examine(store, as_json=as_json)


@app.command()
def demo(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="Invoices (PDF), or folders of them; the samples when left out."),
    ] = None,
    auto: Annotated[
        bool, typer.Option("--auto", help="A scripted reviewer decides, and is named as such.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where the results go.", show_default=False)
    ] = None,
    crash_after: Annotated[
        int | None, typer.Option("--crash-after", metavar="N", min=1, help="Kill this process after N steps.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Finish what an earlier call began.")] = False,
    limit: Annotated[
        str | None,
        typer.Option(
            "--limit", metavar="AMOUNT", help="Post a proved invoice up to this amount without a person."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="The model that reads documents.  [setting: model]"),
    ] = None,
    model_url: Annotated[
        str | None,
        typer.Option("--model-url", metavar="URL", help="An OpenAI-compatible server.  [setting: model_url]"),
    ] = None,
    store: Store = None,
    trace: Trace = False,
) -> int:
    """Process invoices: the demonstration.

    Reads each document, proves what was read, asks a person where in doubt, posts the rest, and audits
    the runs.
    """
    from flujo.cli.config import load_config
    from flujo.cli.demo import DemoOptions, run_demo

    config = load_config(store=store, model=model, model_url=model_url)
    return run_demo(
        DemoOptions(
            files=tuple(files or ()),
            auto=auto,
            out=out,
            crash_after=crash_after,
            resume=resume,
            store=_file(config.store) if config.typed("store") else None,
            limit=limit,
            model=config.text("model"),
            model_url=config.text("model_url"),
        )
    )


def _file(store: Path | str) -> Path:
    if isinstance(store, str):
        from flujo.errors import ConfigError

        raise ConfigError("the demonstration keeps its runs in a file", fix="name one with --store, or none")
    return store


app.add_typer(pasts.runs, name="runs")
app.add_typer(groups.approvals, name="approvals")
app.add_typer(operations.worker, name="worker")
app.add_typer(operations.schedule, name="schedule")
app.add_typer(servers.mcp, name="mcp")
app.add_typer(agents.agents, name="agents")
app.add_typer(operations.store, name="store")
app.add_typer(operations.budget, name="budget")
app.add_typer(policies.policy, name="policy")
app.add_typer(groups.audit, name="audit")
app.add_typer(groups.config, name="config")

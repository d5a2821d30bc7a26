"""The words of `flujo policy`: list, check, test, simulate, explain."""

from pathlib import Path
from typing import Annotated

import typer

from flujo.cli.groups import help_alone
from flujo.cli.options import Json, RunId, Store, Target, Trace

policy = typer.Typer(
    help="Check, test and try policies as code, and see which decided.",
    invoke_without_command=True,
    callback=help_alone,
    rich_markup_mode=None,
)

Policies = Annotated[
    Path,
    typer.Option("--policy", metavar="PATH", help="A folder with .cedar files, or one.", show_default=False),
]


@policy.command("list")
def policy_list(
    target: Annotated[
        str | None,
        typer.Argument(metavar="TARGET", help="A pipeline: its own policies as well.", show_default=False),
    ] = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """List the policies of the settings file, in the order in which they are asked.

    They judge all that the command runs. With a target, those of its runner and its steps follow.
    """
    from flujo.cli.config import load_config
    from flujo.cli.declared import list_policies

    return list_policies(load_config(), target, as_json=as_json)


@policy.command("check")
def policy_check(
    target: Target,
    policies: Policies,
    tool: Annotated[
        list[str] | None,
        typer.Option(
            "--tool",
            metavar="TARGET",
            help="A function that steps call by `info.do`, as `file.py:function`.",
        ),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the schema that they are checked by.")
    ] = False,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """Check policies against a pipeline; nothing runs.

    Names and types are checked by a schema made of the pipeline's plan.
    """
    from flujo.cli.config import load_config
    from flujo.cli.judging import check

    return check(target, load_config(), policies, tools=tool or (), schema=schema, as_json=as_json)


@policy.command("test")
def policy_test(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A YAML file of cases.", show_default=False)],
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """Run the test cases of policies.

    Each says what is given, and what is expected.
    """
    from flujo.cli.judging import test

    return test(file, as_json=as_json)


@policy.command("simulate")
def policy_simulate(
    policies: Policies,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help="Only the runs of this pipeline, their values of its types.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Begun since: 15m, 2h, 30d ago, or a date.")
    ] = None,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Which policy of the runs they stand for.")
    ] = "cedar",
    store: Store = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """Judge recorded runs anew by other policies.

    Lists what would be newly denied, asked or allowed, and rules that decided nothing; exits with 1 where
    anything changes. Not judged anew: what the journal does not hold, such as what was denied or redacted
    and what is said to models; and what enters a run besides its input, about which policies in Cedar are
    not asked. Both are counted.
    """
    from flujo.cli.config import load_config
    from flujo.cli.judging import try_on_runs

    config = load_config(store=store)
    return try_on_runs(config, policies, target=target, since=since, name=name, as_json=as_json)


@policy.command("explain")
def policy_explain(
    run: RunId,
    address: Annotated[
        str,
        typer.Argument(metavar="ADDRESS", help="Of a step, or of an effect in it.", show_default=False),
    ],
    store: Store = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """Say which policies decided at a place of a run.

    Their rules, versions and what they were shown, by hash.
    """
    from flujo.cli.config import load_config
    from flujo.cli.judging import explain

    return explain(load_config(store=store), run, address, as_json=as_json)

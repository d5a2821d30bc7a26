"""The commands about agents that ask models."""

from typing import Annotated

import typer

from flujo.cli.groups import help_alone
from flujo.cli.options import Json, Trace

agents = typer.Typer(
    help="See the roles of agents, and the agents of a pipeline.",
    invoke_without_command=True,
    callback=help_alone,
    rich_markup_mode=None,
)


@agents.command("list")
def agents_list(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help="The pipeline whose agents are listed; the roles, when left out.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """List the roles of agents, or the agents of a pipeline that ask models.

    Of each role: what makes it, its prompt's version, and what it gives. Of each agent: its model and tools.
    """
    from flujo.cli.config import load_config
    from flujo.cli.described import list_agents

    return list_agents(target, load_config(), as_json=as_json)


@agents.command("show")
def agents_show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="ROLE|TARGET",
            help="A role, as `classifier` or `ClassifierAgent`; or a pipeline.",
            show_default=False,
        ),
    ],
    address: Annotated[
        str | None,
        typer.Argument(
            metavar="ADDRESS", help="With a pipeline: the address of one of its steps.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """Show a role, or the agent of a step: its prompt, output schema, settings and tools."""
    from flujo.cli.config import load_config
    from flujo.cli.described import show_agent

    return show_agent(name, address, load_config(), as_json=as_json)

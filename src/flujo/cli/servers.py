"""The commands that serve pipelines to other programs."""

from typing import Annotated

import typer

from flujo.cli.groups import help_alone
from flujo.cli.options import Store, Trace

mcp = typer.Typer(
    help="Speak MCP, the Model Context Protocol.",
    invoke_without_command=True,
    callback=help_alone,
    rich_markup_mode=None,
)


@mcp.command("serve")
def mcp_serve(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET",
            help="The pipelines to offer; all of `[targets]` in flujo.toml when left out.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="PORT",
            min=0,
            max=65535,
            help="Serve over HTTP here, to clients that present the token in FLUJO_MCP_TOKEN.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="On this address.")] = "127.0.0.1",
    approvals: Annotated[
        bool, typer.Option("--approvals", help="Let clients list what waits for people, and answer it.")
    ] = False,
    ask: Annotated[
        bool, typer.Option("--ask/--no-ask", help="Ask people through clients that can show forms.")
    ] = True,
    tenant: Annotated[
        str, typer.Option("--tenant", metavar="TENANT", help="On whose behalf the runs go.")
    ] = "",
    store: Store = None,
    trace: Trace = False,
) -> int:
    """Offer pipelines as tools, over stdio or HTTP.

    Each call is a durable run. On stdout stands the protocol and nothing else.
    """
    from flujo.cli.config import load_config
    from flujo.cli.mcp import Terms, serve

    return serve(
        load_config(store=store, trace=trace or None),
        targets or (),
        Terms(host, port, approvals, ask, tenant),
    )

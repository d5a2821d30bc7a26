"""The commands on what runs did before: replayed, forked, compared, carried over to changed code."""

from typing import Annotated

import typer

from flujo.cli.groups import runs
from flujo.cli.options import Json, OtherTarget, RunId, Store, Trace

__all__ = ["runs"]


@runs.command("replay")
def runs_replay(
    run: RunId,
    target: OtherTarget = None,
    store: Store = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """Let a recorded run go by again.

    Nothing runs: every effect is answered from the journal. Exits with 1 where what comes out differs.
    """
    from flujo.cli.config import load_config
    from flujo.cli.replay import replay_run

    return replay_run(load_config(store=store), run, target=target, as_json=as_json)


@runs.command("diff")
def runs_diff(
    first: RunId,
    second: RunId,
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Show also what is the same, step by step.")
    ] = False,
    store: Store = None,
    as_json: Json = False,
    trace: Trace = False,
) -> int:
    """Compare two runs, step by step, by their journals alone.

    Outputs, context, cost, time and decisions. Exits with 1 where they differ in more than time.
    """
    from flujo.cli.config import load_config
    from flujo.cli.diff import diff_runs

    return diff_runs(load_config(store=store), first, second, everything=everything, as_json=as_json)

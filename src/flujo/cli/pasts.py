"""The commands on what runs did before: replayed, forked, compared, carried over to changed code."""

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

"""The workloads and the systems: what is measured, in which unit, and how each is found.

Every workload does the same visible work in every system: a step is `async def add(x): return x + 1`, so
what is measured is the system around it. Results are asserted in each round; a fast wrong answer fails.

In memory, nothing is stored:

- `chain_100`: one run of a pipeline of 100 steps, each taking the output of the one before.
- `chain_100_quota`: the same under a quota that counts its steps: what checking it costs.
- `chain_100_policy`: the same under one policy that allows every input and output: what the gate costs.
- `loop_1000`: one run whose single step is repeated 1,000 times by the system's own loop.
- `parallel_1000`: one run that fans out to 1,000 branches of one step and collects their outputs.
- `concurrent_1000`: 1,000 runs of a 10-step pipeline at the same time on one event loop.

- `stream_1000` and `stream_watched_1000`: 1,000 chunks pass three streaming steps, the next one made when the
  last is through, so that each travels alone; the unit is a chunk and a hop, which is to take at most 50 µs.
  `raw` nests three async generators, in one task and with no channel between. Watched, somebody is told each.
- `agent_20`: a conversation with a scripted model that calls a tool in each of 20 turns but the last. `raw`
  is bare pydantic-ai, so a ratio to `raw` is what the framework adds to a turn; it is to be at most 1.15.

Durable, in a SQLite file (`journal_mode=WAL`, `synchronous=FULL` for every system), each step committed
before the next one starts:

- `durable_sqlite_100`: `chain_100`, one run at a time.
- `durable_sqlite_100kb`: the same with a context that holds a text of 100 KB and a counter; each step
  changes the counter only.
- `durable_concurrent_sqlite`: `concurrent_1000`, durable.
- `resume_1000`: a run stopped after 1,000 recorded steps is resumed from the file and does the one step
  that is missing. The file is open and the pipeline is built before the clock starts.
- `resume_10000`: the same after 10,000 steps.
- `agent_sqlite_20`: `agent_20`, durable: a turn records a request and a tool call. It is to take at most what
  it takes bare, and four plain commits: see `benchmarks.turn`, where all of them take turns in one process.
  `raw` is bare pydantic-ai whose conversation is written down once, at its end.
- `pause_resume_1000`: 1,000 runs at once ask a person and stop; then all 1,000 are answered and end.

Durable, in a PostgreSQL server on the same machine (its defaults, on disk), whose own CPU is not counted:

- `durable_postgres_100`, `durable_postgres_100kb`, `durable_concurrent_postgres` and
  `pause_resume_1000_postgres`: as their namesakes. `raw` is one `INSERT` and commit a step by asyncpg, and
  for concurrent runs many rows in one.

Starting up:

- `import`: a new interpreter imports what a user needs to define and run a pipeline, and exits. For `raw`
  it imports nothing, so a ratio to `raw` is a ratio to a bare interpreter.
"""

from dataclasses import dataclass
from typing import Literal

Database = Literal["", "sqlite", "postgres"]
Unit = Literal["step", "turn", "branch", "chunk and hop", "run", "run resumed", "import"]


@dataclass(frozen=True, slots=True)
class Workload:
    """One thing to measure.

    Args:
        function: the name of the coroutine function that every system module has for it.
        size: steps, turns, branches or runs, handed to that function.
        unit: what the reported times are per.
        database: what is written, if anything; of a SQLite file, syncs, bytes and rows are counted.
    """

    function: str
    size: int
    unit: Unit
    database: Database = ""


@dataclass(frozen=True, slots=True)
class System:
    """A library to measure.

    Args:
        distribution: the name that its version is found by; None for the interpreter itself.
        package: the import of its bare package, which may load next to nothing.
        statement: the import that its users begin with.
    """

    distribution: str | None
    package: str
    statement: str


WORKLOADS: dict[str, Workload] = {
    "chain_100": Workload("chain", 100, "step"),
    "chain_100_quota": Workload("chain_quota", 100, "step"),
    "chain_100_policy": Workload("chain_policy", 100, "step"),
    "loop_1000": Workload("loop", 1000, "turn"),
    "parallel_1000": Workload("parallel", 1000, "branch"),
    "concurrent_1000": Workload("concurrent", 1000, "step"),
    "stream_1000": Workload("stream", 1000, "chunk and hop"),
    "stream_watched_1000": Workload("stream_watched", 1000, "chunk and hop"),
    "agent_20": Workload("agent", 20, "turn"),
    "durable_sqlite_100": Workload("durable", 100, "step", "sqlite"),
    "durable_sqlite_100kb": Workload("durable_context", 100, "step", "sqlite"),
    "durable_concurrent_sqlite": Workload("durable_concurrent", 1000, "step", "sqlite"),
    "resume_1000": Workload("resume", 1000, "run resumed", "sqlite"),
    "resume_10000": Workload("resume", 10_000, "run resumed", "sqlite"),
    "agent_sqlite_20": Workload("durable_agent", 20, "turn", "sqlite"),
    "pause_resume_1000": Workload("pause_resume", 1000, "run", "sqlite"),
    "durable_postgres_100": Workload("durable", 100, "step", "postgres"),
    "durable_postgres_100kb": Workload("durable_context", 100, "step", "postgres"),
    "durable_concurrent_postgres": Workload("durable_concurrent", 1000, "step", "postgres"),
    "pause_resume_1000_postgres": Workload("pause_resume", 1000, "run", "postgres"),
    "import": Workload("import", 1, "import"),
}

SYSTEMS: dict[str, System] = {
    "flujo": System("flujo", "import flujo", "from flujo import Flujo, step"),
    "raw": System(None, "pass", "pass"),
    "burr": System("apache-burr", "import burr", "from burr.core import ApplicationBuilder, action"),
    "pydantic_graph": System(
        "pydantic-graph", "import pydantic_graph", "from pydantic_graph import GraphBuilder"
    ),
    "langgraph": System("langgraph", "import langgraph", "from langgraph.graph import StateGraph"),
    "dbos": System("dbos", "import dbos", "from dbos import DBOS"),
}

SCALING: dict[str, Workload] = {
    name: WORKLOADS[name]
    for name in (
        "chain_100",
        "loop_1000",
        "parallel_1000",
        "durable_sqlite_100",
        "durable_sqlite_100kb",
        "resume_1000",
    )
}
"""The workloads whose cost per unit must not grow with their size."""

STEPS_PER_CONCURRENT_RUN = 10

"""One measurement in one process: `python -m benchmarks.measure SYSTEM WORKLOAD` prints one JSON object.

CPU is `time.process_time`: user and system time of all threads of the process, so that work which a
library moves to a thread still counts. Wall time is `time.perf_counter`. The peak of resident memory is the
whole process's, imports included. Garbage collection stays on, as it is for users.
"""

import argparse
import asyncio
import gc
import importlib
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from benchmarks.server import database
from benchmarks.workloads import SYSTEMS, WORKLOADS, System

if TYPE_CHECKING:
    from cProfile import Profile

MOST_ROUNDS = 2_000
IMPORTS_PER_PROCESS = 3


class Unsupported(Exception):
    """The system has no such feature, or is not installed; the message says which."""


class Meter:
    """Hands rounds to a workload and times the parts it marks.

    Args:
        folder: where the workload may put its database.
        url: the PostgreSQL database that it writes to; empty for one in the folder.
        seconds: no further round begins once this long has passed since the first counted one.
        rounds: exactly so many counted rounds instead, for what is a difference of two such processes.
        kilobytes: the weight of the text that a context carries, in thousands of characters.
        profile: a profiler to switch on in the timed parts, which makes the times useless.
    """

    def __init__(
        self,
        folder: Path,
        *,
        url: str = "",
        seconds: float = 0.15,
        rounds: int | None = None,
        kilobytes: int = 100,
        profile: "Profile | None" = None,
    ) -> None:
        self.database = folder / "bench.db"
        self.url = url
        self.text = "The text of a long document, in lines of fifty ch\n" * (kilobytes * 20)
        self.cpu = 0.0
        self.wall = 0.0
        self.units = 0
        self._seconds = seconds
        self._rounds = rounds
        self._profile = profile
        self._counting = False

    def rounds(self) -> Iterator[int]:
        """Yield 0 for a round that warms up and is not counted, then 1, 2, … for those that are."""
        yield 0
        gc.collect()
        self._counting = True
        begin = time.perf_counter()
        for number in range(1, (self._rounds or MOST_ROUNDS) + 1):
            yield number
            if self._rounds is None and time.perf_counter() - begin >= self._seconds:
                break

    def sizes(self, size: int) -> Iterator[int]:
        """Yield a tenth of the size to warm up, then the size for each round that is counted."""
        for number in self.rounds():
            yield size if number else max(1, size // 10)

    def timed(self, units: int) -> AbstractContextManager[object]:
        """Time the body of a `with`, which does so many units of work."""
        return _Timed(self, units, self._profile) if self._counting else _Untimed()


class _Untimed:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


class _Timed:
    __slots__ = ("_cpu", "_meter", "_profile", "_units", "_wall")

    def __init__(self, meter: Meter, units: int, profile: "Profile | None") -> None:
        self._meter = meter
        self._units = units
        self._profile = profile

    def __enter__(self) -> Self:
        if self._profile is not None:
            self._profile.enable()
        self._wall = time.perf_counter()
        self._cpu = time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        cpu = time.process_time() - self._cpu
        wall = time.perf_counter() - self._wall
        if self._profile is not None:
            self._profile.disable()
        self._meter.cpu += cpu
        self._meter.wall += wall
        self._meter.units += self._units


def main() -> None:
    """Measure once and print the result; `{"skip": reason}` where the system cannot do the workload."""
    arguments = _arguments()
    system = SYSTEMS[arguments.system]
    try:
        found: dict[str, object] = {"version": _version(arguments.system, system)}
        if arguments.workload == "import":
            found |= measure_import(system)
        else:
            found |= measure(arguments)
    except Unsupported as reason:
        found = {"skip": str(reason)}
    print(json.dumps(found))


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    """Run one workload of one system in this process.

    Raises:
        Unsupported: the system has no such feature or is not installed.
    """
    workload = WORKLOADS[arguments.workload]
    module = importlib.import_module(f"benchmarks.systems.{arguments.system}")
    if reason := module.UNSUPPORTED.get(workload.function) or module.UNSUPPORTED.get(workload.database):
        raise Unsupported(reason)
    run = getattr(module, workload.function, None)
    if run is None:
        raise Unsupported(f"it has nothing like `{workload.function}`")
    profile = _profile() if arguments.calls else None
    server = database(arguments.server) if workload.database == "postgres" else nullcontext("")
    with (
        tempfile.TemporaryDirectory(
            prefix="flujo-bench-", dir=arguments.dir, ignore_cleanup_errors=True
        ) as folder,
        server as url,
    ):
        meter = Meter(
            Path(folder),
            url=url,
            seconds=arguments.seconds,
            rounds=arguments.rounds,
            kilobytes=arguments.kilobytes,
            profile=profile,
        )
        asyncio.run(run(meter, arguments.size or workload.size))
        found: dict[str, object] = {
            "units": meter.units,
            "cpu_us": meter.cpu / meter.units * 1e6,
            "wall_us": meter.wall / meter.units * 1e6,
            "peak_rss_mb": peak_rss_mb(),
        }
        if meter.database.exists():
            found |= stored(meter.database)
    if profile is not None:
        found["calls"] = _calls(profile, meter.units, arguments.top)
    return found


def measure_import(system: System) -> dict[str, object]:
    """Time new interpreters that import what users begin with, and the bare package beside it."""
    begun = _start(system.statement)
    bare = _start(system.package)
    return {
        "units": IMPORTS_PER_PROCESS,
        **begun,
        "bare_cpu_us": bare["cpu_us"],
        "bare_modules": bare["modules"],
    }


def _start(statement: str) -> dict[str, float]:
    """The whole life of an interpreter that runs one statement: CPU and wall time, most memory, modules."""
    command = [sys.executable, "-c", statement]
    cpu = wall = peak = 0.0
    for number in range(IMPORTS_PER_PROCESS + 1):
        begin = time.perf_counter()
        child = os.posix_spawn(command[0], command, os.environ)
        _, status, usage = os.wait4(child, 0)
        if status != 0:
            raise RuntimeError(f"`{statement}` fails")
        if number > 0:  # the first one may still write byte code
            wall += time.perf_counter() - begin
            cpu += usage.ru_utime + usage.ru_stime
            peak = max(peak, _megabytes(usage))
    probe = f"{statement}\nimport os, sys\nprint(len(sys.modules))\n{_PRINT_STATUS}"
    printed = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    modules, *status_lines = printed.stdout.splitlines()
    return {
        "cpu_us": cpu / IMPORTS_PER_PROCESS * 1e6,
        "wall_us": wall / IMPORTS_PER_PROCESS * 1e6,
        "peak_rss_mb": _high_water(status_lines) or peak,
        "modules": int(modules),
    }


_PRINT_STATUS = "if os.path.exists('/proc/self/status'): print(*open('/proc/self/status'))"


def peak_rss_mb() -> float:
    """The most memory this process has held, in MiB.

    Linux counts in `ru_maxrss` what a process held before `exec`, hence its other counter first.
    """
    status = Path("/proc/self/status")
    held = _high_water(status.read_text().splitlines()) if status.exists() else 0.0
    return held or _megabytes(resource.getrusage(resource.RUSAGE_SELF))


def _high_water(status: list[str]) -> float:
    for line in status:
        if line.strip().startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def _megabytes(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)


def stored(database: Path) -> dict[str, int]:
    """The bytes and rows that a database holds once its write-ahead log is folded in."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        tables = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
        ]
        rows = sum(connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0] for table in tables)
    return {"bytes": database.stat().st_size, "rows": rows}


def _version(name: str, system: System) -> str:
    if system.distribution is None:
        return f"Python {sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    try:
        return version(system.distribution)
    except PackageNotFoundError as error:
        raise Unsupported(f"{name} is not installed (dependency group `bench`)") from error


def _profile() -> "Profile":
    from cProfile import Profile

    return Profile()


def _calls(profile: "Profile", units: int, top: int) -> dict[str, object]:
    """Calls of Python and built-in functions per unit, in the main thread, and the most called of them."""
    import pstats

    # Statistics by function: primitive calls, calls, own seconds, seconds with callees, callers.
    functions: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = vars(
        pstats.Stats(profile)
    )["stats"]
    most_called = sorted(functions.items(), key=lambda item: -item[1][1])
    return {
        "per_unit": sum(calls for _, calls, *_ in functions.values()) / units,
        "top": [
            {
                "calls": calls / units,
                "own_us": own / units * 1e6,
                "function": f"{'/'.join(Path(file).parts[-3:])}:{line}:{name}" if line else name,
            }
            for (file, line, name), (_, calls, own, _, _) in most_called[:top]
        ],
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--size", type=int, help="other than the workload's own size")
    parser.add_argument("--seconds", type=float, default=0.15, help="how long to go on with rounds")
    parser.add_argument("--rounds", type=int, help="count exactly so many rounds")
    parser.add_argument("--kilobytes", type=int, default=100, help="the weight of a context")
    parser.add_argument("--calls", action="store_true", help="count function calls instead of time")
    parser.add_argument("--top", type=int, default=0, help="with --calls, name the most called functions")
    parser.add_argument("--server", default="", help="the URL of the PostgreSQL server")
    parser.add_argument("--dir", help="where databases are put (default: the system's temporary folder)")
    return parser.parse_args()


if __name__ == "__main__":
    main()

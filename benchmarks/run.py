"""Measure Flujo beside other libraries and plain asyncio: `python -m benchmarks --help`.

Each repeat of each system is a process of its own (`benchmarks.measure`) with the same environment, and the
systems take turns within a workload, so that a machine that warms up or gets busy does so for all of them.
What is reported is the median over the repeats.

The CPU of durable workloads is measured with the database in memory (`/dev/shm`, where there is one), their
wall time and rate with it on the disk of the temporary folder: a disk's driver can cost several times what
the library does, differs between machines, and is the same for everybody per sync. Both are in
`details.json`, and so is how often each system syncs. `--dir` measures everything in a folder of your choice.

Output: a table on standard output, `results/latest.json` with exactly the keys of `Row`, and
`results/details.json` with calls, syncs, bytes and rows.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

ROOT = Path(__file__).resolve().parent.parent
if __package__ in (None, ""):  # started as a file
    sys.path.insert(0, str(ROOT))

from benchmarks.report import print_details, print_profile, print_results, print_scaling  # noqa: E402
from benchmarks.server import serving  # noqa: E402
from benchmarks.workloads import SCALING, SYSTEMS, WORKLOADS  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
MEMORY = Path("/dev/shm")
SLOW, VERY_SLOW = 6.0, 30.0
"""A repeat that takes longer than these seconds is followed by one more, or by none."""
DISK_REPEATS = 2
SCALING_SIZES = (50, 500, 5_000)
SCALING_KILOBYTES = (10, 100, 1_000)

Found = dict[str, Any]


class Row(TypedDict):
    """One line of `latest.json`; times are per unit of the workload."""

    workload: str
    system: str
    version: str
    cpu_us: float
    wall_us: float
    per_second: float
    peak_rss_mb: float
    repeats: int


class Failed(Exception):
    """A measuring process ended with an error; the message is its last words."""


def main() -> None:
    """Measure what the command line asks for, print it and write it down."""
    options = _options()
    RESULTS.mkdir(exist_ok=True)
    if options.profile:
        print_profile(options.profile, {system: _count_calls(system, options) for system in options.only})
        return
    if options.scaling:
        scaling = measure_scaling(options)
        (RESULTS / "scaling.json").write_text(json.dumps(scaling, indent=1) + "\n")
        print_scaling(scaling)
        return
    with _server(options):
        rows, details, left_out, failures = measure_all(options)
    (RESULTS / "latest.json").write_text(json.dumps(rows, indent=1) + "\n")
    (RESULTS / "details.json").write_text(json.dumps(details, indent=1) + "\n")
    print_results(rows)
    print_details(details)
    for reason in (*left_out, *failures):
        print(reason)
    sys.exit(1 if failures else 0)


@contextmanager
def _server(options: argparse.Namespace) -> Generator[None]:
    """Serve PostgreSQL for the workloads that write to it."""
    options.server = ""
    if not any(WORKLOADS[workload].database == "postgres" for workload in options.workloads):
        yield
        return
    with serving(options.dir) as options.server:
        yield


def measure_all(options: argparse.Namespace) -> tuple[list[Row], list[Found], list[str], list[str]]:
    """Every chosen workload of every chosen system; what a system cannot do is left out with its reason."""
    rows: list[Row] = []
    details: list[Found] = []
    left_out: list[str] = []
    failures: list[str] = []
    for workload in options.workloads:
        repeats: dict[str, list[Found]] = {system: [] for system in options.only}
        for number in range(options.repeats):
            for system in list(repeats):
                if number >= _most_repeats(repeats[system]):
                    continue
                try:
                    found = _measure(system, workload, options, also_on_disk=number < DISK_REPEATS)
                except Failed as error:
                    failures.append(f"FAILED {system} {workload}: {error}")
                    del repeats[system]
                    continue
                if "skip" in found:
                    left_out.append(f"left out: {system} {workload}: {found['skip']}")
                    del repeats[system]
                    continue
                repeats[system].append(found)
                _tell(f"{workload} {system} {number + 1}/{options.repeats}: {found['cpu_us']:,.2f} µs CPU")
        for system, found in repeats.items():
            row = _median(system, workload, found)
            rows.append(row)
            if options.details:
                details.append(_details(row, found, options))
    return rows, details, left_out, failures


def _most_repeats(so_far: list[Found]) -> int:
    if not so_far or so_far[0]["seconds"] <= SLOW:
        return sys.maxsize
    return 2 if so_far[0]["seconds"] <= VERY_SLOW else 1


def _measure(system: str, workload: str, options: argparse.Namespace, *, also_on_disk: bool) -> Found:
    """One repeat; one that writes a file is measured in memory, and the first few on disk as well."""
    begin = time.monotonic()
    database = WORKLOADS[workload].database
    if database == "postgres":
        found = _worker(system, workload, "--server", options.server)
    elif not database or options.dir or not MEMORY.is_dir():
        found = _worker(system, workload, folder=options.dir)
    else:
        found = _worker(system, workload, folder=MEMORY)
        found["memory_wall_us"] = found.pop("wall_us", None)
        if also_on_disk and "skip" not in found:
            on_disk = _worker(system, workload)
            found |= {"wall_us": on_disk["wall_us"], "disk_cpu_us": on_disk["cpu_us"]}
    return found | {"seconds": time.monotonic() - begin}


def _median(system: str, workload: str, repeats: list[Found]) -> Row:
    wall_us = _middle(repeats, "wall_us")
    return {
        "workload": workload,
        "system": system,
        "version": repeats[0]["version"],
        "cpu_us": round(_middle(repeats, "cpu_us"), 3),
        "wall_us": round(wall_us, 3),
        "per_second": round(1e6 / wall_us, 1),
        "peak_rss_mb": round(_middle(repeats, "peak_rss_mb"), 1),
        "repeats": len(repeats),
    }


def _middle(repeats: list[Found], key: str) -> float:
    return statistics.median(each[key] for each in repeats if key in each)


def _details(row: Row, repeats: list[Found], options: argparse.Namespace) -> Found:
    """What is counted instead of timed; `None` where it cannot be."""
    system, workload = row["system"], row["workload"]
    details: Found = {"workload": workload, "system": system, "unit": WORKLOADS[workload].unit}
    for key in ("disk_cpu_us", "memory_wall_us", "modules", "bare_cpu_us", "bare_modules"):
        if key in repeats[0]:
            details[key] = round(_middle(repeats, key), 3)
    details["cpu_us_of_each"] = [round(each["cpu_us"], 3) for each in repeats]
    if workload == "import":
        return details
    _tell(f"{workload} {system}: counting")
    try:
        # Where a process takes long, a tenth of the size tells as much.
        size = WORKLOADS[workload].size // (10 if repeats[0]["seconds"] > SLOW else 1)
        counted = _worker(system, workload, "--calls", "--server", options.server, rounds=1, size=size)
        details["calls"] = round(counted["calls"]["per_unit"], 1)
        resumed = WORKLOADS[workload].function == "resume"  # it records a run in each round
        if WORKLOADS[workload].database == "sqlite" and not resumed:
            details |= _count_stored(system, workload, size, options.dir)
    except Failed as error:
        details["failed"] = str(error)
    return details


def _count_stored(system: str, workload: str, size: int, folder: Path | None) -> Found:
    """Syncs, bytes and rows per unit: the difference between many rounds and one, so without the set-up."""
    many = 6 if size <= 100 else 2  # pages of a file are coarse beside a run of 100 steps
    one, more = (
        _worker(system, workload, rounds=rounds, size=size, folder=folder, syncs=True) for rounds in (1, many)
    )
    units = more["units"] - one["units"]
    return {
        key: None if one.get(key) is None else round((more[key] - one[key]) / units, 3)
        for key in ("fsyncs", "bytes", "rows")
    }


def _worker(
    system: str,
    workload: str,
    *arguments: str,
    folder: Path | None = None,
    rounds: int | None = None,
    size: int | None = None,
    syncs: bool = False,
) -> Found:
    """One process of `benchmarks.measure`.

    Raises:
        Failed: it ended with an error.
    """
    command = [sys.executable, "-m", "benchmarks.measure", system, workload, *arguments]
    for option, value in (("--dir", folder), ("--rounds", rounds), ("--size", size)):
        if value is not None:
            command += [option, str(value)]
    with tempfile.NamedTemporaryFile("r") as counts:
        strace = shutil.which("strace") if syncs else None
        if strace:
            command = [strace, "-f", "-c", "-e", "trace=fsync,fdatasync", "-o", counts.name, *command]
        process = subprocess.run(
            command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False
        )
        if process.returncode != 0:
            raise Failed(" | ".join(process.stderr.strip().splitlines()[-2:]) or f"exit {process.returncode}")
        found: Found = json.loads(process.stdout.splitlines()[-1])
        found["fsyncs"] = _syncs(counts.read()) if strace else None
    return found


def _syncs(counted: str) -> int:
    """The calls in strace's summary, whose lines are `% time, seconds, µs per call, calls, errors, name`."""
    lines = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+).*\bf(?:data)?sync$", counted, re.MULTILINE)
    return sum(int(calls) for calls in lines)


def _environment() -> dict[str, str]:
    """The same for every system: no tracing to anywhere, no settings of the caller, byte code cached."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LANG", "DBOS", "BURR", "FLUJO", "LOGFIRE", "OTEL", "PYTHON"))
    }
    return kept | {"PYTHONHASHSEED": "0", "LANGSMITH_TRACING": "false"}


def measure_scaling(options: argparse.Namespace) -> list[Found]:
    """CPU per unit at growing sizes, which ought to stay level."""
    points: list[tuple[str, str, int, tuple[str, ...]]] = [
        (workload, WORKLOADS[workload].unit, size, ("--size", str(size)))
        for workload in SCALING
        for size in SCALING_SIZES
    ]
    points += [
        ("durable_sqlite_100kb", "KB of context", kilobytes, ("--kilobytes", str(kilobytes)))
        for kilobytes in SCALING_KILOBYTES
    ]
    folder = options.dir or (MEMORY if MEMORY.is_dir() else None)
    scaling: list[Found] = []
    for system in options.only:
        for workload, grows, size, arguments in points:
            _tell(f"{system} {workload} at {size:,} {grows}")
            try:
                found = [
                    _worker(system, workload, *arguments, folder=folder)
                    for _ in range(min(options.repeats, 3))
                ]
            except Failed as error:
                _tell(f"FAILED: {error}")
                continue
            if "skip" in found[0]:
                continue
            cpu_us = _middle(found, "cpu_us") / (size if workload.startswith("resume") else 1)
            scaling.append(
                {
                    "system": system,
                    "workload": workload,
                    "grows": grows,
                    "size": size,
                    "cpu_us": round(cpu_us, 3),
                }
            )
    return scaling


def _count_calls(system: str, options: argparse.Namespace) -> Found:
    return _worker(system, options.profile, "--calls", "--top", "30", rounds=1, folder=options.dir)


def _tell(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument(
        "--only", type=_among(SYSTEMS), help=f"systems, with commas between ({', '.join(SYSTEMS)})"
    )
    parser.add_argument(
        "--workloads", type=_among(WORKLOADS), default=list(WORKLOADS), help="with commas between"
    )
    parser.add_argument("--repeats", type=int, default=3, help="processes per system and workload (3)")
    parser.add_argument("--dir", type=Path, help="where databases are put, for CPU and wall time alike")
    parser.add_argument(
        "--no-details", dest="details", action="store_false", help="count no calls, syncs or bytes"
    )
    parser.add_argument(
        "--scaling", action="store_true", help="CPU per unit at growing sizes (default: flujo only)"
    )
    parser.add_argument(
        "--profile", choices=WORKLOADS, help="calls per unit by function (default: flujo only)"
    )
    options = parser.parse_args()
    if options.only is None:
        options.only = ["flujo"] if options.scaling or options.profile else list(SYSTEMS)
    return options


def _among(known: Iterable[str]):
    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is none of {', '.join(known)}")
        return names

    return parse


if __name__ == "__main__":
    main()

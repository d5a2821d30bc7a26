"""Tables of what was measured, in plain text, so that they can be pasted anywhere."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.workloads import WORKLOADS

Found = Mapping[str, Any]


def print_results(rows: Sequence[Found]) -> None:
    """Times and rates; the last column compares CPU with plain asyncio and sqlite3."""
    raw = {row["workload"]: row["cpu_us"] for row in rows if row["system"] == "raw"}
    table = [
        (
            "workload",
            "per",
            "system",
            "version",
            "CPU µs",
            "wall µs",
            "per second",
            "peak MB",
            "repeats",
            "× raw",
        )
    ]
    for row in rows:
        floor = raw.get(row["workload"])
        table.append(
            (
                row["workload"],
                WORKLOADS[row["workload"]].unit,
                row["system"],
                row["version"],
                _number(row["cpu_us"]),
                _number(row["wall_us"]),
                _number(row["per_second"]),
                _number(row["peak_rss_mb"]),
                str(row["repeats"]),
                _number(row["cpu_us"] / floor) if floor else "",
            )
        )
    print_table(table, left=4)


def print_details(details: Sequence[Found]) -> None:
    """What was counted, per unit."""
    keys = ("calls", "fsyncs", "bytes", "rows", "disk_cpu_us", "modules", "bare_modules", "bare_cpu_us")
    keys = tuple(key for key in keys if any(key in row for row in details))
    counted = [row for row in details if any(key in row for key in keys)]
    if counted:
        print()
        table = [("workload", "per", "system", *keys)]
        table += [
            (row["workload"], row["unit"], row["system"], *(_number(row.get(key)) for key in keys))
            for row in counted
        ]
        print_table(table, left=3)


def print_scaling(scaling: Sequence[Found]) -> None:
    """One line per thing that grows, with the cost per unit at each size and last against first."""
    lines: dict[tuple[str, str, str], list[Found]] = {}
    for point in scaling:
        lines.setdefault((point["system"], point["workload"], point["grows"]), []).append(point)
    table = [("system", "workload", "growing", "CPU µs per unit at each size", "last/first")]
    for (system, workload, grows), points in lines.items():
        costs = ", ".join(f"{point['size']:,}: {_number(point['cpu_us'])}" for point in points)
        table.append((system, workload, grows, costs, _number(points[-1]["cpu_us"] / points[0]["cpu_us"])))
    print_table(table, left=4)


def print_profile(workload: str, found: Mapping[str, Found]) -> None:
    """The functions called most, per unit of the workload, by system."""
    for system, result in found.items():
        if "skip" in result:
            print(f"{system} {workload}: {result['skip']}")
            continue
        unit, calls = WORKLOADS[workload].unit, result["calls"]
        print(f"{system} {workload}: {_number(calls['per_unit'])} calls per {unit} in the main thread\n")
        table = [("calls", "own µs", "function")]
        table += [
            (_number(each["calls"]), _number(each["own_us"]), each["function"]) for each in calls["top"]
        ]
        print_table([row[::-1] for row in table], left=1)


def print_table(table: Sequence[Sequence[str]], *, left: int) -> None:
    """Print rows under their headings, the first columns to the left and numbers to the right."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    groups = len({row[0] for row in table[1:]})
    apart = 1 < groups < len(table) - 1
    above = None
    for number, row in enumerate(table):
        if apart and number > 1 and row[0] != above:
            print()
        above = row[0]
        cells = (
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"

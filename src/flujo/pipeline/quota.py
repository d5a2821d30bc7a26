"""Quotas: how much may be spent, on what, by whom, in which time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Literal, cast, final, get_args

from flujo.errors import PipelineError
from flujo.pipeline.checks import Kind
from flujo.pipeline.checks import seconds as checked_seconds
from flujo.pipeline.info import Usage

Meter = Literal["usd", "input_tokens", "output_tokens", "requests", "tool_calls", "steps", "seconds"]
METERS: tuple[Meter, ...] = get_args(Meter)
"""What can be limited, in the order of :data:`Amounts`."""
Per = Literal["hour", "day", "week", "month"]
Of = Literal["run", "pipeline", "tenant"]
Amounts = tuple[int, ...]
"""Whole numbers, one for each meter: money in trillionths of a dollar, time in microseconds."""

STEPS, TIME = METERS.index("steps"), METERS.index("seconds")
SCALES: Mapping[Meter, int] = {"usd": 12, "seconds": 6}
"""How many decimal places an amount has."""
MOST = 2**62
"""The largest amount that accounts can hold: of money, about 4.6 million dollars."""
NOTHING: Amounts = (0,) * len(METERS)


@final
@dataclass(frozen=True, slots=True, init=False)
class Quota(metaclass=Kind):
    """The most that may be spent: of money, tokens, requests, tool calls, steps, or seconds of work.

    It is given to a runner, for whole runs; to a step; or to any part of a pipeline, by ``node.within(…)``.
    Of several that hold at one place, the tightest wins. Inside a loop or a map a quota counts for each turn
    or item; around it, for all of them.

    Before an attempt of a step begins, its upper bound is reserved, and settled afterwards to what it cost:
    what is spent and reserved never exceeds the limit, over parallel branches and processes, whichever of
    them dies.

    Args:
        usd: Money, in US dollars: a Decimal, a text or a whole number.
        input_tokens: Tokens sent to models.
        output_tokens: Tokens received from them.
        requests: Requests to models.
        tool_calls: Calls of tools.
        steps: Attempts of steps.
        seconds: Working time: of steps that run side by side, each counts. A step is stopped where it runs
            out.
        per: The window, by the calendar in UTC, after which counting begins anew.
        of: Whose spending is counted: each run's own (what is meant when left out), all runs' of the pipeline
            (what is meant with ``per``), or all runs' of the run's tenant. What is counted over runs is kept
            in the store.

    Raises:
        PipelineError: It limits nothing, or a setting cannot work.

    Example:
        >>> from flujo import Quota
        >>> Quota(usd="2.50", requests=100)
        Quota(usd=Decimal('2.50'), requests=100)
    """

    limits: Mapping[Meter, int]
    per: Per | None
    of: Of

    def __init__(
        self,
        *,
        usd: Decimal | str | int | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        requests: int | None = None,
        tool_calls: int | None = None,
        steps: int | None = None,
        seconds: float | timedelta | None = None,
        per: Per | None = None,
        of: Of | None = None,
    ) -> None:
        counts: dict[Meter, int | None] = {
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "requests": requests,
            "tool_calls": tool_calls,
            "steps": steps,
        }
        limits: dict[Meter, int] = {} if usd is None else {"usd": _money(usd)}
        limits |= {meter: _count(meter, count) for meter, count in counts.items() if count is not None}
        if seconds is not None:
            limits["seconds"] = round(checked_seconds(seconds, "Quota, seconds") * 1e6)
        if not limits:
            raise PipelineError("Quota() limits nothing", fix="pass usd=, requests=, steps= or another limit")
        if per not in (None, *get_args(Per)):
            raise PipelineError(f"Quota(per={per!r})", fix='use "hour", "day", "week" or "month"')
        if of not in (None, *get_args(Of)):
            raise PipelineError(f"Quota(of={of!r})", fix='use "run", "pipeline" or "tenant"')
        if per is not None and of == "run":
            raise PipelineError(
                f'Quota(per={per!r}, of="run"): a window counts over runs',
                fix='use of="pipeline" or of="tenant", or leave per= out',
            )
        of = of or ("run" if per is None else "pipeline")
        if of != "run" and seconds is not None:
            raise PipelineError(
                f"Quota(seconds={seconds!r}, of={of!r}): time is counted within one run",
                fix="give it a quota of its own, without per= and of=",
            )
        object.__setattr__(self, "limits", limits)
        object.__setattr__(self, "per", per)
        object.__setattr__(self, "of", of)

    @property
    def is_shared(self) -> bool:
        """Whether it counts over runs, so that it is kept in the store."""
        return self.of != "run"

    def __hash__(self) -> int:
        return hash((tuple(self.limits.items()), self.per, self.of))

    def __repr__(self) -> str:
        shown = [f"{meter}={in_units(meter, limit)!r}" for meter, limit in self.limits.items()]
        if self.per is not None:
            shown.append(f"per={self.per!r}")
        if self.is_shared:
            shown.append(f"of={self.of!r}")
        return f"Quota({', '.join(shown)})"


def checked_quotas(given: object, place: str) -> tuple[Quota, ...]:
    """Return one quota or several as they are kept.

    Raises:
        PipelineError: It is something else.
    """
    if given is None:
        return ()
    several = tuple(cast("Iterable[object]", given)) if isinstance(given, list | tuple) else (given,)
    quotas = tuple(one for one in several if isinstance(one, Quota))
    if len(quotas) < len(several):
        raise PipelineError(f"{place}={given!r} is no quota", fix="pass Quota(usd=…), or a list of quotas")
    return quotas


def checked_bound(given: object, place: str) -> Usage | None:
    """Return what an attempt costs at most.

    Raises:
        PipelineError: It is no usage, or none that can be counted.
    """
    if given is None:
        return None
    if not isinstance(given, Usage):
        raise PipelineError(f"{place}={given!r} is no usage", fix="pass Usage(requests=1, …)")
    amounts(given)
    return given


def amounts(usage: Usage) -> Amounts:
    """Return a usage as whole numbers.

    Raises:
        PipelineError: Its cost is no Decimal, negative, or finer than a trillionth of a dollar.
    """
    return (
        _money(usage.cost) if usage.cost else 0,
        usage.input_tokens,
        usage.output_tokens,
        usage.requests,
        usage.tool_calls,
        usage.steps,
        usage.microseconds,
    )


def usage_of(counted: Mapping[str, int]) -> Usage:
    """Return amounts by meter as a usage."""
    return usage_from(tuple(counted.get(meter, 0) for meter in METERS))


def usage_from(counted: Amounts) -> Usage:
    """Return amounts as a usage."""
    usd, input_tokens, output_tokens, requests, tool_calls, steps, microseconds = counted
    cost = Decimal(in_units("usd", usd)) if usd else Decimal(0)
    return Usage(requests, input_tokens, output_tokens, cost, tool_calls, steps, microseconds)


def by_meter(counted: Amounts) -> dict[str, int]:
    """Return amounts by meter."""
    counted_by: dict[str, int] = dict(zip(METERS, counted, strict=True))
    return counted_by


def in_units(meter: str, amount: int) -> Decimal | int:
    """Return an amount as people count it: in dollars, in seconds, or as it is."""
    places = {**SCALES}.get(cast("Meter", meter), 0)
    if not places:
        return amount
    value = Decimal(amount).scaleb(-places).normalize()
    exponent = value.as_tuple().exponent
    return value.quantize(Decimal("0.01")) if isinstance(exponent, int) and exponent > -2 else value


def shown(meter: str, amount: int) -> str:
    """Return an amount as messages name it."""
    match meter:
        case "usd":
            return f"${in_units(meter, amount)}"
        case _:
            name = meter.replace("_", " ")
            return f"{in_units(meter, amount)} {name.removesuffix('s') if amount == 1 else name}"


def _money(given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, Decimal | str | int):
        raise PipelineError(
            f"usd={given!r}: a {type(given).__name__} is not exactly that sum",
            fix=f'pass "{given}", as a text',
        )
    try:
        scaled = Decimal(given).scaleb(12)
        exact = int(scaled)
    except (InvalidOperation, ValueError, OverflowError):
        raise PipelineError(
            f"usd={given!r} is no sum of money", fix='pass a number, such as "2.50"'
        ) from None
    if exact != scaled:
        raise PipelineError(f"usd={given} is finer than a trillionth of a dollar", fix="round it up")
    if not 0 <= exact <= MOST:
        raise PipelineError(f"usd={given} cannot be counted", fix="use a sum from 0 to 4000000")
    return exact


def _count(meter: str, given: object) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= MOST:
        raise PipelineError(f"Quota({meter}={given!r})", fix="use a whole number from 0 up")
    return given

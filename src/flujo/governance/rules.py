"""Rules: policies that are declared rather than written, and that look back at what a run did.

They compose as all policies do: list as many as there should be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import Any, ClassVar, cast, final
from zoneinfo import ZoneInfo

from typing_extensions import override

from flujo.errors import ConfigError
from flujo.pipeline.labels import fits
from flujo.pipeline.policy import GovernancePolicy, Mode, PolicyContext, PolicyDecision, Verdict

_ALLOW = PolicyDecision.ALLOW
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_TIME = re.compile(r"(\d+)([smhdw])")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, kw_only=True)
class Rule(GovernancePolicy):
    """What all rules have.

    Args:
        id: Its name in the journal; the rule's own words when left out.
        mode: ``"observe"``: it is recorded and has no force.
        verdict: What follows where it does not hold: ``"deny"``, ``"escalate"`` or ``"warn"``.
    """

    id: str = ""
    mode: Mode = "enforce"
    verdict: str = "deny"

    def __post_init__(self) -> None:
        if self.verdict not in ("deny", "escalate", "warn"):
            raise ConfigError(
                f"{type(self).__name__}(verdict={self.verdict!r})", fix='use "deny", "escalate" or "warn"'
            )
        if not self.id:
            object.__setattr__(self, "id", self._words())

    def _words(self) -> str:
        return type(self).__name__

    def _broken(self, reason: str) -> PolicyDecision:
        return PolicyDecision(Verdict(self.verdict), reason, self.id)


@final
@dataclass(frozen=True)
class Requires(Rule):
    """Something must have been done in the run before something else may be.

    ``Requires("approve", before="pay")``: no tool and no step called ``pay`` begins before a step or a tool
    ``approve`` has ended, or a person has said yes at a node of that name.

    Args:
        what: The name of what must have been done; a pattern (``*``) is allowed.
        before: The name of the tool or the step that has to wait; likewise.
    """

    looks_back: ClassVar[bool] = True
    what: str
    before: str = field(kw_only=True)

    @override
    def _words(self) -> str:
        return f"{self.what} before {self.before}"

    @override
    async def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
        if context.point != "input" or not fnmatchcase(context.step, self.before):
            return _ALLOW
        return await self._judge(context, context.step)

    @override
    async def check_tool(
        self, tool_name: str, arguments: Mapping[str, Any], context: PolicyContext
    ) -> PolicyDecision:
        return await self._judge(context, tool_name) if fnmatchcase(tool_name, self.before) else _ALLOW

    async def _judge(self, context: PolicyContext, name: str) -> PolicyDecision:
        for deed in await context.history():
            if deed.kind not in ("allowed", "input") and fnmatchcase(deed.name, self.what):
                return _ALLOW
        return self._broken(f"{self.what!r} must come before {name!r}, and has not")


@final
@dataclass(frozen=True)
class AtMost(Rule):
    """A tool may be called so many times in a run, or in any stretch of a run.

    Args:
        times: How many times.
        tool: The tool's name; a pattern is allowed, and then all that it fits count together.
        per: A stretch of time: ``"30m"``, ``"1h"``, ``"1d"``; the whole run when left out.
    """

    looks_back: ClassVar[bool] = True
    times: int
    tool: str = field(kw_only=True)
    per: str | timedelta | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        stretch_of(self.per, "AtMost, per")
        super().__post_init__()

    @override
    def _words(self) -> str:
        return f"{self.tool} at most {self.times}" + (f" per {self.per}" if self.per else "")

    @override
    async def check_tool(
        self, tool_name: str, arguments: Mapping[str, Any], context: PolicyContext
    ) -> PolicyDecision:
        if not fnmatchcase(tool_name, self.tool):
            return _ALLOW
        stretch = stretch_of(self.per, "AtMost, per")
        since = 0.0 if stretch is None else (context.at - stretch).timestamp() * 1e6
        made = {
            deed.address
            for deed in await context.history()
            if deed.kind in ("tool", "allowed") and fnmatchcase(deed.name, self.tool) and deed.at >= since
        }
        if len(made - {context.address}) < self.times:
            return _ALLOW
        within = "in this run" if stretch is None else f"within {self.per}"
        return self._broken(f"{self.tool!r} was called {self.times} times {within} already")


@final
@dataclass(frozen=True)
class NoEgressAfter(Rule):
    """Once a run has touched data of a kind, nothing that carries data out of the house may be called.

    Args:
        label: The kind of data: what tools are labelled with that touch it, or values that hold it. A pattern
            is allowed.
        egress: The label of the tools that carry data out.
        tools: Names of further such tools; patterns are allowed.
    """

    looks_back: ClassVar[bool] = True
    label: str
    egress: str = field(default="egress", kw_only=True)
    tools: Sequence[str] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        _check_lists("NoEgressAfter", tools=self.tools)
        super().__post_init__()

    @override
    def _words(self) -> str:
        return f"no egress after {self.label}"

    @override
    async def check_tool(
        self, tool_name: str, arguments: Mapping[str, Any], context: PolicyContext
    ) -> PolicyDecision:
        if not (self.egress in labels_of(context) or fits(tool_name, self.tools)):
            return _ALLOW
        touched = self._is(context.labels) or any(self._is(deed.labels) for deed in await context.history())
        if not touched:
            return _ALLOW
        return self._broken(f"{tool_name!r} carries data out, and this run has touched {self.label!r}")

    def _is(self, labels: Iterable[str]) -> bool:
        return any(fits(label, (self.label,)) for label in labels)


@final
@dataclass(frozen=True)
class Tools(Rule):
    """Which tools may be called, by whom and in which steps.

    Args:
        allow: Names of tools, patterns allowed; all when left out.
        deny: Names of tools that may not be called, whatever ``allow`` says.
        steps: The steps that this is about, by name; all when left out.
        roles: Whom this is about: principals that have one of these roles; everybody when left out.
    """

    allow: Sequence[str] = ("*",)
    deny: Sequence[str] = ()
    steps: Sequence[str] = field(default=("*",), kw_only=True)
    roles: Sequence[str] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        _check_lists("Tools", allow=self.allow, deny=self.deny, steps=self.steps, roles=self.roles)
        super().__post_init__()

    @override
    async def check_tool(
        self, tool_name: str, arguments: Mapping[str, Any], context: PolicyContext
    ) -> PolicyDecision:
        if not fits(context.step, self.steps):
            return _ALLOW
        if self.roles and not set(self.roles).intersection(context.principal.roles):
            return _ALLOW
        if fits(tool_name, self.allow) and not fits(tool_name, self.deny):
            return _ALLOW
        return self._broken(f"the tool {tool_name!r} may not be called in {context.step!r}")


@final
@dataclass(frozen=True)
class Hours(Rule):
    """When tools may be called, or steps begin.

    Args:
        between: The hours of a day: ``"09:00-17:00"``; past midnight where the second is the smaller.
        days: The days of the week: ``("mon", "tue", …)``; all when left out.
        zone: The time zone, as ``Europe/Berlin``.
        tools: The tools that this is about; all when left out.
        steps: The steps that may begin only then; none when left out.
    """

    between: str
    days: Sequence[str] = field(default=_DAYS, kw_only=True)
    zone: str = field(default="UTC", kw_only=True)
    tools: Sequence[str] = field(default=("*",), kw_only=True)
    steps: Sequence[str] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        self._span()
        _check_lists("Hours", tools=self.tools, steps=self.steps)
        odd = [day for day in self.days if day not in _DAYS]
        if odd or isinstance(self.days, str):
            raise ConfigError(f"Hours(days={self.days!r})", fix=f"use some of {', '.join(_DAYS)}")
        try:
            ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError):
            raise ConfigError(
                f"Hours(zone={self.zone!r}) is no time zone", fix='use a name like "Europe/Berlin"'
            ) from None
        super().__post_init__()

    @override
    def _words(self) -> str:
        return f"only {self.between} {self.zone}"

    def _span(self) -> tuple[time, time]:
        begin, _, end = self.between.partition("-")
        try:
            return time.fromisoformat(begin.strip()), time.fromisoformat(end.strip())
        except ValueError:
            raise ConfigError(f"Hours({self.between!r})", fix='write it as "09:00-17:00"') from None

    @override
    async def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
        if context.point != "input" or not fits(context.step, self.steps):
            return _ALLOW
        return self._judge(context, context.step)

    @override
    async def check_tool(
        self, tool_name: str, arguments: Mapping[str, Any], context: PolicyContext
    ) -> PolicyDecision:
        return self._judge(context, tool_name) if fits(tool_name, self.tools) else _ALLOW

    def _judge(self, context: PolicyContext, name: str) -> PolicyDecision:
        now: datetime = context.at.astimezone(ZoneInfo(self.zone))
        begin, end = self._span()
        at = now.time()
        day = now
        if begin <= end:
            within = begin <= at < end
        else:  # past midnight: what is left of the day before
            within = at >= begin or at < end
            day = now - timedelta(days=1) if at < end else now
        if within and _DAYS[day.weekday()] in self.days:
            return _ALLOW
        return self._broken(
            f"{name!r} may begin between {self.between} ({self.zone}) only, and it is {now:%a %H:%M}"
        )


@final
@dataclass(frozen=True)
class Regions(Rule):
    """Data may go only to models of some regions. A model of no known region is of none.

    Args:
        allow: The regions.
        models: Which models are where, by region: ``{"eu": ["azure:*", "mistral:*"]}``.
        labels: Only data that holds one of these, patterns allowed; all when left out.
    """

    allow: Sequence[str]
    models: Mapping[str, Sequence[str]]
    labels: Sequence[str] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.allow) - set(self.models))
        if unknown or isinstance(self.allow, str):
            raise ConfigError(
                f"Regions(allow={self.allow!r}) names regions that models= does not",
                fix="say which models are there",
            )
        _check_lists("Regions", labels=self.labels)
        for region, models in self.models.items():
            _check_lists("Regions, models", **{region: models})
        super().__post_init__()

    @override
    def _words(self) -> str:
        return f"models of {', '.join(self.allow)} only"

    @override
    async def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
        if context.point != "before_model":
            return _ALLOW
        if self.labels and not any(fits(label, self.labels) for label in context.labels):
            return _ALLOW
        model = str(context.facts.get("model", ""))
        if any(fits(model, self.models[region]) for region in self.allow):
            return _ALLOW
        return self._broken(f"the model {model!r} is in none of the regions {', '.join(self.allow)}")


def _check_lists(rule: str, **given: Sequence[str]) -> None:
    """Refuse a text where a list belongs: each of its letters would be a pattern, and "*" fits everything.

    Raises:
        ConfigError: There is one.
    """
    for name, value in given.items():
        if isinstance(value, str):
            raise ConfigError(f"{rule}({name}={value!r}) is no list", fix=f"pass {name}=[{value!r}]")


def labels_of(context: PolicyContext) -> frozenset[str]:
    """Return what a tool that is to be called is or touches."""
    return frozenset(cast("Iterable[str]", context.facts.get("labels", ())))


def stretch_of(per: str | timedelta | None, place: str) -> timedelta | None:
    """Return a stretch of time of its text.

    Raises:
        ConfigError: It is none.
    """
    if per is None or isinstance(per, timedelta):
        return per
    found = _TIME.fullmatch(per)
    if found is None:
        raise ConfigError(f"{place}={per!r} is no stretch of time", fix='write "30m", "1h" or "1d"')
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])

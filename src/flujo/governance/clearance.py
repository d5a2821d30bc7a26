"""Clearance: what may be given to tools, models and steps where data leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from typing_extensions import override

from flujo.errors import ConfigError
from flujo.governance.rules import Rule, labels_of
from flujo.pipeline.labels import fits, uncleared
from flujo.pipeline.policy import PolicyContext, PolicyDecision

_ALLOW = PolicyDecision.ALLOW


@final
@dataclass(frozen=True)
class Clearance(Rule):
    """What some places may be given where data leaves: whatever holds anything else is denied.

    ``Clearance(["pii.name"], models=["*"])``: no model is given data that is known to hold more than names.
    What tools and steps declare themselves by ``cleared_for=`` holds besides.

    Args:
        cleared_for: The labels that they may be given; patterns are allowed. None at all, with an empty list.
        tools: The tools that this is about, by name; patterns are allowed here as well.
        models: Likewise, the models.
        steps: Likewise, the steps that take an input.
        labelled: Likewise, tools that are labelled so.
    """

    cleared_for: Sequence[str]
    tools: Sequence[str] = field(default=(), kw_only=True)
    models: Sequence[str] = field(default=(), kw_only=True)
    steps: Sequence[str] = field(default=(), kw_only=True)
    labelled: Sequence[str] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        if not (self.tools or self.models or self.steps or self.labelled):
            raise ConfigError(
                f"Clearance({self.cleared_for!r}) is about nothing",
                fix='say where: tools=, models=, steps=, or labelled=["egress"]',
            )
        given = (self.cleared_for, self.tools, self.models, self.steps, self.labelled)
        if text := next((one for one in given if isinstance(one, str)), None):
            raise ConfigError(f"Clearance(…, {text!r}) is no list", fix=f"pass [{text!r}]")
        super().__post_init__()

    @override
    def _words(self) -> str:
        where = [*self.steps, *self.tools, *self.models, *(f"what is {one}" for one in self.labelled)]
        return f"{', '.join(where)} cleared for {', '.join(self.cleared_for) or 'nothing'}"

    @override
    async def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
        model = str(context.facts.get("model", ""))
        if context.point == "before_model" and fits(model, self.models):
            return self._judge(context, f"model {model!r}")
        if context.point == "input" and fits(context.step, self.steps):
            return self._judge(context, f"step {context.step!r}")
        return _ALLOW

    @override
    async def check_tool(
        self, tool_name: str, arguments: Mapping[str, Any], context: PolicyContext
    ) -> PolicyDecision:
        about = fits(tool_name, self.tools) or any(fits(one, self.labelled) for one in labels_of(context))
        return self._judge(context, f"tool {tool_name!r}") if about else _ALLOW

    def _judge(self, context: PolicyContext, sink: str) -> PolicyDecision:
        missing = uncleared(context.labels, self.cleared_for, context.tenant)
        if not missing:
            return _ALLOW
        return self._broken(f"the {sink} is not cleared for {', '.join(map(repr, missing))}")

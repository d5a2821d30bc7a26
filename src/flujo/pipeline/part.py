"""Which part of a step is at work, for whoever stands between an agent and its model."""

from __future__ import annotations

from contextvars import ContextVar

from flujo.pipeline.info import StepInfo

part: ContextVar[StepInfo | None] = ContextVar("part", default=None)
"""The recorded effect that an agent is at work on: a request to a model, a call of a tool."""

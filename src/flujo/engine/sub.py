"""A pipeline as a node of another."""

from __future__ import annotations

from typing import Any

from flujo.engine.build import Build, judge
from flujo.engine.composite import Composite
from flujo.engine.run import Frame, Suspended, Walk
from flujo.plan.nodes import PlanSub
from flujo.plan.signature import read_signature


def compile_sub(plan: PlanSub, body: Walk, build: Build) -> Walk:
    """Return the walk of a sub-pipeline: map its input, run it, map its output."""
    node, label = plan.node, plan.label
    composite = Composite(plan, build.codec(plan.output_type), build)
    into = None if node.input is None else judge(read_signature(node.input))
    outof = None if node.result is None else judge(read_signature(node.result))

    async def sub(frame: Frame, value: Any) -> Any:
        address = frame.prefix + label
        memo = await composite.known(frame, address)
        if memo is not None:
            return memo.output
        inner = frame.inner(f"{address}/")
        if into is not None:
            value = await into(frame, value)
        output = await body(inner, value)
        if output.__class__ is Suspended:
            return output
        if outof is not None:
            output = await outof(frame, output)
        composite.ended(frame, address, output, usage=inner.usage, patch=inner.patch)
        return output

    return sub

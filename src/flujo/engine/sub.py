"""A pipeline as a node of another."""

from __future__ import annotations

from typing import Any

from flujo.engine.build import Build, between_for, condition
from flujo.engine.choices import known_choice, record_choice
from flujo.engine.composite import Composite
from flujo.engine.run import Frame, Suspended, Walk
from flujo.plan.codec import codec_for
from flujo.plan.nodes import PlanSub


def compile_sub(plan: PlanSub, body: Walk, build: Build) -> Walk:
    """Return the walk of a sub-pipeline: map its input, run it, map its output."""
    label = plan.label
    composite = Composite(plan, build.codec(plan.output_type), build)
    input_codec = codec_for(plan.mapped_type if build.durable else Any)
    between = between_for(build)
    into = None if plan.into is None else condition(plan.into, "input", between=between)
    outof = None if plan.outof is None else condition(plan.outof, "output", between=between)

    async def mapped(frame: Frame, address: str, value: Any) -> Any:
        """Return the sub-pipeline's input; recorded, so that its steps see the same one after a crash."""
        assert into is not None
        known = await known_choice(frame, f"{address}[]", input_codec)
        if known is not None:
            return known.output
        value = await into(frame, address, value)
        if between is not None:
            value = await between.given(frame, f"{address}[]", plan.mapped_type, value)
        record_choice(frame, f"{address}[]", value, input_codec)
        return value

    async def sub(frame: Frame, value: Any) -> Any:
        address = frame.prefix + label
        memo = await composite.known(frame, address)
        if memo is not None:
            return memo.output
        inner = frame.inner(f"{address}/")
        if into is not None:
            value = await mapped(frame, address, value)
        output = await body(inner, value)
        if output.__class__ is Suspended:
            return output
        if outof is not None:
            output = await outof(inner, address, output)
            if between is not None:
                output = await between.given(inner, address, plan.output_type, output)
            inner.diff(address)
        composite.ended(frame, address, output, usage=inner.usage, patch=inner.patch)
        return output

    return sub

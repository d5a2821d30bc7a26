"""Pipelines as pictures: a tree of text, Mermaid, JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flujo.cli.text import duration
from flujo.pipeline.quota import in_units
from flujo.plan.nodes import (
    PlanBranch,
    PlanEvent,
    PlanHuman,
    PlanLoop,
    PlanMap,
    PlanNode,
    PlanParallel,
    PlanSequence,
    PlanSleep,
    PlanStep,
    PlanStream,
    PlanSub,
)
from flujo.plan.plan import Plan
from flujo.plan.types import type_name
from flujo.plan.worst import worst_cost


@dataclass(frozen=True, slots=True)
class Box:
    """A node as pictures show it.

    Attributes:
        kind: What it is, in the words of the plan.
        label: Its name.
        path: Its address, with `[]` for turns and items.
        notes: What is worth knowing of its settings.
        parts: What is inside, each with what labels it there.
        takes: The type it takes.
        gives: The type it gives.
    """

    kind: str
    label: str
    path: str
    notes: tuple[str, ...] = ()
    parts: tuple[tuple[str, Box], ...] = ()
    takes: str = ""
    gives: str = ""

    def walk(self) -> Iterator[Box]:
        """Yield this box and all inside it, in order."""
        yield self
        for _, part in self.parts:
            yield from part.walk()


def draw(plan: Plan) -> Box:
    """Return the picture of a plan: a box that holds its nodes in order."""
    root = _box(plan.root)
    if root.kind == "sequence":
        return Box("pipeline", plan.name, "", (), root.parts, root.takes, root.gives)
    return Box("pipeline", plan.name, "", (), (("", root),), root.takes, root.gives)


def _box(node: PlanNode) -> Box:
    parts = tuple((label, _box(child)) for label, child in node.children.items())
    if isinstance(node, PlanSequence):
        parts = tuple(("", part) for _, part in parts)
    return Box(
        node.kind,
        node.label,
        node.path,
        tuple(_notes(node)),
        parts,
        _short(type_name(node.input_type)),
        _short(type_name(node.output_type)),
    )


def _notes(node: PlanNode) -> Iterator[str]:
    match node:
        case PlanStep():
            yield from _step_notes(node)
        case PlanParallel():
            yield "side by side"
        case PlanMap():
            many = node.node.concurrency
            yield "for each item" + (f", {many} at once" if many else "")
        case PlanBranch():
            yield "one of"
        case PlanLoop():
            yield f"at most {node.node.max_turns} turns"
        case PlanSub():
            yield "pipeline"
        case _:
            yield from _wait_notes(node)
    if isinstance(node, PlanParallel | PlanMap) and node.node.on_failure == "collect":
        yield "failures are collected"


def _wait_notes(node: PlanNode) -> Iterator[str]:
    match node:
        case PlanHuman():
            yield "asks a person"
            if node.node.timeout is not None:
                yield f"at most {duration(node.node.timeout.total_seconds())}"
        case PlanEvent():
            yield f"waits for {node.node.event!r}"
            if node.node.timeout is not None:
                yield f"at most {duration(node.node.timeout.total_seconds())}"
        case PlanSleep():
            yield f"waits {duration(node.node.duration.total_seconds())}"
        case _:
            return


def _step_notes(node: PlanStep) -> Iterator[str]:
    step = node.node
    if isinstance(node, PlanStream):
        yield f"streams {_short(type_name(node.gives))}"
    if step.retry.attempts > 1:
        yield f"{step.retry.attempts} attempts"
    if step.timeout is not None:
        yield f"{step.timeout:g} s each"
    if step.validators:
        yield "validated"
    if step.cache:
        yield "cached"
    if step.effects == "at_most_once":
        yield "at most once"
    if step.undo is not None:
        yield "can be undone"
    if step.may_mutate is not None:
        yield f"may {', '.join(step.may_mutate.operations)}"
    if node.sources:
        yield f"uses {', '.join(node.sources.values())}"


def tree(box: Box, *, unicode: bool = True) -> str:
    """Return a picture as a tree of lines."""
    head = f"{box.label}  {box.takes} {'→' if unicode else '->'} {box.gives}"
    return "\n".join([head, *_branches(box, "", unicode)])


def _branches(box: Box, indent: str, unicode: bool) -> Iterator[str]:
    tee, corner, bar = ("├─ ", "└─ ", "│  ") if unicode else ("|- ", "`- ", "|  ")
    parts = list(_flat(box))
    for at, (label, part) in enumerate(parts):
        last = at == len(parts) - 1
        yield indent + (corner if last else tee) + _line(label, part)
        yield from _branches(part, indent + ("   " if last else bar), unicode)


def _line(label: str, box: Box) -> str:
    name = (
        f"{label}:"
        if box.kind == "sequence"
        else f"{label}: {box.label}"
        if label and label != box.label
        else box.label
    )
    return f"{name}  ({', '.join(box.notes)})" if box.notes else name


def _flat(box: Box) -> Iterator[tuple[str, Box]]:
    """Yield what is inside a box, with a lone sequence opened."""
    if len(box.parts) == 1 and box.parts[0][1].kind == "sequence":
        yield from box.parts[0][1].parts
    else:
        yield from box.parts


def as_json(plan: Plan) -> dict[str, Any]:
    """Return a picture, and what the plan was found to need, for machines."""
    worst = plan.worst_case
    return {
        "name": plan.name,
        "fingerprint": plan.fingerprint,
        "context": plan.context_model.__name__,
        "worst_case": {
            "steps": worst.steps,
            "attempts": worst.attempts,
            "per_item": list(worst.per_item),
            **({"unlimited": list(worst.unlimited)} if worst.unlimited else {}),
            **at_most(plan),
        },
        "root": _json_box(draw(plan)),
    }


def at_most(plan: Plan) -> dict[str, Any]:
    """Return what a run may spend at most, by meter, where steps declare it; null for what has no bound."""
    if not any(isinstance(node, PlanStep) and node.node.bound is not None for node in plan.nodes.values()):
        return {}
    cost = worst_cost(plan).at_most
    spent = {meter: cost[meter] for meter in cost if meter not in ("steps", "seconds")}
    return {
        "at_most": {meter: None if most is None else in_units(meter, most) for meter, most in spent.items()}
    }


def _json_box(box: Box) -> dict[str, Any]:
    parts = [{**({"as": label} if label else {}), **_json_box(part)} for label, part in box.parts]
    return {
        "kind": box.kind,
        "name": box.label,
        "path": box.path,
        "takes": box.takes,
        "gives": box.gives,
        "notes": list(box.notes),
        "parts": parts,
    }


_SHAPES = {
    "stream": (">", "]"),
    "human": ("[/", "/]"),
    "event": ("([", "])"),
    "sleep": ("([", "])"),
    "branch": ("{", "}"),
}


def mermaid(box: Box) -> str:
    """Return a picture as a Mermaid flowchart."""
    chart = _Chart()
    chart.lines = ["flowchart TD", '  begin(["' + _quoted(box.label) + '"])']
    ends = ["begin"]
    for _, part in box.parts:
        ends = chart.add(part, ends, "", "  ")
    chart.lines += ['  finish(["end"])', *(f"  {end} --> finish" for end in ends)]
    chart.lines += ["  classDef person fill:#fde68a,stroke:#b45309,color:#000"]
    if chart.people:
        chart.lines.append(f"  class {','.join(chart.people)} person")
    return "\n".join(chart.lines)


class _Chart:
    """A flowchart under construction: its lines, and the names of its nodes."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.people: list[str] = []
        self._count = 0

    def add(self, box: Box, before: list[str], label: str, indent: str) -> list[str]:
        """Add a box after others; return what the next one comes after."""
        match box.kind:
            case "sequence" | "pipeline":
                for at, (_, part) in enumerate(box.parts):
                    before = self.add(part, before, "" if at else label, indent)
                return before
            case "step" | "stream" | "human" | "event" | "sleep":
                node = self._node(box, indent)
                self._join(before, node, label, indent)
                ends = [node]
                for aside, part in box.parts:
                    ends += self.add(part, [node], aside, indent)
                return ends
            case "branch":
                node = self._node(box, indent)
                self._join(before, node, label, indent)
                return [end for case, part in box.parts for end in self.add(part, [node], case, indent)]
            case _:
                return self._group(box, before, label, indent)

    def _group(self, box: Box, before: list[str], label: str, indent: str) -> list[str]:
        self._count += 1
        group, opening = f"g{self._count}", f"in{self._count}"
        title = ": ".join(part for part in (box.label, ", ".join(box.notes)) if part)
        self.lines.append(f'{indent}subgraph {group}["{_quoted(title)}"]')
        inside = indent + "  "
        self.lines.append(f"{inside}{opening}(( ))")
        ends: list[str] = []
        for name, part in box.parts:
            ends += self.add(part, [opening], name if box.kind == "parallel" else "", inside)
        if box.kind == "loop":
            self.lines += [f"{inside}{end} -. again .-> {opening}" for end in ends]
        self.lines.append(f"{indent}end")
        self._join(before, opening, label, indent)
        return ends

    def _node(self, box: Box, indent: str) -> str:
        self._count += 1
        name = f"n{self._count}"
        left, right = _SHAPES.get(box.kind, ("[", "]"))
        text = _quoted(box.label) + (
            f"<br/><small>{_quoted(', '.join(box.notes))}</small>" if box.notes else ""
        )
        self.lines.append(f'{indent}{name}{left}"{text}"{right}')
        if box.kind == "human":
            self.people.append(name)
        return name

    def _join(self, before: list[str], node: str, label: str, indent: str) -> None:
        arrow = f'-- "{_quoted(label)}" -->' if label else "-->"
        self.lines += [f"{indent}{one} {arrow} {node}" for one in before]


def _quoted(text: str) -> str:
    """Return a text as Mermaid takes it inside quotes."""
    return re.sub(r'[&"<>#;\n]', lambda found: f"#{ord(found[0])};", text)


def _short(name: str) -> str:
    """Return a type's name without the modules it is in."""
    return re.sub(r"\b[A-Za-z_]\w*\.(?=[A-Za-z_])", "", name)

"""What a random pipeline means, in plain Python: no engine, no journal, no tasks."""

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.property.specs import LABELS, MODULUS, Spec

State = dict[str, Any]
Lanes = list[tuple[str, Spec, int]]
"""What runs side by side: where, what, on which input."""


class Failed(Exception):
    """The pipeline fails: at an address, or anywhere where that depends on who fails first."""

    def __init__(self, kind: str, address: str) -> None:
        super().__init__(kind, address)
        self.kind = kind
        self.address = address


@dataclass
class Reference:
    """One run, interpreted.

    Attributes:
        memory: The context.
        usage: Requests, tokens in, tokens out, cost.
        steps: Every step that ended: address, output, attempts.
        calls: How often user code ran, by node.
        races: Whether a failing branch cancelled its siblings, so that it is open how far those came.
    """

    memory: State = field(
        default_factory=lambda: {"scratchpad": {}, "log": [], "total": 0, "peak": 0, "seen": {}, "mark": 0}
    )
    usage: list[Any] = field(default_factory=lambda: [0, 0, 0, Decimal(0)])
    steps: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    calls: Counter[str] = field(default_factory=Counter[str])
    races: bool = False

    def run(self, spec: Spec, x: int) -> int:
        return self.node(spec, x, "", self.memory, {})

    def node(self, spec: Spec, x: int, prefix: str, memory: State, slots: dict[str, int]) -> int:
        address = prefix + spec.name
        match spec.kind:
            case "sequence":
                for part in spec.parts:
                    x = self.node(part, x, prefix, memory, slots)
                return x
            case "tuple" | "mapping" | "collect":
                labels = LABELS if spec.kind == "mapping" else ("0", "1", "2")
                places = [f"{address}/{label}/" for label in labels]
                lanes = [(place, part, x) for place, part in zip(places, spec.parts, strict=False)]
                return self.side_by_side(spec, lanes, prefix, memory, slots)
            case "map" | "gather":
                self.calls[f"{spec.name}.over"] += 1
                body = spec.parts[0]
                lanes = [(f"{address}[{index}]/", body, (x + index) % MODULUS) for index in range(x % 4)]
                return self.side_by_side(spec, lanes, prefix, memory, slots)
            case "branch":
                self.calls[f"{spec.name}.on"] += 1
                chosen = x % 3
                label = str(chosen) if chosen < 2 else "default"
                case = spec.parts[chosen if chosen < len(spec.parts) else 0]
                output = self.node(case, x, f"{address}/{label}/", memory, slots)
            case "loop":
                output = self.loop(spec, x, address, memory, slots)
            case "sub":
                plain = spec.k % 2 == 1
                output = self.node(
                    spec.parts[0], x if plain else (x + 1) % MODULUS, f"{address}/", memory, slots
                )
                output = output if plain else 2 * output % MODULUS
            case "fallback":
                self.calls[spec.name] += 1
                self.usage[2] += 1
                output = self.node(spec.parts[0], x, f"{address}/", memory, slots)
                self.steps.append((address, output, 1))
            case "human":
                if spec.parts and spec.k % 2:
                    output = self.node(spec.parts[0], x, f"{address}/", memory, slots)
                else:
                    output = x + spec.k
            case "event":
                output = spec.k
            case "sleep":
                output = x
            case _:
                output = self.step(spec, x, address, memory, slots)
        slots[spec.name] = output
        return output

    def side_by_side(
        self, spec: Spec, lanes: Lanes, prefix: str, memory: State, slots: dict[str, int]
    ) -> int:
        collects = spec.kind in ("collect", "gather")
        shares_slots = spec.kind in ("tuple", "mapping", "collect")
        outputs: list[int] = []
        views: list[State] = []
        failed: Failed | None = None
        torn: Failed | None = None
        for place, part, x in lanes:
            view, inner = deepcopy(memory), dict(slots)
            try:
                outputs.append(self.node(part, x, place, view, inner))
                views.append(view)
            except Failed as failure:
                failed = failed or failure
                if failure.kind == "ContextConflict":  # the pipeline's own mistake: it is never collected
                    torn = torn or failure
                outputs.append(11)
            if shares_slots:
                slots.update(inner)
        if torn or (failed and not collects):
            self.races = self.races or len(lanes) > 1
            raise torn or failed or AssertionError
        merge(memory, views, prefix + spec.name)
        output = sum(place * value for place, value in enumerate(outputs, 1)) % MODULUS
        self.steps.append((f"{prefix}{spec.name}.join", output, 1))
        return output

    def loop(self, spec: Spec, x: int, address: str, memory: State, slots: dict[str, int]) -> int:
        for turn in range(1, spec.k % 3 + 2):
            x = self.node(spec.parts[0], x, f"{address}[{turn}]/", memory, slots)
            self.calls[f"{spec.name}.until"] += 1
            if (x + memory["total"]) % 3 == 0:
                return x
        if spec.k == 7:
            raise Failed("LoopExhausted", address)
        return x

    def step(self, spec: Spec, x: int, address: str, memory: State, slots: dict[str, int]) -> int:
        self.calls[spec.name] += 1
        attempts = 1
        match spec.kind:
            case "add":
                output = x + spec.k + 1
            case "threaded":
                output = x * (spec.k + 2)
            case "write":
                write(spec, x, memory)
                output = x
            case "read":
                weight = len(memory["log"]) + memory["total"] + memory["peak"] + sum(memory["seen"].values())
                output = x + weight + memory["mark"] + len(memory["scratchpad"])
            case "report":
                self.spend(1, x, spec.k, Decimal("0.1"))
                output = x
            case "flaky":
                attempts = spec.k % 3 + 1
                self.calls[spec.name] += attempts - 1
                self.spend(attempts, 0, 0, attempts * Decimal("0.01"))
                output = x + attempts
            case "fail":
                self.spend(0, 0, 1, Decimal(0))
                raise Failed("StepFailed", address)
            case "effect":
                self.calls[f"{spec.name}#draw"] += 2
                output = 2 * x + 15
                if x + 5 >= MODULUS:
                    output -= 2 * MODULUS
            case "pause":
                output = x + spec.k
            case "ask":
                self.calls[spec.name] += 1
                self.calls[f"{spec.name}#draw"] += 1
                self.spend(0, 4, 0, Decimal(0))  # by the attempt that asks, and by the one that is answered
                output = (x + 5) % MODULUS + x + spec.k
            case _:
                output = x + 3 * slots[spec.source] if spec.source else x + spec.k + 1
        if spec.kind not in ("pause", "write", "report"):
            output %= MODULUS
        self.steps.append((address, output, attempts))
        return output

    def spend(self, requests: int, tokens_in: int, tokens_out: int, cost: Decimal) -> None:
        for place, amount in enumerate((requests, tokens_in, tokens_out, cost)):
            self.usage[place] += amount


def write(spec: Spec, x: int, memory: State) -> None:
    match spec.k % 6:
        case 0:
            memory["log"].append(f"{spec.name}:{x}")
        case 1:
            memory["total"] += x
        case 2:
            memory["peak"] = max(memory["peak"], x)
        case 3:
            memory["seen"][str(x % 3)] = x
        case 4:
            memory["mark"] = x
        case _:
            memory["scratchpad"][spec.name] = x


def merge(memory: State, views: list[State], address: str) -> None:
    """Bring what the views of a context changed into it."""
    base = deepcopy(memory)
    marks = {view["mark"] for view in views if view["mark"] != base["mark"]}
    notes: dict[str, int] = {}
    for view in views:
        for key, value in view["scratchpad"].items():
            if base["scratchpad"].get(key) != value and notes.setdefault(key, value) != value:
                raise Failed("ContextConflict", address)
    if len(marks) > 1:
        raise Failed("ContextConflict", address)
    for mark in marks:
        memory["mark"] = mark
    memory["scratchpad"].update(notes)
    for view in views:
        memory["log"] += view["log"][len(base["log"]) :]
        memory["total"] += view["total"] - base["total"]
        memory["peak"] = max(memory["peak"], view["peak"])
        changed = {key: value for key, value in view["seen"].items() if base["seen"].get(key) != value}
        memory["seen"].update(changed)

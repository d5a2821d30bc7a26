"""From descriptions to pipelines of Flujo."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from flujo import (
    Branch,
    Failure,
    From,
    HumanInput,
    Loop,
    Map,
    Node,
    Parallel,
    PauseForHumanInput,
    Pipeline,
    Retry,
    Sleep,
    Step,
    StepInfo,
    SubPipeline,
    Usage,
    WaitForEvent,
)
from tests.property.memory import Memory
from tests.property.specs import LABELS, MODULUS, Spec

IntNode = Node[int, int]
FAILED = 11
"""What stands for a collected failure when results are joined."""


class Builder:
    """Builds pipelines that count every call of user code.

    Attributes:
        calls: How often each function ran, by its node's name.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def build(self, spec: Spec) -> Any:
        """Return the node that a description stands for."""
        match spec.kind:
            case "sequence":
                return Pipeline(*(self.build(part) for part in spec.parts))
            case "tuple":
                return Parallel(*self._parts(spec), name=spec.name) >> _joining(spec)
            case "mapping":
                labeled = dict(zip(LABELS, self._parts(spec), strict=False))
                return Parallel(name=spec.name, **labeled) >> _joining(spec)
            case "collect":
                return Parallel(*self._parts(spec), name=spec.name, on_failure="collect") >> _joining(spec)
            case "map" | "gather":
                return self._map(spec)
            case "branch":
                return self._branch(spec)
            case "loop":
                return self._loop(spec)
            case "sub":
                return self._sub(spec)
            case "fallback":
                return Step(self._raising(spec), name=spec.name, fallback=self.build(spec.parts[0]))
            case "human":
                denied = self.build(spec.parts[0]) if spec.parts else None
                return HumanInput(f"add {spec.k}", schema=int, name=spec.name, on_deny=denied)
            case _:
                return self._leaf(spec)

    def _parts(self, spec: Spec) -> list[Any]:
        return [self.build(part) for part in spec.parts]

    def _leaf(self, spec: Spec) -> Any:
        match spec.kind:
            case "event":
                return WaitForEvent(f"event-{spec.name}", schema=int, name=spec.name)
            case "sleep":
                return Sleep(timedelta(hours=spec.k), name=spec.name)
            case "flaky":
                retry = Retry(attempts=spec.k % 3 + 1, backoff=spec.k)
                return Step(self._flaky(spec), name=spec.name, retry=retry)
            case _:
                makers: dict[str, Callable[[Spec], Callable[..., Any]]] = {
                    "add": self._adding,
                    "threaded": self._threaded,
                    "write": self._writing,
                    "read": self._reading,
                    "report": self._reporting,
                    "fail": self._raising,
                    "effect": self._recording,
                    "pause": self._pausing,
                    "ask": self._asking,
                    "named": self._naming,
                }
                return Step(makers[spec.kind](spec), name=spec.name)

    def _adding(self, spec: Spec) -> Callable[..., Any]:
        async def add(x: int) -> int:
            self.calls[spec.name] += 1
            return (x + spec.k + 1) % MODULUS

        return add

    def _threaded(self, spec: Spec) -> Callable[..., Any]:
        def multiply(x: int) -> int:
            self.calls[spec.name] += 1
            return x * (spec.k + 2) % MODULUS

        return multiply

    def _writing(self, spec: Spec) -> Callable[..., Any]:
        async def write(x: int, memory: Memory) -> int:
            self.calls[spec.name] += 1
            match spec.k % 6:
                case 0:
                    memory.log.append(f"{spec.name}:{x}")
                case 1:
                    memory.total += x
                case 2:
                    memory.peak = max(memory.peak, x)
                case 3:
                    memory.seen[str(x % 3)] = x
                case 4:
                    memory.mark = x
                case _:
                    memory.scratchpad[spec.name] = x
            return x

        return write

    def _reading(self, spec: Spec) -> Callable[..., Any]:
        async def read(x: int, memory: Memory) -> int:
            self.calls[spec.name] += 1
            weight = len(memory.log) + memory.total + memory.peak + sum(memory.seen.values()) + memory.mark
            return (x + weight + len(memory.scratchpad)) % MODULUS

        return read

    def _reporting(self, spec: Spec) -> Callable[..., Any]:
        async def report(x: int, info: StepInfo) -> int:
            self.calls[spec.name] += 1
            info.report(Usage(1, x, spec.k, Decimal("0.1")))
            return x

        return report

    def _flaky(self, spec: Spec) -> Callable[..., Any]:
        async def flaky(x: int, info: StepInfo) -> int:
            self.calls[spec.name] += 1
            info.report(Usage(requests=1, cost=Decimal("0.01")))
            if info.attempt <= spec.k % 3:
                raise RuntimeError("not yet")
            return (x + info.attempt) % MODULUS

        return flaky

    def _raising(self, spec: Spec) -> Callable[..., Any]:
        async def fail(x: int, info: StepInfo) -> int:
            self.calls[spec.name] += 1
            info.report(Usage(output_tokens=1))
            raise LookupError(f"no {x}")

        return fail

    def _recording(self, spec: Spec) -> Callable[..., Any]:
        async def effect(x: int, info: StepInfo) -> int:
            self.calls[spec.name] += 1
            first = await info.do("draw", self._effect, spec.name, x)
            return (first + await info.do("draw", self._effect, spec.name, first)) % MODULUS

        return effect

    def _effect(self, name: str, x: int) -> int:
        self.calls[f"{name}#draw"] += 1
        return (x + 5) % MODULUS

    def _pausing(self, spec: Spec) -> Callable[..., Any]:
        async def pause(x: int) -> int:
            self.calls[spec.name] += 1
            raise PauseForHumanInput(f"add {spec.k}", subject=x)

        return pause

    def _asking(self, spec: Spec) -> Callable[..., Any]:
        async def ask(x: int, info: StepInfo) -> int:
            self.calls[spec.name] += 1
            drawn = await info.do("draw", self._effect, spec.name, x)
            info.report(Usage(input_tokens=2))
            return (drawn + await info.ask(f"add {spec.k}", int, subject=x)) % MODULUS

        return ask

    def _naming(self, spec: Spec) -> Callable[..., Any]:
        if not spec.source:
            return self._adding(spec)

        async def combine(x: int, earlier: Annotated[int, From(spec.source)]) -> int:
            self.calls[spec.name] += 1
            return (x + 3 * earlier) % MODULUS

        return combine

    def _map(self, spec: Spec) -> IntNode:
        def items(x: int) -> list[int]:
            self.calls[f"{spec.name}.over"] += 1
            return [(x + index) % MODULUS for index in range(x % 4)]

        body = self.build(spec.parts[0])
        limit = spec.k % 3 or None
        if spec.kind == "gather":
            lanes = Map(body, over=items, concurrency=limit, name=spec.name, on_failure="collect")
            return lanes >> _joining(spec)
        return Map(body, over=items, concurrency=limit, name=spec.name) >> _joining(spec)

    def _branch(self, spec: Spec) -> IntNode:
        parts = self._parts(spec)

        def on(x: int) -> int:
            self.calls[f"{spec.name}.on"] += 1
            return x % 3

        default = parts[2] if len(parts) > 2 else parts[0]
        return Branch(on=on, cases={0: parts[0], 1: parts[1]}, default=default, name=spec.name)

    def _loop(self, spec: Spec) -> IntNode:
        def until(x: int, memory: Memory) -> bool:
            self.calls[f"{spec.name}.until"] += 1
            return (x + memory.total) % 3 == 0

        exhausted = "fail" if spec.k == 7 else "return"
        body = self.build(spec.parts[0])
        return Loop(body, until=until, max_turns=spec.k % 3 + 1, name=spec.name, on_exhausted=exhausted)

    def _sub(self, spec: Spec) -> IntNode:
        def enter(x: int) -> int:
            return (x + 1) % MODULUS

        def leave(x: int) -> int:
            return (2 * x) % MODULUS

        body = self.build(spec.parts[0])
        if spec.k % 2:
            return SubPipeline(body, name=spec.name)
        return SubPipeline(body, input=enter, output=leave, name=spec.name)


async def join_tuple(results: tuple[int | Failure, ...]) -> int:
    return _joined(results)


async def join_list(results: list[int | Failure]) -> int:
    return _joined(results)


async def join_mapping(results: dict[str, int]) -> int:
    return _joined(list(results.values()))


def _joined(results: Sequence[int | Failure]) -> int:
    values = [FAILED if isinstance(result, Failure) else result for result in results]
    return sum(place * value for place, value in enumerate(values, 1)) % MODULUS


def _joining(spec: Spec) -> Any:
    joins: dict[str, Any] = {"mapping": join_mapping, "map": join_list, "gather": join_list}
    return Step(joins.get(spec.kind, join_tuple), name=f"{spec.name}.join")

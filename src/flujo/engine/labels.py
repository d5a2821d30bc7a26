"""Labels on their way: what the values at each place of a run hold, so that policies can tell.

What a step gives holds all that it was given: its input, earlier outputs that it names, and the context where
it asks for that; what its tools gave; and what it is declared to give. Only what it declassifies is taken
away.
Nothing here runs where no policy judges: compiling decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from flujo.engine.run import Frame, Run
from flujo.engine.seen import Seen
from flujo.pipeline.labels import Declassify
from flujo.pipeline.policy import NO_LABELS

Labels = frozenset[str]

ANY = "*"
"""Stands for every field of the context, where it is not known which ones were written."""


class Held:
    """What the values at one place of a run hold.

    Attributes:
        flowing: The value that the next node there is given.
        named: The outputs that later steps name, by path.
        fields: The fields of the context.
        inside: The places inside the node that is under way here.
    """

    __slots__ = ("fields", "flowing", "inside", "named")

    def __init__(self, flowing: Labels, named: dict[str, Labels], fields: dict[str, Labels]) -> None:
        self.flowing = flowing
        self.named = named
        self.fields = fields
        self.inside: list[Held] = []

    @property
    def context(self) -> Labels:
        """What the context holds, all its fields together."""
        return union(self.fields.values())

    def leave(self) -> None:
        """Take over what the places inside hold, as they are left."""
        self.flowing = union(one.flowing for one in self.inside)
        for one in self.inside:
            if one.fields is not self.fields:
                for name, labels in one.fields.items():
                    self.fields[name] = self.fields.get(name, NO_LABELS) | labels
        self.inside.clear()


class RunLabels:
    """What is known of a run in which something is labelled.

    Attributes:
        input: What its input holds.
        context: What the context holds that it was given.
        unknown: What recorded results hold that tell nothing: nobody looked when they were made.
        steps: The steps under way, by address.
    """

    __slots__ = ("context", "input", "steps", "unknown")

    def __init__(
        self, input: Labels = NO_LABELS, context: Labels = NO_LABELS, unknown: Labels = NO_LABELS
    ) -> None:
        self.input = input
        self.context = context
        self.unknown = unknown
        self.steps: dict[str, StepLabels] = {}

    @property
    def begun(self) -> Labels:
        """What the run began with holds."""
        return self.input | self.context

    @staticmethod
    def of(facts: Mapping[str, Any]) -> RunLabels:
        """Return what a run's first event says of it."""
        holds: Mapping[str, Any] = facts.get("holds", {})
        known = [frozenset[str](holds.get(name, ())) for name in ("input", "context", "unknown")]
        return RunLabels(*known)

    def facts(self, *, tracked: bool) -> dict[str, Any]:
        """Return it as it is recorded.

        Args:
            tracked: Whether labels are carried on in this run; otherwise what its results hold is unknown.
        """
        told = {"input": self.input, "context": self.context, "unknown": NO_LABELS if tracked else self.input}
        return {"holds": {name: sorted(labels) for name, labels in told.items() if labels}}

    def again(self) -> RunLabels:
        """Return the same for a run that goes on."""
        return RunLabels(self.input, self.context, self.unknown)


class Marks(NamedTuple):
    """What a step declares, by its settings and its types.

    Attributes:
        takes: What it takes holds.
        gives: What it gives holds besides.
        declassifies: What it takes away.
        reads: Whether it may look at the context.
    """

    takes: Labels = NO_LABELS
    gives: Labels = NO_LABELS
    declassifies: Declassify | None = None
    reads: bool = False


class StepLabels:
    """What a step under way was given, and what its tools gave.

    Args:
        frame: Where it stands.
        marks: What it declares.
        taken: What it was given.

    Attributes:
        gained: What its tools gave.
    """

    __slots__ = ("_closed", "_frame", "_marks", "_values", "gained", "taken")

    def __init__(self, frame: Frame, marks: Marks, taken: Labels) -> None:
        self._frame = frame
        self._marks = marks
        self._values = dict(vars(frame.context))
        self.taken = taken
        self.gained = NO_LABELS
        self._closed: dict[str, Labels] = {}

    @property
    def whole(self) -> Labels:
        """All that went into its output, or into what gave that in its place."""
        return self.taken | self.gained | self._marks.gives | union(one.flowing for one in self._inside())

    def _inside(self) -> list[Held]:
        held = self._frame.held
        return [] if held is None else held.inside

    def gives(self) -> tuple[Labels, Labels]:
        """Return what its output holds, and what was taken away of that.

        What runs in its place, as it failed or was denied, declassifies nothing in its name.
        """
        whole, declassifies = self.whole, self._marks.declassifies
        if declassifies is None or self._inside():
            return whole, NO_LABELS
        gone = declassifies.taken_from(whole)
        return whole - gone, gone

    def close(self, run: Run, address: str) -> Labels:
        """Record what its output holds, right before the output is recorded; return it."""
        if address in self._closed:
            return self._closed[address]
        frame = self._frame
        given, gone = self.gives()
        held, wrote = held_in(frame), False
        for name, value in vars(frame.context).items():
            if value is not self._values.get(name) and (given or name in held.fields):
                held.fields[name] = given
                wrote = True
        if gone and self._marks.declassifies is not None:
            who = "" if run.principal is None else run.principal.id
            facts = {"labels": sorted(gone), "reason": self._marks.declassifies.reason, "principal": who}
            run.note("declassified", address, facts)
        _note(run, address, given, held.fields if wrote else {})
        self._closed[address] = given
        return given


def held_in(frame: Frame) -> Held:
    """Return what is held at a place: what is held around it, when it begins."""
    held = frame.held
    if held is None:
        around = frame.parent
        if around is None:
            known = labels_of(frame.run)
            held = Held(known.input, {}, {ANY: known.context} if known.context else {})
        else:
            outer = held_in(around)
            shares = frame.shares and frame.context is around.context
            named = outer.named if frame.slots is around.slots else dict(outer.named)
            held = Held(outer.flowing, named, outer.fields if shares else dict(outer.fields))
            outer.inside.append(held)
        frame.held = held
    return held


def labels_of(run: Run) -> RunLabels:
    """Return what is labelled in a run, from now on."""
    if run.labels is None:
        run.labels = RunLabels()
    return run.labels


# What is recorded


def closed(frame: Frame, address: str, exports: Iterable[str]) -> None:
    """Record what a composite gives, right before it is recorded itself.

    Args:
        frame: The place that it stands in.
        address: Its address.
        exports: The outputs inside it that later steps name, by path.
    """
    held = held_in(frame)
    held.leave()
    if ANY in held.fields:  # what decides whether a loop goes on may have written what it saw
        held.fields[ANY] |= held.flowing
    named = {path: held.named[path] for path in exports if held.named.get(path)}
    _note(frame.run, address, held.flowing, held.fields, named)


def recalled(frame: Frame, address: str) -> None:
    """Take what a recorded execution gave, as it was recorded."""
    run, held = frame.run, held_in(frame)
    body = next((note.body for note in reversed(run.noted(address)) if note.kind == "labelled"), None)
    if body is None:
        held.flowing = labels_of(run).unknown
        return
    held.flowing = frozenset(body.get("labels", ()))
    if "fields" in body:
        held.fields.clear()
        held.fields.update(_read(body["fields"]))
    held.named.update(_read(body.get("named", {})))


def _note(
    run: Run,
    address: str,
    given: Labels,
    fields: Mapping[str, Labels],
    named: Mapping[str, Labels] | None = None,
) -> None:
    """Record what an execution gave; nothing, where that holds nothing."""
    body: dict[str, Any] = {"labels": sorted(given)} if given else {}
    if fields:
        body["fields"] = {name: sorted(labels) for name, labels in fields.items()}
    if named:
        body["named"] = {path: sorted(labels) for path, labels in named.items()}
    if body:
        run.note("labelled", address, body)


def _read(written: Mapping[str, Iterable[str]]) -> dict[str, Labels]:
    return {name: frozenset(labels) for name, labels in written.items()}


def marking(settle: Callable[[Run, str], None] | None) -> Callable[[Run, str], None]:
    """Return what is done right before a step is recorded: what its output holds is recorded, too."""

    def mark(run: Run, address: str) -> None:
        if settle is not None:
            settle(run, address)
        entry = None if run.labels is None else run.labels.steps.get(address)
        if entry is not None:
            entry.close(run, address)

    return mark


# What policies are told


def gained(frame: Frame, address: str, declassifies: Declassify | None, labels: Iterable[str]) -> None:
    """Note what an effect gave to the step that it is a part of.

    Args:
        frame: Where the step stands.
        address: The effect's.
        declassifies: What the step takes away.
        labels: What it gave holds.
    """
    steps, step = labels_of(frame.run).steps, address.partition("#")[0]
    if step not in steps:  # nothing was labelled when it began
        steps[step] = StepLabels(frame, Marks(declassifies=declassifies), NO_LABELS)
    steps[step].gained |= frozenset(labels)


def labels_seen(frame: Frame, labels: RunLabels, seen: Seen) -> Labels:
    """Return what something that is judged holds."""
    point, entry = seen.kind.point, labels.steps.get(seen.address.partition("#")[0])
    if point == "agent_start":
        return labels.input
    if point == "agent_end":
        return held_in(frame).flowing
    if entry is None:
        return NO_LABELS
    match point:
        case "input":
            return entry.taken
        case "output":
            return entry.gives()[0]
        case _:
            return entry.taken | entry.gained


def union(several: Iterable[Labels]) -> Labels:
    """Return the labels of several together."""
    return frozenset[str]().union(*several)

"""What flowed where in a recorded run: what each execution was given, and in which context.

No event says so: an execution is given what the one before it gave. So it is derived from the run's events
and the order of its plan, which its first event refers to; the code that the run was made by is not needed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic_core import from_json

from flujo.engine.past import Past
from flujo.journal.events import Event
from flujo.journal.store import JournalStore
from flujo.plan.plan import NUMBER

_VALUED = frozenset({"step.completed", "node.completed", "turn"})


class Origin(NamedTuple):
    """Where a value came from.

    Attributes:
        address: The execution that gave it; empty for the run's input.
        facts: The body that it stands in.
        member: The member of the body: ``output``, or the ``value`` of an answer.
        items: Where inside that: an item of the value, an item of that; nothing for the whole.
    """

    address: str
    facts: Mapping[str, Any]
    member: str = "output"
    items: tuple[int, ...] = ()


class Flow:
    """Derives what each execution of a recorded run was given.

    Args:
        past: The run.
        store: Holds its large values.
        digests: The digests of its plan, by path, in the plan's order.
        kinds: What kind each node is, by path, as far as it is known.
    """

    def __init__(
        self, past: Past, store: JournalStore, digests: Mapping[str, str], kinds: Mapping[str, str]
    ) -> None:
        self._store = store
        self._facts = past.facts
        self._kinds = kinds
        self._paths = set(digests)
        self._levels: dict[str, list[str]] = {}
        for path in digests:
            level, label = _split(path)
            self._levels.setdefault(level, []).append(label)
        self._at: dict[str, dict[str, Event]] = {}
        self._rows: dict[str, list[str]] = {}
        self._skipped: dict[str, set[str]] = {}
        self._joined: dict[str, str] = {}
        self._tops: set[str] = set()
        for event in past.events:
            self._at.setdefault(event.address, {})[event.kind] = event
            if event.kind == "mutated":
                self._mutate(_split(event.address)[0], from_json(event.body))
        self._bodies: dict[int, Mapping[str, Any]] = {}
        self._contexts: dict[str, Mapping[str, Any]] = {}

    async def value(self, origin: Origin) -> Any:
        """Return the value that came from somewhere, as JSON."""
        facts = origin.facts
        if origin.member == "output" and "output_ref" in facts:
            whole = from_json(await self._store.payload(bytes.fromhex(facts["output_ref"])))
        else:
            whole = facts[origin.member]
        for item in origin.items:
            whole = whole[item]
        return whole

    def _mutate(self, level: str, facts: Mapping[str, Any]) -> None:
        """Take in which nodes stand in a row after a mutation, and what is inside those that joined it."""
        skipped = self._skipped.setdefault(level, set())
        skipped.update(one["target"] for one in facts["operations"] if one["operation"] == "skip")
        self._rows[level] = self._with_declared(level, facts["row"], skipped)
        self._tops.update(level + label for label in facts.get("added", ()))
        begin = len(NUMBER.sub("[]", level))
        for path, (kind, *_) in facts.get("nodes", {}).items():
            place = level + path[begin:]
            self._joined[place] = kind
            inside, label = _split(place)
            if inside != level and label not in self._levels.setdefault(inside, []):
                self._levels[inside].append(label)

    def _with_declared(self, level: str, row: Sequence[str], skipped: Collection[str]) -> list[str]:
        """Return a recorded row with the nodes that an upgrade brought in since: behind those they follow."""
        found, at = list(row), 0
        for label in self._levels.get(self._path(level), ()):
            if label in found:
                at = found.index(label) + 1
            elif label not in skipped:
                found.insert(at, label)
                at += 1
        return found

    def joined(self, address: str) -> bool:
        """Say whether a node stands there that joined the run while it ran."""
        return self._path(address) in self._joined

    def _path(self, address: str) -> str:
        """Return the path of the node at an address; of what joined the run, from where it did."""
        ends = [end for end, letter in enumerate(address) if letter in "/["] if self._tops else []
        for end in (len(address), *reversed(ends)) if self._tops else ():
            if address[:end] in self._tops:
                return address[:end] + NUMBER.sub("[]", address[end:])
        return NUMBER.sub("[]", address)

    def _labels(self, level: str) -> Sequence[str]:
        """Return the labels of a row of nodes."""
        known = self._rows.get(level)
        return self._levels.get(self._path(level), ()) if known is None else known

    def _kind(self, address: str) -> str | None:
        path = self._path(address)
        return self._joined.get(path) or self._kinds.get(path)

    def _is_node(self, address: str) -> bool:
        path = self._path(address)
        return path in self._joined or path in self._paths

    def given(self, address: str) -> Origin | None:
        """Return where the input of an execution came from; None where that cannot be told."""
        revised = self._event(address, "revised")
        if revised is not None and ("output" in revised or "output_ref" in revised):
            return Origin(address, revised)
        level, label = _split(address)
        for other in reversed(self._before(level, label)):
            origin = self._gave(level + other)
            if origin is not None:
                return origin
        return self._entered(level)

    def _before(self, level: str, label: str) -> list[str]:
        """Return the labels that stand before another in its row of nodes."""
        row = self._labels(level)
        return list(row[: row.index(label)]) if label in row else []

    def _entered(self, level: str) -> Origin | None:
        """Return what the first node of a row was given: the input of what the row stands in."""
        if not level:
            return Origin("", self._facts)
        around = level[:-1]
        if around.endswith("]"):
            return self._turn_or_item(around)
        if self._is_node(around):
            mapped = self._event(f"{around}[]", "choice")
            return Origin(f"{around}[]", mapped) if mapped is not None else self.given(around)
        return self.given(around.rpartition("/")[0])  # a branch, or a case

    def _turn_or_item(self, around: str) -> Origin | None:
        base, _, number = around[:-1].rpartition("[")
        if self._kind(base) == "loop":
            if number == "1":
                return self.given(base)
            turn = f"{base}[{int(number) - 1}]"
            facts = self._event(turn, "turn")
            return None if facts is None else Origin(turn, facts)
        chosen = self._event(f"{base}[]", "choice")
        if chosen is not None:
            return Origin(f"{base}[]", chosen, items=(int(number),))
        origin = self.given(base)
        return None if origin is None else origin._replace(items=(*origin.items, int(number)))

    def _gave(self, address: str) -> Origin | None:
        """Return what an execution gave; None where it did not come to an end."""
        known = self._at.get(address, {})
        for kind in _VALUED:
            if kind in known:
                return Origin(address, self._body(known[kind]))
        if "answer" in known:
            answer = self._body(known["answer"])
            if answer["action"] in ("approve", "edit"):
                return Origin(address, answer, "value")
            return self._last(f"{address}/")
        if "timer" in known:
            return self.given(address)
        if "choice" in known:
            return self._last(f"{address}/{self._body(known['choice'])['output']}/")
        return None

    def _last(self, level: str) -> Origin | None:
        """Return what the last that ended in a row of nodes gave."""
        for label in reversed(self._labels(level)):
            origin = self._gave(level + label)
            if origin is not None:
                return origin
        return None

    # The context

    def context(self, address: str) -> Mapping[str, Any]:
        """Return the context that an execution was given, as JSON."""
        level, label = _split(address)
        row = [level + other for other in (*self._before(level, label), label)]
        known = next((at for at in reversed(range(len(row))) if row[at] in self._contexts), -1)
        context = self._entered_with(level) if known < 0 else self._contexts[row[known]]
        for at in range(max(known, 0), len(row)):
            if at > known:
                context = self._contexts[row[at]] = changed(context, self._own(row[at], "revised"))
            if at < len(row) - 1:
                context = changed(context, self._patches(row[at]))
        return context

    def _entered_with(self, level: str) -> Mapping[str, Any]:
        if not level:
            return self._facts["context"]
        around = level[:-1]
        if around.endswith("]"):
            base, _, number = around[:-1].rpartition("[")
            if self._kind(base) == "loop":
                return self._turn(base, int(number))
            return self._inside(base)
        if self._is_node(around):
            return self._inside(around)
        return self._inside(around.rpartition("/")[0])

    def _turn(self, base: str, number: int) -> Mapping[str, Any]:
        """Return the context that a loop's turn began with."""
        known = max(
            (turn for turn in range(1, number + 1) if f"{base}[{turn}]/" in self._contexts), default=0
        )
        context = self._contexts[f"{base}[{known}]/"] if known else self._inside(base)
        for turn in range(known or 1, number):
            context = changed(context, self._own(f"{base}[{turn}]", "turn"))
        self._contexts[f"{base}[{number}]/"] = context
        return context

    def _inside(self, address: str) -> Mapping[str, Any]:
        """Return the context inside a composite: its own, with what its choice changed."""
        choices = [*self._own(address, "choice"), *self._own(f"{address}[]", "choice")]
        return changed(self.context(address), choices)

    def _patches(self, address: str) -> list[Mapping[str, Any]]:
        """Return what an execution that ended changed, in order."""
        known = self._at.get(address, {})
        for kind in ("step.completed", "node.completed"):
            if kind in known:
                return [*self._own(f"{address}[]", "choice"), *self._own(address, kind)]
        found = self._own(address, "choice")
        if "choice" in known:
            return found + self._row(f"{address}/{self._body(known['choice'])['output']}/")
        return found + self._row(f"{address}/")

    def _row(self, level: str) -> list[Mapping[str, Any]]:
        return [patch for label in self._labels(level) for patch in self._patches(level + label)]

    def _own(self, address: str, kind: str) -> list[Mapping[str, Any]]:
        facts = self._event(address, kind)
        return [facts["patch"]] if facts is not None and facts.get("patch") else []

    def _event(self, address: str, kind: str) -> Mapping[str, Any] | None:
        event = self._at.get(address, {}).get(kind)
        return None if event is None else self._body(event)

    def _body(self, event: Event) -> Mapping[str, Any]:
        known = self._bodies.get(event.seq)
        if known is None:
            known = self._bodies[event.seq] = from_json(event.body)
        return known


def changed(context: Mapping[str, Any], patches: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return a context, as JSON, with recorded patches on top."""
    now = dict(context)
    for patch in patches:
        for name, change in patch.items():
            if "set" in change:
                now[name] = change["set"]
            elif "append" in change:
                now[name] = [*now.get(name, ()), *change["append"]]
            else:
                gone = change.get("gone", ())
                kept = {key: value for key, value in now.get(name, {}).items() if key not in gone}
                now[name] = {**kept, **change.get("keys", {})}
    return now


def _split(address: str) -> tuple[str, str]:
    """Return the row of nodes that an address stands in, and its label there."""
    level, slash, label = address.rpartition("/")
    return level + slash, label

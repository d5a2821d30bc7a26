"""Asking: what a run waits for, and the answers it has."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from types import MappingProxyType
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json, to_json

from flujo.engine.record import Note, Recall
from flujo.engine.run import Run, Suspended, microseconds
from flujo.errors import PolicyDenied, RecordError, RequestDenied
from flujo.journal.store import JournalStore
from flujo.pipeline.waits import Action, Approval, RequestKind
from flujo.plan.codec import Codec, Unrecordable, codec_for

NOTHING_MORE: Mapping[str, Any] = MappingProxyType({})


class Asked(BaseException):
    """Unwinds a step's own code when it asks a person; below Exception, so that no code swallows it.

    Args:
        suspended: What the run waits for.
        judged: Where policies ask: what they ask about, as they redacted it, and what told it before.
    """

    def __init__(self, suspended: Suspended, judged: tuple[Any, str] | None = None) -> None:
        super().__init__("the run waits for an answer")
        self.suspended = suspended
        self.judged = judged


def questions(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return what a group of tasks inside a step came to: one question, if asking is all that they did."""
    denied = group.subgroup(PolicyDenied)
    if denied is not None:
        return first_of(denied)
    asked, rest = group.split(Asked)
    if asked is None or rest is not None:
        return rest or group
    found: list[Approval] = []
    waiting: list[BaseException] = [asked]
    while waiting:
        match waiting.pop(0):
            case BaseExceptionGroup(exceptions=inner):
                waiting += inner
            case Asked(suspended=suspended):
                found += suspended.requests
            case _:
                pass
    return Asked(Suspended(*found))


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first exception of a group that is no group itself."""
    match group.exceptions[0]:
        case BaseExceptionGroup() as inner:
            return first_of(inner)
        case first:
            return first


def answer_to(run: Run, address: str) -> Mapping[str, Any] | None:
    """Return the answer to the last request made at an address, if it was answered."""
    answer = None
    for note in run.noted(address):
        if note.kind == "request":
            answer = None
        elif note.kind == "answer":
            answer = note.body
    return answer


def showed(run: Run, address: str, told: str) -> bool:
    """Say whether what was last asked at an address, if anything was, was asked about just this.

    Code that asks a model which nothing records may come to another subject when it runs again, and whoever
    approved the one has not seen the other.

    Args:
        run: The run.
        address: The address.
        told: What tells the subject from others; what was shown of it may be redacted.
    """
    known = [note.body["about"] for note in run.noted(address) if note.kind == "request"]
    return not known or known[-1] == told


def answer_about(run: Run, address: str, digest: str) -> Mapping[str, Any] | None:
    """Return the answer to the request that showed what has this digest; None where there is none."""
    answer, shown = None, False
    for note in run.noted(address):
        if note.kind == "request":
            shown = note.body.get("judged") == digest
            answer = None if shown else answer  # what was answered did not fit, and it was asked again
        elif note.kind == "answer" and shown:
            answer = note.body
    return answer


def approved_at(run: Run, place: str, digest: str, policy: str, approvals: int) -> Mapping[str, Any] | None:
    """Return the approval of the same data at another place: nobody is asked twice about what they have seen.

    Args:
        run: The run.
        place: How the addresses of such places end.
        digest: What tells the data.
        policy: Who asked.
        approvals: How many people must have approved.
    """
    for address, notes in run.notes.items():
        if not address.endswith(place):
            continue
        for note in notes:
            body = note.body
            if note.kind != "request" or body.get("judged") != digest:
                continue
            if body.get("policy") != policy or body.get("approvals", 1) < approvals:
                continue
            answer = answer_about(run, address, digest)
            if answer is not None and answer["action"] == "approve":
                return answer
    return None


def pending(notes: Mapping[str, list[Note]], run_id: str) -> list[Approval]:
    """Return the requests that no answer followed, in the order they were made; none once the run ended."""
    if any(note.kind == "run.ended" for note in notes.get("", ())):
        return []
    found: list[tuple[int, Approval]] = []
    for address, known in notes.items():
        asked = [note for note in known if note.kind in ("request", "answer")]
        if asked and asked[-1].kind == "request":
            request = approval(run_id, address, asked[-1].body, approved(known))
            found.append((asked[-1].body["asked_at"], request))
    return [request for _, request in sorted(found, key=lambda pair: pair[0])]


async def waiting(store: JournalStore, run_id: str) -> list[Approval]:
    """Return what a run of a store waits for, without knowing its pipeline.

    Raises:
        StoreError: The store cannot be read.
    """
    return pending(Recall.of(await store.live_events(run_id)).notes, run_id)


def approved(notes: Sequence[Note]) -> tuple[str, ...]:
    """Return who has approved the last request at an address, where that was not enough."""
    names: list[str] = []
    for note in notes:
        if note.kind == "request":
            names.clear()
        elif note.kind == "approval":
            names.append(note.body["actor"])
    return tuple(names)


def approval(run_id: str, address: str, body: Mapping[str, Any], by: tuple[str, ...] = ()) -> Approval:
    """Return a recorded request as it is shown."""
    deadline = body.get("deadline")
    return Approval(
        id=f"{run_id}:{address}",
        run_id=run_id,
        address=address,
        kind=body["kind"],
        prompt=body["prompt"],
        subject=body["subject"],
        schema=body["schema"],
        actions=tuple(body["actions"]),
        asked_at=moment(body["asked_at"]),
        deadline=None if deadline is None else moment(deadline),
        digest=body["digest"],
        approvals=body.get("approvals", 1),
        approved_by=by,
    )


def asked(run: Run, address: str) -> Suspended | None:
    """Return the wait for a request that was recorded here and not answered; it is shown as it was."""
    known = [note for note in run.noted(address) if note.kind in ("request", "answer")]
    if known and known[-1].kind == "request":
        return Suspended(approval(run.id, address, known[-1].body, approved(run.noted(address))))
    return None


def ask(
    run: Run,
    address: str,
    kind: RequestKind,
    prompt: str,
    *,
    subject: Any = None,
    schema: Mapping[str, Any],
    type_name: str = "",
    actions: tuple[Action, ...] = ("approve", "edit", "deny"),
    deadline: int | None = None,
    name: str = "",
    more: Mapping[str, Any] = NOTHING_MORE,
) -> Suspended:
    """Record a request at an address, and wait for its answer.

    Raises:
        RecordError: The subject cannot be recorded.
    """
    try:
        shown = to_json({"address": address, "prompt": prompt, "subject": subject, "schema": schema})
    except ValueError as error:
        raise RecordError(
            f"what it shows cannot be recorded: {error}",
            step=address,
            address=address,
            fix="show a JSON value",
        ) from error
    body: dict[str, Any] = {
        "kind": kind,
        "prompt": prompt,
        "subject": from_json(shown)["subject"],
        "schema": schema,
        "type": type_name,
        "actions": list(actions),
        "asked_at": run.clock.now(),
        "deadline": deadline,
        "digest": sha256(shown).hexdigest(),
        "name": name,
        **more,
    }
    run.note("request", address, body)
    return Suspended(approval(run.id, address, body))


def answer_codec(schema: Any, address: str) -> Codec:
    """Return how answers of a type that a step asks for are written and read.

    Raises:
        RecordError: Nobody can give an answer of this type.
    """
    try:
        return codec_for(schema)
    except Unrecordable as error:
        raise RecordError(
            f"an answer of this type cannot be given: {error.message}",
            step=address,
            address=address,
            fix=error.fix,
        ) from error


def accepted(answer: Mapping[str, Any], codec: Codec, address: str) -> Any:
    """Return the value of an answer.

    Raises:
        RequestDenied: The person denied.
        RecordError: The recorded answer does not fit the type that is asked for now.
    """
    if answer["action"] == "deny":
        actor = answer["actor"] or "somebody"
        raise RequestDenied(
            f"{address}: {actor} denied" + (f": {answer['reason']}" if answer["reason"] else ""),
            fix="start a new run, or give the node `on_deny=` to go on another way",
        )
    value, wrong = _read(answer, codec)
    if wrong:
        raise RecordError(
            f"the recorded answer does not fit what is asked now: {wrong}", step=address, address=address
        )
    return value


def misfit(answer: Mapping[str, Any], codec: Codec) -> str:
    """Return what is wrong with a recorded answer for the type that is asked for; empty where it fits."""
    return "" if answer["action"] == "deny" else _read(answer, codec)[1]


def _read(answer: Mapping[str, Any], codec: Codec) -> tuple[Any, str]:
    """Return the value of an answer, or None and what is wrong with it."""
    try:
        return codec.load_parsed(answer["value"]), ""
    except (Unrecordable, ValueError) as error:
        return None, faults(error, codec.schema())


_QUOTES = frozenset({"union_tag_invalid", "uuid_parsing", "url_parsing", "json_invalid"})
"""Kinds of faults whose message repeats a part of the answer."""
_OWN_WORDS = frozenset({"value_error", "assertion_error"})
"""Kinds of faults whose message is that of the model's own validator."""


def faults(error: Unrecordable | ValueError, schema: Mapping[str, Any]) -> str:
    """Return what is wrong with an answer for a JSON Schema, and where in it, without the answer itself.

    What a validator of the pipeline's own model says is meant for the person, and is told unless it repeats
    a value of the answer word for word.
    """
    match error:
        case ValidationError():
            declared = _declared(schema)
            parts = error.errors(include_url=False, include_context=False)
            return "; ".join(f"{_place(part['loc'], declared)}: {_said(part, declared)}" for part in parts)
        case Unrecordable():
            return error.message
        case _:
            return type(error).__name__


def _said(part: ErrorDetails, declared: frozenset[str]) -> str:
    kind, message = part["type"], part["msg"]
    hidden = kind in _QUOTES
    if kind in _OWN_WORDS:
        hidden = any(text in message for text in set(_texts(part["input"])) - declared)
    return kind.replace("_", " ") if hidden else message


def _texts(value: Any) -> Iterator[str]:
    """Yield every key and value of JSON data as text; what is empty, true, false or null says nothing."""
    match value:
        case dict():
            for key, member in cast("dict[str, Any]", value).items():
                yield from (key, *_texts(member))
        case list():
            for item in cast("list[Any]", value):
                yield from _texts(item)
        case None | bool() | "":
            pass
        case _:
            yield str(value)


def _place(where: Sequence[int | str], declared: frozenset[str]) -> str:
    """Return a place in an answer by positions and declared names; a key of the answer's own is not told."""
    known = [str(part) if isinstance(part, int) or part in declared else "…" for part in where]
    return ".".join(known) or "answer"


def _declared(schema: Any) -> frozenset[str]:
    """Return every name of a property that a JSON Schema declares."""
    found: set[str] = set()
    match schema:
        case dict():
            members = cast("dict[str, Any]", schema)
            found.update(members.get("properties") or ())
            found.update(*(_declared(member) for member in members.values()))
        case list():
            found.update(*(_declared(member) for member in cast("list[Any]", schema)))
        case _:
            pass
    return frozenset(found)


def moment(at: int) -> datetime:
    """Return a time of the journal as a datetime in UTC."""
    return datetime.fromtimestamp(at / 1e6, UTC)


def is_late(request: Approval, now: int) -> bool:
    """Say whether the time for an answer is over."""
    return request.deadline is not None and now >= microseconds(request.deadline)


def importable(schema: Any) -> str:
    """Return where a type can be imported from (``module:name``); empty where it cannot."""
    if isinstance(schema, type) and "<" not in schema.__qualname__ and not inspect.isfunction(schema):
        return f"{schema.__module__}:{schema.__qualname__}"
    return ""

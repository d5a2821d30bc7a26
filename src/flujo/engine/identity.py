"""Names: of runs, of the processes that carry them on, of stores; and what runs are known to begin with."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import from_json

from flujo.errors import ConfigError, InputError
from flujo.journal.store import JournalStore

if TYPE_CHECKING:
    from flujo.engine.record import Recall
    from flujo.engine.run import Run
    from flujo.pipeline.context import PipelineContext
    from flujo.pipeline.policy import Principal

_process_token = os.urandom(8).hex()
_tokens = count(1)


def new_run_id() -> str:
    """Return a UUID version 7 (RFC 9562): runs sort by the time they began."""
    digits = f"{time.time_ns() // 1_000_000:012x}7{os.urandom(10).hex()[1:]}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def checked_id(run_id: object) -> str:
    """Refuse a run id that could not stand in a line, or in an address."""
    if not isinstance(run_id, str) or not run_id or not run_id.isprintable() or run_id != run_id.strip():
        raise InputError(f"run_id={run_id!r} cannot name a run", fix="use letters, digits, '-' and '_'")
    return run_id


def principal_of(facts: Mapping[str, Any]) -> Principal | None:
    """Return on whose behalf a recorded run goes, by its first event; None where that does not say."""
    told = facts.get("principal")
    if told is None:
        return None
    from flujo.pipeline.policy import Principal

    return Principal(**told)


def new_token() -> str:
    """Return a fencing token that no other writer has, in this process or another."""
    return f"{_process_token}{next(_tokens)}"


def _renew_token() -> None:
    global _process_token
    _process_token = os.urandom(8).hex()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_renew_token)

_at_work: set[str] = set()


def owner_of(token: str) -> str:
    """Return how a writer of this process is named as the owner of a run: host, process, start and token."""
    return f"{_process(os.getpid())}:{token}"


def begins(token: str) -> None:
    """Say that a writer of this process carries a run on from now."""
    _at_work.add(token)


def ends(token: str) -> None:
    """Say that a writer of this process carries its run on no more."""
    _at_work.discard(token)


def is_alive(owner: str) -> bool:
    """Say whether the writer that an owner's name stands for still carries its run on.

    A process on another host counts as alive: it cannot be seen from here.
    """
    process, _, token = owner.rpartition(":")
    if process == _process(os.getpid()):
        return token in _at_work
    host, _, rest = process.rpartition(":")[0].rpartition(":")
    if not host:
        return False
    if host != platform.node():
        return True
    return _started(int(rest)) == process.rpartition(":")[2]


@lru_cache(maxsize=4)
def _process(pid: int) -> str:
    return f"{platform.node()}:{pid}:{_started(pid)}"


def _started(pid: int) -> str | None:
    """Return when a process started, as its system tells it; None when there is no such process."""
    try:
        facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if facts[0] in "ZX" else facts[19]  # a zombie has ended
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return ""
    return ""


def store_of(state: JournalStore | str | Path | None) -> JournalStore | None:
    """Return the store that a runner's ``state`` names; None where it names none.

    Raises:
        ConfigError: It is no store.
    """
    if isinstance(state, bool | int | float | bytes | dict | list):
        raise ConfigError(
            f"state={state!r} is no store",
            fix="pass the path of an SQLite file, the URL of a PostgreSQL database, or a store",
        )
    if isinstance(state, str) and "://" in state:
        from flujo.journal.postgres import PostgresStore

        return PostgresStore(state)
    if isinstance(state, str | Path):
        from flujo.journal.sqlite import SQLiteStore

        return SQLiteStore(state)
    return state


def begun_with(
    run: Run, holds: Iterable[str], context: PipelineContext | None, *, tracked: bool
) -> Mapping[str, Any]:
    """Note what a run's input holds, and a context that it is given; return that as it is recorded.

    Args:
        run: The run.
        holds: What they hold.
        context: The context.
        tracked: Whether labels are carried on in this run.
    """
    if not holds:
        return {}
    from flujo.engine.labels import RunLabels
    from flujo.pipeline.labels import labels_given

    given = labels_given(holds, "input_labels")
    run.labels = RunLabels(given, frozenset() if context is None else given)
    return run.labels.facts(tracked=tracked)


def known_as(run: Run, facts: Mapping[str, Any], recall: Recall) -> None:
    """Note on whose behalf a recorded run goes, and what is labelled in it, if anything is."""
    run.principal = principal_of(facts)
    if "holds" in facts or recall.labelled:
        from flujo.engine.labels import RunLabels

        run.labels = RunLabels.of(facts)


def context_of(model: type[PipelineContext], context: PipelineContext | None) -> PipelineContext:
    """Return the context that a run begins with: a copy of what is given, or a new one.

    Raises:
        InputError: It cannot be made without being given, or is of another class.
    """
    if context is None:
        try:
            return model()
        except ValidationError as error:
            missing = ", ".join(".".join(map(str, part["loc"])) for part in error.errors(include_input=False))
            raise InputError(
                f"{model.__name__} cannot be made without {missing}",
                fix=f"pass context={model.__name__}(…)",
            ) from None
    if not isinstance(context, model):
        raise InputError(
            f"the context is {type(context).__name__}, but the pipeline's is {model.__name__}",
            fix=f"pass context={model.__name__}(…)",
        )
    return context.model_copy(deep=True)


def is_input(facts: Mapping[str, Any], dumped: bytes, run_id: str) -> bool:
    """Say whether a run whose beginning is recorded like this was given an input."""
    if "entered" in facts:
        return facts["entered"] == digest_in(run_id, dumped)
    if "given" in facts:
        return facts["given"] == sha256(dumped).hexdigest()
    if "output" in facts:
        return facts["output"] == from_json(dumped)
    return facts["output_ref"] == sha256(dumped).hexdigest()


def digest_in(run_id: str, written: bytes) -> str:
    """Return a digest that tells nothing outside of one run."""
    return sha256(b"%b\n%b" % (run_id.encode(), written)).hexdigest()

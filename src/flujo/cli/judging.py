"""Policies as code on the command line: checked, tested, tried on recorded runs, and explained."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from flujo.cli.config import Config
from flujo.cli.output import DONE, FAILED, INVALID, emit, emit_json, note, user_code
from flujo.cli.reading import body_of, find_run, opened
from flujo.cli.reading import since as moment_of
from flujo.cli.targets import load_function, load_target
from flujo.cli.text import counted, local, moment
from flujo.errors import ChainBroken, ConfigError
from flujo.governance.cedar import CedarPolicy
from flujo.governance.cedar_bundle import Bundle, Rule
from flujo.governance.cedar_cases import read_cases, run_cases
from flujo.governance.cedar_check import PolicyProblem, check_policies
from flujo.governance.cedar_schema import schema_of
from flujo.governance.cedar_simulate import Simulation, simulate
from flujo.journal.events import Event
from flujo.journal.store import JournalStore


def check(
    text: str, config: Config, policies: Path, *, tools: Sequence[str], schema: bool, as_json: bool
) -> int:
    """Check policies against a target, and return what the command exits with.

    Raises:
        ConfigError: The policies cannot be read, or are no Cedar.
        PlanError: The target has problems.
    """
    with user_code():
        plan = load_target(text, names=config.targets, folder=config.folder).plan()
        functions: list[Callable[..., Any]] = [load_function(one, config.folder) for one in tools]
    if schema:
        emit(schema_of(plan, functions).rstrip("\n"))
        return DONE
    bundle = Bundle.read(policies)
    problems = check_policies(bundle, plan, functions)
    wrong = [one for one in problems if one.certain]
    if as_json:
        emit_json(
            {
                "ok": not wrong,
                "version": bundle.version,
                "rules": len(bundle.rules),
                "problems": [asdict(one) for one in problems],
            }
        )
        return INVALID if wrong else DONE
    for one in problems:
        emit(_told(one))
    if not wrong:
        rules = counted(len(bundle.rules), "rule")
        emit(f"ok: {rules} for {plan.name}, version {bundle.version[:16]}")
    return INVALID if wrong else DONE


def _told(problem: PolicyProblem) -> str:
    where = ": ".join(filter(None, (problem.file, problem.rule)))
    return f"{'wrong' if problem.certain else 'look'}  {where}: {problem.message}"


def test(file: Path, *, as_json: bool) -> int:
    """Run the cases of a file, and return what the command exits with.

    Raises:
        ConfigError: The file or its policies cannot be read.
    """
    cases = read_cases(file)
    results = run_cases(cases, CedarPolicy(file.parent / cases.policies))
    failed = [one for one in results if one.wrong]
    if as_json:
        emit_json({"ok": not failed, "cases": [asdict(one) for one in results]})
        return FAILED if failed else DONE
    for one in failed:
        emit(f"failed  {one.name}: {one.wrong}")
        for error in one.errors:
            emit(f"        {error}")
    emit(f"{len(results) - len(failed)} of {counted(len(results), 'case')} passed")
    return FAILED if failed else DONE


def try_on_runs(
    config: Config, policies: Path, *, target: str | None, since: str | None, name: str, as_json: bool
) -> int:
    """Judge recorded runs anew, and return what the command exits with.

    Raises:
        ConfigError: The policies cannot be read, or a word is none that is known.
        StoreError: The store cannot be read.
    """
    policy = CedarPolicy(policies, name=name)
    begun = moment_of(since, "--since", datetime.now(UTC))
    plan = None
    if target is not None:
        with user_code():
            plan = load_target(target, names=config.targets, folder=config.folder).plan()

    async def tried() -> Simulation:
        async with opened(config.store) as store:
            return await simulate(store, policy, since=begun, plan=plan)

    found = asyncio.run(tried())
    if as_json:
        emit_json({"version": policy.version, **asdict(found)})
        return FAILED if found.changes else DONE
    for change, count in found.changes.items():
        emit(f"{change}: {count}")
        for one in found.examples[change]:
            why = " ".join(filter(None, (one.rule, f"({one.reason})" if one.reason else "")))
            emit(f"    {one.run_id}  {one.address}  {one.point}: {one.before} → {one.now}  {why}")
    if found.unmatched:
        emit(f"decided nothing: {', '.join(found.unmatched)}")
    emit(
        f"{counted(found.judged, 'verdict')} of {counted(found.runs, 'run')} judged anew, "
        f"{sum(found.changes.values())} otherwise"
    )
    if found.unknown:
        why = "; ".join(f"{what} ({count})" for what, count in found.why.items())
        note(
            f"{counted(found.unknown, 'verdict')} could not be judged: "
            f"the journal does not hold what policies look at: {why}"
        )
    if found.entered:
        note(
            f"{counted(found.entered, 'verdict')} left alone: about contexts, answers, events and changes, "
            "about which policies in Cedar are not asked"
        )
    return FAILED if found.changes else DONE


def explain(config: Config, typed: str, address: str, *, as_json: bool) -> int:
    """Print which policies decided at a place of a run, and return what the command exits with.

    Raises:
        UnknownRun: No run, or more than one, is meant.
        ConfigError: Nothing was judged there.
    """

    async def read() -> tuple[str, list[dict[str, Any]]]:
        async with opened(config.store) as store:
            record = await find_run(store, typed)
            events = await store.events(record.run_id)
            bundles = await _bundles(store, events)
            verdicts = [event for event in events if event.kind == "verdict"]
            found = [_explained(event, bundles) for event in verdicts if event.address == address]
            if not found:
                raise _nothing(record.run_id, address, sorted({event.address for event in verdicts}))
            return record.run_id, found

    run_id, found = asyncio.run(read())
    if as_json:
        emit_json({"run_id": run_id, "address": address, "verdicts": found})
        return DONE
    for one in found:
        tool = f" of {one['tool']}" if one["tool"] else ""
        emit(f"{one['point']}{tool}: {one['verdict']}, {one['at']}, event {one['seq']}")
        emit(f"    judged    {one['digest']}")
        if one["holds"]:
            emit(f"    holds     {', '.join(one['holds'])}")
        for said in one["by"]:
            _print_said(said)
    return DONE


def _print_said(said: Mapping[str, Any]) -> None:
    mode = " (observing)" if said["mode"] == "observe" else ""
    emit(f"    {said['policy']}: {said['verdict']}{mode}")
    emit(f"        version  {said['version']}")
    if said["inputs"]:
        emit(f"        inputs   {said['inputs']}")
    for rule in said["rules"]:
        where = f" in {rule['file']}" if rule["file"] else ""
        emit(f"        rule     {rule['id']}{where}")
    for name in ("reason", "obligations", "errors"):
        if said[name]:
            text = said[name] if isinstance(said[name], str) else "; ".join(said[name])
            emit(f"        {name:<8} {text}")


async def _bundles(store: JournalStore, events: Sequence[Event]) -> Mapping[str, Mapping[str, Rule]]:
    """Return the rules of each version of policies that a run kept, by their ids."""
    found: dict[str, Mapping[str, Rule]] = {}
    for event in events:
        if event.kind == "policies":
            body = body_of(event)
            try:
                bundle = Bundle.recorded(await store.payload(bytes.fromhex(body["bundle_ref"])))
            except (ChainBroken, ConfigError):  # the ids alone are told
                continue
            found[body["version"]] = {rule.id: rule for rule in bundle.rules.values()}
    return found


def _explained(event: Event, bundles: Mapping[str, Mapping[str, Rule]]) -> dict[str, Any]:
    body: dict[str, Any] = from_json(event.body)
    return {
        "seq": event.seq,
        "at": local(moment(event.at)),
        "point": body["point"],
        "tool": body.get("tool", ""),
        "verdict": body["verdict"],
        "digest": body["digest"],
        "holds": body.get("holds", []),
        "by": [_said(said, bundles) for said in body["by"]],
    }


def _said(said: Mapping[str, Any], bundles: Mapping[str, Mapping[str, Rule]]) -> dict[str, Any]:
    known = bundles.get(str(said["version"]).partition("+")[0], {})
    ids = [one for one in said.get("rule", "").split(", ") if one]
    return {
        "policy": said["policy"],
        "version": said["version"],
        "verdict": said["verdict"],
        "mode": said.get("mode") or "enforce",
        "inputs": said.get("inputs", ""),
        "rules": [{"id": one, "file": known[one].file if one in known else ""} for one in ids],
        "reason": said.get("reason", ""),
        "obligations": said.get("obligations", []),
        "errors": said.get("errors", []),
    }


def _nothing(run_id: str, address: str, known: Sequence[str]) -> ConfigError:
    close = difflib.get_close_matches(address, known, n=1, cutoff=0.4)
    if close:
        fix = f"did you mean {close[0]}?"
    elif known:
        fix = f"judged were {', '.join(repr(one) for one in known[:5])}"
    else:
        fix = "nothing of this run was judged; give its pipeline policies"
    return ConfigError(f"run {run_id}: nothing was judged at {address!r}", fix=fix)

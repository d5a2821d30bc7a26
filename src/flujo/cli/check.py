"""Checking and drawing a target."""

from __future__ import annotations

import difflib
from pathlib import Path

from flujo.cli.config import Config
from flujo.cli.draw import as_json, at_most, draw, mermaid, tree
from flujo.cli.output import DONE, emit, emit_json, note, plain_json, speaks_unicode, stdout, user_code
from flujo.cli.targets import load_target
from flujo.cli.text import counted
from flujo.errors import ConfigError
from flujo.plan.plan import Plan

FORMATS = ("tree", "mermaid", "svg", "json")


def check(text: str, config: Config, *, machine: bool) -> int:
    """Check a target and print what was found of it.

    Raises:
        PlanError: It has problems; the error lists all of them.
    """
    plan = _plan(text, config)
    if machine:
        facts = {key: value for key, value in as_json(plan).items() if key != "root"}
        emit_json({"ok": True, **facts})
        return DONE
    worst = plan.worst_case
    beyond = f", and what {', '.join(worst.unlimited)} may bring in" if worst.unlimited else ""
    each = f" for each item of {', '.join(worst.per_item)}" if worst.per_item else ""
    nodes = counted(len(plan.nodes), "node")
    emit(
        f"ok: {plan.name} has {nodes}; at worst {counted(worst.steps, 'step')} and "
        f"{counted(worst.attempts, 'attempt')}{each}{beyond}"
    )
    for meter, most in at_most(plan).get("at_most", {}).items():
        emit(f"    at most {meter} {'unbounded' if most is None else most}")
    emit(f"    context {plan.context_model.__name__}, fingerprint {plan.fingerprint[:16]}")
    return DONE


def show(text: str, config: Config, *, form: str, file: Path | None) -> int:
    """Draw a target on stdout or into a file.

    Raises:
        ConfigError: The file cannot be written.
        PlanError: The target has problems.
    """
    if form not in FORMATS:
        close = difflib.get_close_matches(form, FORMATS, n=1)
        fix = f"did you mean {close[0]}?" if close else f"use {', '.join(FORMATS)}"
        raise ConfigError(f"--format {form!r} is none that flujo draws", fix=fix)
    plan = _plan(text, config)
    picture = _picture(plan, form)
    if file is None:
        emit(picture.rstrip("\n"))
        return DONE
    try:
        file.write_text(picture if picture.endswith("\n") else picture + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be written: {error.strerror}", fix="check the path and its rights"
        ) from error
    note(f"wrote {file}")
    return DONE


def _plan(text: str, config: Config) -> Plan:
    with user_code():
        return load_target(text, names=config.targets, folder=config.folder).plan()


def _picture(plan: Plan, form: str) -> str:
    match form:
        case "mermaid":
            return mermaid(draw(plan))
        case "svg":
            from flujo.cli.svg import svg

            return svg(draw(plan))
        case "json":
            import json

            return json.dumps(plain_json(as_json(plan)), indent=2)
        case _:
            return tree(draw(plan), unicode=speaks_unicode(stdout()))

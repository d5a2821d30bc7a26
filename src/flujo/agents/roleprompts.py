"""The prompts of roles: texts in files beside this one, each with a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from string import Template

_TEXTS = Path(__file__).with_name("roles")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the agents of a role are told, with ``$names`` in the place of what is said for each agent.

    Attributes:
        role: The role.
        version: The number of its text: another text has another one.
        text: The text.
    """

    role: str
    version: int
    text: str

    @property
    def digest(self) -> str:
        """What tells its text from any other."""
        return sha256(self.text.encode()).hexdigest()[:16]

    def filled(self, label: str, values: Mapping[str, str]) -> str:
        """Return the text of one agent.

        Args:
            label: What its input is called: ``document``.
            values: What stands in the place of the other names.
        """
        material = Template(_read("material").text).substitute(label=label)
        return Template(self.text).substitute(values, material=material).strip()


@cache
def prompt_of_role(role: str) -> Prompt:
    """Return the prompt of a role, with what all roles are told about material in it."""
    return _read(role)


@cache
def _read(name: str) -> Prompt:
    head, _, text = (_TEXTS / f"{name}.md").read_text(encoding="utf-8").partition("\n\n")
    return Prompt(name, int(head.removeprefix("version: ")), text.strip())


def listed(meanings: Mapping[str, str]) -> str:
    """Return names, each with what it means where that is said, as lines of a list."""
    return "\n".join(f"- {name}: {meaning}" if meaning else f"- {name}" for name, meaning in meanings.items())

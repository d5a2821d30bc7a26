"""The demonstration: the example that ships with Flujo, called with the words of the command line."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import flujo
from flujo.errors import ConfigError

EXAMPLE = "invoice_intake"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the demonstration is asked to do.

    Attributes:
        files: Documents and folders of documents; the samples when there are none.
        auto: Whether a scripted reviewer decides what a person would be asked.
        out: Where results and report go; None for a folder the example chooses.
        crash_after: Kill the own process after so many steps; None for not at all.
        resume: Whether to finish what an earlier call began.
        store: The store's file; None for one beside the results, apart from a project's own.
        limit: The amount up to which a proved invoice is posted without a person; None for the example's own.
        model: The model that reads documents; empty for none.
        model_url: The address of an OpenAI-compatible server; empty for the provider's own.
    """

    files: Sequence[Path] = ()
    auto: bool = False
    out: Path | None = None
    crash_after: int | None = None
    resume: bool = False
    store: Path | None = None
    limit: str | None = None
    model: str = ""
    model_url: str = ""


class Demo(Protocol):
    """The example's entry: takes the options, and returns what the command exits with."""

    def __call__(self, options: DemoOptions, /) -> int:
        """Run the example."""
        ...


def run_demo(options: DemoOptions) -> int:
    """Run the demonstration.

    Raises:
        ConfigError: The example, or a package that it needs, is not installed.
    """
    for path in options.files:
        if not path.exists():
            raise ConfigError(f"there is no {path}", fix="name PDF files, or folders that hold them")
    folder = _folder()
    if str(folder.parent) not in sys.path:
        sys.path.insert(0, str(folder.parent))
    try:
        module = import_module(f"{EXAMPLE}.demo")
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith(EXAMPLE):
            raise ConfigError(
                "the example is not part of this installation", fix="install flujo anew"
            ) from error
        raise ConfigError(
            f"the demonstration needs the package {error.name!r}", fix='pip install "flujo[demo]"'
        ) from error
    return cast("Demo", vars(module)["demo"])(options)


def _folder() -> Path:
    """Return where the example is: in a clone, or in the installed package."""
    package = Path(flujo.__file__).parent
    for folder in (package.parents[1] / "examples" / EXAMPLE, package / "examples_data" / EXAMPLE):
        if folder.is_dir():
            return folder
    raise ConfigError("the example is not part of this installation", fix="install flujo anew")

"""From a target's name to the pipeline it names."""

import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from flujo.cli.output import exiting
from flujo.errors import ConfigError, DefinitionError

if TYPE_CHECKING:
    from flujo.engine.runner import Flujo
    from flujo.pipeline.node import Node
    from flujo.plan.plan import Plan

FORMS = "a target is `file.py:object` or `module:object`"


class TargetError(ConfigError):
    """The target names nothing that can be run."""

    code = "target"


class TargetBroken(DefinitionError):
    """The target's own code fails while it is loaded."""

    code = "target_broken"


@dataclass(frozen=True, slots=True)
class Target:
    """What a target names.

    Attributes:
        name: The target so that any folder finds it again: a file by its whole path.
        folder: The folder that modules were looked for in.
        found: The pipeline, or the runner with its own settings.
        about: What the docstring of the function says that made it; empty without one.
    """

    name: str
    folder: str
    found: "Node[Any, Any] | Flujo[Any, Any]"
    about: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """What a run's journal keeps, so that the run is found again with its pipeline."""
        return {"target": self.name, "folder": self.folder}

    def plan(self) -> "Plan":
        """Check the pipeline.

        Raises:
            PlanError: It does not fit together.
        """
        from flujo.pipeline.node import Node
        from flujo.plan.compile import compile_plan

        return compile_plan(self.found) if isinstance(self.found, Node) else self.found.plan


def load_target(text: str, *, names: Mapping[str, str], folder: Path) -> Target:
    """Import what a target names.

    The pipeline may be any node, a `Flujo` runner, or a function without arguments that returns one.

    Args:
        text: The target as it was typed.
        names: Names that stand for targets.
        folder: Where modules, and files that such a name gives, are looked for.

    Raises:
        TargetError: The file, the module or the object does not exist, or is no pipeline.
        TargetBroken: Its code raised.
    """
    given = names.get(text, text)
    name, path, named = _loaded(text, names, folder)
    about = inspect.getdoc(named) if inspect.isfunction(named) else None
    return Target(f"{name}:{path}", str(folder), _pipeline(named, given), about or "")


def load_function(text: str, folder: Path) -> Callable[..., Any]:
    """Import a function, named as a target is.

    Raises:
        TargetError: The file, the module or the function does not exist.
        TargetBroken: The code around it raised.
    """
    _, _, named = _loaded(text, {}, folder)
    if not inspect.isroutine(named):
        raise TargetError(f"{text} is {_a(named)}, not a function", fix="name a function that steps call")
    return named


def load_object(text: str, folder: Path) -> object:
    """Import what is named as a target is, seen from a folder.

    Raises:
        TargetError: The file, the module or the object does not exist.
        TargetBroken: The code around it raised.
    """
    return _loaded(text, {text: text}, folder)[2]


def _loaded(text: str, names: Mapping[str, str], folder: Path) -> tuple[str, str, object]:
    """Return what a target names: its file or module, the path in it, and the object."""
    given = names.get(text, text)
    place, colon, path = given.rpartition(":")
    if not colon or not place or "/" in path or "\\" in path:
        place, path = given, ""
    if place.endswith(".py") or "/" in place or "\\" in place:
        file = (folder if text in names else Path.cwd()) / Path(place).expanduser()
        module, name = _import_file(file.resolve(), given), str(file.resolve())
    else:
        module, name = _import_module(place, path, folder, names), place
    if not path:
        raise TargetError(f"{given!r} does not say which object of it to run", fix=_choices(module, place))
    return name, path, _object(module, place, path)


def _import_file(file: Path, given: str) -> ModuleType:
    if file.is_dir():
        raise TargetError(f"{file} is a folder", fix=f"name a file in it; {FORMS}")
    if not file.is_file():
        near = [path.name for path in sorted(file.parent.glob("*.py"))] if file.parent.is_dir() else []
        close = difflib.get_close_matches(file.name, near, n=1, cutoff=0.5)
        fix = f"did you mean {close[0]}?" if close else f"check the path; {FORMS}"
        raise TargetError(f"there is no file {file}", fix=fix)
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))  # as `python file.py` does
    taken = file.stem in sys.modules or file.stem in sys.stdlib_module_names
    name = f"flujo_target_{file.stem}" if taken or not file.stem.isidentifier() else file.stem
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise TargetError(f"{file} is no Python file", fix=FORMS)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with code_of(given):
        spec.loader.exec_module(module)
    return module


def _import_module(name: str, path: str, folder: Path, names: Mapping[str, str]) -> ModuleType:
    for entry in dict.fromkeys((str(folder), str(Path.cwd()))):
        if entry not in sys.path:
            sys.path.insert(0, entry)
    if not all(part.isidentifier() for part in name.split(".")):
        raise TargetError(f"{name!r} is no module's name", fix=_near_names(name, path, folder, names))
    with code_of(name):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
                raise
            raise TargetError(
                f"there is no module {error.name!r}", fix=_near_names(name, path, folder, names)
            ) from None


@contextmanager
def code_of(given: str) -> Generator[None]:
    """Let code of the user's run that is loaded, or makes something.

    Raises:
        TargetBroken: It raised; an error of ours stays as it is.
    """
    from flujo.pipeline.loading import loading

    with loading(lambda error: _broken(error, given)):
        yield


def _broken(error: Exception | SystemExit, given: str) -> TargetBroken:
    """Return the error of user code that fails while it is imported, with its place."""
    kind = type(error).__name__
    match error:
        case ModuleNotFoundError():
            return TargetBroken(
                f"{given} cannot be imported: {error}",
                fix="install what is missing in the environment of `flujo`",
            )
        case SyntaxError():
            where = f"{error.filename}, line {error.lineno}"
            return TargetBroken(
                f"{given} cannot be imported: {kind}: {error.msg} ({where})", fix="mend that line"
            )
        case SystemExit():
            return TargetBroken(
                f"{given} cannot be loaded: it {exiting(error)} ({_raised_at(error)})",
                fix="raise an error there, or put it under `if __name__ == '__main__':`",
            )
        case _:
            return TargetBroken(
                f"{given} cannot be loaded: {kind}: {error} ({_raised_at(error)})",
                fix="mend that line; --trace shows the whole traceback",
            )


def _raised_at(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename}, line {last.lineno}"


def _object(module: ModuleType, place: str, path: str) -> object:
    found: object = module
    for part in path.split("."):
        members = inspect.getmembers_static(found)
        if part not in dict(members) and not (found is module and part in vars(module)):
            close = difflib.get_close_matches(
                part, [name for name, _ in members if not name.startswith("_")], n=1
            )
            fix = f"did you mean {place}:{close[0]}?" if close else _choices(module, place)
            raise TargetError(f"{place} has no {path!r}", fix=fix)
        found = (
            inspect.getattr_static(found, part) if not isinstance(found, ModuleType) else vars(found)[part]
        )
    return found


def _pipeline(found: object, given: str) -> Any:
    """Return a pipeline or runner, calling a function that makes one."""
    if is_pipeline(found):
        return found
    if not callable(found) or inspect.isclass(found):
        raise TargetError(
            f"{given} is {_a(found)}, not a pipeline",
            fix="name a Pipeline, a Step or another node, or a Flujo runner",
        )
    if inspect.iscoroutinefunction(found):
        raise TargetError(
            f"{given} is an async function", fix="put @step above it, or name the pipeline it stands in"
        )
    needed = [
        p.name
        for p in inspect.signature(found).parameters.values()
        if p.default is p.empty and p.kind < p.VAR_POSITIONAL
    ]
    if needed:
        raise TargetError(
            f"{given} is a function that takes {', '.join(needed)}",
            fix="put @step above it, or name the pipeline it stands in",
        )
    with code_of(given):
        made = found()
    if not is_pipeline(made):
        raise TargetError(
            f"{given} returned {_a(made)}, not a pipeline", fix="return a node or a Flujo runner from it"
        )
    return made


def is_pipeline(value: object) -> bool:
    """Say whether a value is a node or a runner."""
    from flujo.engine.runner import Flujo
    from flujo.pipeline.node import Node

    return isinstance(value, Node | Flujo)


def _a(value: object) -> str:
    if value is None or inspect.isclass(value):
        return "None" if value is None else "a class"
    return f"a {type(value).__name__}"


def _choices(module: ModuleType, place: str) -> str:
    """Return the targets that a module offers."""
    found = [
        f"{place}:{name}"
        for name, value in vars(module).items()
        if not name.startswith("_") and is_pipeline(value)
    ]
    if not found:
        return f"{place} holds no pipeline; {FORMS}"
    return f"choose from {', '.join(found[:8])}" + (", …" if len(found) > 8 else "")


def _near_names(name: str, path: str, folder: Path, names: Mapping[str, str]) -> str:
    """Return the name of a target, or of a module nearby, that was probably meant."""
    near = {
        **{file.stem: f"{file.stem}:{path}" for file in folder.glob("*.py")},
        **{alias: alias for alias in names},
    }
    close = difflib.get_close_matches(name, near, n=1, cutoff=0.6)
    return f"did you mean {near[close[0]].rstrip(':')}?" if close else f"check the name; {FORMS}"

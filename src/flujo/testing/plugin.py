"""The pytest plugin. Pytest loads it at every start, so it loads the engine only when a test asks for it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pytest

if TYPE_CHECKING:
    from flujo.engine.differences import ReplayReport
    from flujo.engine.runner import Flujo
    from flujo.journal.store import JournalStore
    from flujo.pipeline.context import PipelineContext
    from flujo.pipeline.node import Node
    from flujo.pipeline.waits import Approval
    from flujo.testing.carrying import Answer
    from flujo.testing.clock import VirtualClock
    from flujo.testing.crash import Lives
    from flujo.testing.model import ScriptedModel
    from flujo.testing.scripted import Scripted

A = TypeVar("A")
B = TypeVar("B")

LIVES = pytest.StashKey["Lives"]()
EVERYWHERE = pytest.StashKey[bool]()
SCRIPTS = pytest.StashKey["list[Scripted[Any] | ScriptedModel]"]()


class MakeRunner(Protocol):
    """What the fixture ``flujo_runner`` gives."""

    def __call__(self, pipeline: Node[A, B], **settings: Any) -> Flujo[A, B]:
        """Return a runner on the test's store and clock; settings are those of :class:`flujo.Flujo`."""
        ...


class Replay(Protocol):
    """What the fixture ``flujo_replay`` gives."""

    def __call__(
        self,
        name: str,
        pipeline: Node[Any, Any],
        input: Any,
        *,
        answer: Callable[[Approval], Answer | None] = ...,
        context: PipelineContext | None = None,
        context_model: type[PipelineContext] | None = None,
    ) -> ReplayReport:
        """Replay a recorded run on a pipeline, or record it; see :meth:`flujo.testing.Recordings.check`."""
        ...


class MakeScripted(Protocol):
    """What the fixture ``scripted`` gives."""

    def __call__(self, *answers: Any, gives: Any = None) -> Scripted[Any]:
        """Return a :class:`flujo.testing.Scripted` agent on the test's clock."""
        ...


class MakeScriptedModel(Protocol):
    """What the fixture ``scripted_model`` gives."""

    def __call__(self, *turns: Any, **settings: Any) -> ScriptedModel:
        """Return a :class:`flujo.testing.ScriptedModel` on the test's clock; settings are those it takes."""
        ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tell pytest the option with which runs are recorded."""
    group = parser.getgroup("flujo")
    group.addoption(
        "--flujo-record",
        action="store_true",
        help="Carry out the runs of flujo_replay and record them, instead of replaying what was recorded.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest the markers."""
    config.addinivalue_line(
        "markers",
        'crash_everywhere(store="memory"): run the test again and again, dying before and after every append '
        "of the runs that it carries with flujo_lives; store may be sqlite",
    )
    config.addinivalue_line(
        "markers", 'flujo_store(kind): what flujo_store is: "sqlite" (a file in tmp_path) or "memory"'
    )


@pytest.fixture
def flujo_clock() -> VirtualClock:
    """A clock that jumps to the next thing somebody waits for: see :class:`flujo.testing.VirtualClock`."""
    from flujo.testing.clock import VirtualClock

    return VirtualClock()


@pytest.fixture
def flujo_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JournalStore]:
    """A store for this test alone: a SQLite file in ``tmp_path``, or as the marker ``flujo_store`` says."""
    store = _new_store(_marked(request.node, "flujo_store", "kind", "sqlite"), tmp_path / "flujo_ops.db")
    yield store
    _finish(store.close())


@pytest.fixture
def flujo_runner(flujo_store: JournalStore, flujo_clock: VirtualClock) -> MakeRunner:
    """Makes runners on the test's store and clock: ``flujo_runner(pipeline)``."""
    from flujo.engine.runner import Flujo

    def make(pipeline: Node[A, B], **settings: Any) -> Flujo[A, B]:
        settings.setdefault("state", flujo_store)
        settings.setdefault("clock", flujo_clock)
        return Flujo(pipeline, **settings)

    return make


@pytest.fixture
def scripted(request: pytest.FixtureRequest, flujo_clock: VirtualClock) -> MakeScripted:
    """Makes agents that answer from a list: ``scripted("a", ValueError("b"))``; each must be asked it all."""
    from flujo.testing.scripted import Scripted

    made = request.node.stash.setdefault(SCRIPTS, [])

    def make(*answers: Any, gives: Any = None) -> Scripted[Any]:
        agent = Scripted(*answers, gives=gives, clock=flujo_clock)
        made.append(agent)
        return agent

    return make


@pytest.fixture
def scripted_model(request: pytest.FixtureRequest, flujo_clock: VirtualClock) -> MakeScriptedModel:
    """Makes models that answer from a list: ``scripted_model("Hello")``; each must be asked it all."""
    from flujo.testing.model import ScriptedModel

    made = request.node.stash.setdefault(SCRIPTS, [])

    def make(*turns: Any, **settings: Any) -> ScriptedModel:
        model = ScriptedModel(*turns, clock=flujo_clock, **settings)
        made.append(model)
        return model

    return make


@pytest.fixture
def flujo_lives(request: pytest.FixtureRequest, tmp_path: Path) -> Lives:
    """Carries runs to their end, in a test marked ``crash_everywhere`` over deaths at every append."""
    from flujo.testing.crash import Lives

    kind = _marked(request.node, "crash_everywhere", "store", "memory")
    numbers = iter(range(1_000_000))
    lives = Lives(lambda: _new_store(kind, tmp_path / f"lives-{next(numbers)}.db"))
    request.node.stash[LIVES] = lives
    return lives


@pytest.fixture
def flujo_replay(request: pytest.FixtureRequest, flujo_clock: VirtualClock) -> Replay:
    """Replays a run that was recorded beside the test: ``flujo_replay("order", pipeline, 1)``."""
    from flujo.testing.recording import Recordings

    anew = bool(request.config.getoption("--flujo-record"))
    recordings = Recordings(request.path.parent / "recordings", anew=anew, clock=flujo_clock)

    def check(name: str, pipeline: Node[Any, Any], input: Any, **settings: Any) -> ReplayReport:
        __tracebackhide__ = True
        with ThreadPoolExecutor(1) as aside:  # the test may have a loop of its own
            return aside.submit(asyncio.run, recordings.check(name, pipeline, input, **settings)).result()

    return check


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Pass through a test marked ``crash_everywhere`` once for each death."""
    __tracebackhide__ = True
    if pyfuncitem.get_closest_marker("crash_everywhere") is None:
        return None
    if LIVES not in pyfuncitem.stash:
        pytest.fail(
            "a test marked crash_everywhere carries its runs with the fixture flujo_lives", pytrace=False
        )
    pyfuncitem.stash[LIVES].everywhere(partial(_pass_through, pyfuncitem))
    pyfuncitem.stash[EVERYWHERE] = True
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Check of a test that passed that it died as marked, and that its scripted agents were asked it all."""
    __tracebackhide__ = True
    outcome = yield
    if item.get_closest_marker("crash_everywhere") is not None and EVERYWHERE not in item.stash:
        pytest.fail(
            "a test marked crash_everywhere died nowhere: pytest did not call it as a function. Write it as "
            "a function, or as a method of a plain class",
            pytrace=False,
        )
    for agent in item.stash.setdefault(SCRIPTS, []):
        agent.check()
    return outcome


def _pass_through(item: pytest.Function) -> None:
    """Call a test once; one that is ``async``, and that no other plugin runs, in a loop of its own."""
    __tracebackhide__ = True
    scripts = item.stash.setdefault(SCRIPTS, [])
    given = len(scripts)  # by other fixtures: they are there for every passage
    for agent in scripts:
        agent.rewind()
    wanted = inspect.signature(item.obj).parameters
    outcome = item.obj(**{name: value for name, value in item.funcargs.items() if name in wanted})
    if inspect.iscoroutine(outcome):
        asyncio.run(outcome)
    for agent in scripts:
        agent.check()
    del scripts[given:]


def _marked(node: pytest.Item, marker: str, argument: str, otherwise: str) -> str:
    """Return what a marker of a test says."""
    mark = node.get_closest_marker(marker)
    if mark is None:
        return otherwise
    return mark.args[0] if mark.args else mark.kwargs.get(argument, otherwise)


def _new_store(kind: str, path: Path) -> JournalStore:
    from flujo.journal.memory import MemoryStore
    from flujo.journal.sqlite import SQLiteStore

    match kind:
        case "sqlite":
            return SQLiteStore(path)
        case "memory":
            return MemoryStore()
        case _:
            raise pytest.UsageError(f'the store {kind!r} is not known: use "sqlite" or "memory"')


def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Do something to its end in a loop of its own; the test's loop is left alone."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()

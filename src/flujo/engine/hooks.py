"""Hooks: what users run around pipelines and steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, final

from flujo.engine.threads import settled, text_of
from flujo.errors import ConfigError, HookFailed
from flujo.pipeline.waits import StopPipeline

if TYPE_CHECKING:
    from flujo.engine.result import PipelineResult, StepResult
    from flujo.pipeline.context import PipelineContext

Callback = Callable[..., Any]


@final
@dataclass(frozen=True, slots=True)
class Replace:
    """What a hook returns to put something else in the place of what it was given."""

    value: Any


class Hook:
    """Something that looks on while runs go by; derive from it and override what you need.

    Each method may be ``async`` or not. It may return :class:`Replace` to change what it was shown, or
    raise :class:`StopPipeline` to end the run; anything else it raises fails the run. Hooks are not
    called for what the journal already knows. They are called before a result is recorded, so a crash
    in between calls them again.
    """

    def on_pipeline_start(self, initial_input: Any, context: PipelineContext) -> Any:
        """Look at the run's input before anything runs; may replace it. Not called on resume."""

    def pre_step_execution(self, step_name: str, step_input: Any, context: PipelineContext) -> Any:
        """Look at a step's input before its first attempt; may replace it."""

    def post_step_execution(self, step_result: StepResult, context: PipelineContext) -> Any:
        """Look at a step's result before it is recorded; may replace it by another StepResult."""

    def on_pipeline_end(self, pipeline_result: PipelineResult[Any], context: PipelineContext) -> Any:
        """Look at the run's result when it ended or paused; may replace it by another PipelineResult."""


_NAMES = ("on_pipeline_start", "pre_step_execution", "post_step_execution", "on_pipeline_end")


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks of a runner, by the moment they are called at."""

    on_start: tuple[Callback, ...] = ()
    before_step: tuple[Callback, ...] = ()
    after_step: tuple[Callback, ...] = ()
    on_end: tuple[Callback, ...] = ()

    @staticmethod
    def of(hooks: Sequence[Hook], callbacks: Sequence[Callback | None]) -> Hooks:
        """Sort hooks and single callbacks by moment, leaving out what nobody overrode."""
        for name, callback in zip(_NAMES, callbacks, strict=True):
            if callback is not None and not callable(callback):
                raise ConfigError(
                    f"{name}={callback!r} is no function", fix="pass one function, or a Hook in hooks="
                )
        if not isinstance(cast("object", hooks), Sequence):
            raise ConfigError(f"hooks={hooks!r} is no list", fix="pass hooks=[hook, …]")
        for hook in hooks:
            if not any(callable(getattr(hook, name, None)) for name in _NAMES):
                raise ConfigError(
                    f"{hook!r} is no hook: it has none of the methods {', '.join(_NAMES)}",
                    fix="derive from flujo.Hook, or pass a single function as the argument of that name",
                )
        moments = [
            tuple(bound for hook in hooks if (bound := _overridden(hook, name)) is not None)
            for name in _NAMES
        ]
        return Hooks(
            *(
                found if callback is None else (*found, callback)
                for found, callback in zip(moments, callbacks, strict=True)
            )
        )


def _overridden(hook: Hook, name: str) -> Callback | None:
    """Return a hook's method, unless it is the one that does nothing."""
    method: Callback | None = getattr(hook, name, None)
    return None if getattr(type(hook), name, None) is getattr(Hook, name) else method


async def shown(
    callbacks: Sequence[Callback], what: Any, *, before: tuple[Any, ...] = (), context: Any
) -> Any:
    """Show something to callbacks in order, and return it as they replaced it.

    Raises:
        StopPipeline: A callback ended the run.
        HookFailed: A callback raised, or returned something that is not a Replace.
    """
    for callback in callbacks:
        try:
            answer = await settled(callback(*before, what, context))
        except StopPipeline:
            raise
        except Exception as error:
            raised = f"{type(error).__name__}: {text_of(error)}"
            raise HookFailed(f"hook {_name(callback)} raised {raised}") from error
        if isinstance(answer, Replace):
            what = answer.value
        elif answer is not None:
            raise HookFailed(
                f"hook {_name(callback)} returned {type(answer).__name__}",
                fix="return nothing, or Replace(value) to put a value in the place of what it was shown",
            )
    return what


def _name(callback: Callback) -> str:
    return getattr(callback, "__qualname__", "") or type(callback).__name__

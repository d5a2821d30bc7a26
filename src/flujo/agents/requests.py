"""Requests to models that fail in passing: attempts, waits and the breaker of a provider."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelConnectionError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelServerError,
    ModelUnavailableError,
)
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from typing_extensions import override

from flujo.agents.failures import legible, readable, without_keys
from flujo.errors import ProviderUnavailable
from flujo.pipeline.info import NO_USAGE, Usage
from flujo.pipeline.part import part
from flujo.pipeline.step import Retry

REQUESTS = Retry(4, backoff=1.0, longest=60.0, jitter=0.25)
"""How often a request is sent that fails in passing, where nobody says otherwise."""

ONE_REQUEST = Usage(requests=1)
PASSING = (ModelRateLimitError, ModelUnavailableError, ModelServerError, ModelConnectionError)
_CHANCE = random.SystemRandom()
_STATUS = frozenset({408, 409, 429})


@dataclass(slots=True)
class Breaker:
    """Stops requests to a provider that has failed again and again, until it has had time to recover.

    Attributes:
        after: How many failures in a row open it.
        seconds: How long it stays open; then one request may try.
    """

    after: int = 8
    seconds: float = 30.0
    failures: int = 0
    opened: float = 0.0
    trying: bool = False
    now: Callable[[], float] = field(default=time.monotonic)

    def admit(self, provider: str) -> None:
        """Let a request begin.

        Raises:
            ProviderUnavailable: The provider has failed too often just now.
        """
        if self.failures < self.after:
            return
        left = self.opened + self.seconds - self.now()
        if left > 0 or self.trying:
            raise ProviderUnavailable(
                f"{provider} failed {self.failures} times in a row: nothing is sent for {max(left, 0):.0f} s",
                fix="wait, or give the agent fallback models of another provider",
            )
        self.trying = True

    def ended(self, well: bool | None) -> None:
        """Note how a request ended.

        Args:
            well: Whether the provider answered; None where that tells nothing of how it is.
        """
        self.trying = False
        if well is None:
            return
        if well:
            self.failures = 0
            return
        self.failures += 1
        if self.failures >= self.after:
            self.opened = self.now()


breakers: dict[tuple[str, str], Breaker] = {}
"""The breakers of this process, by provider and where it is reached."""


class Patient(WrapperModel):
    """A model whose requests are sent again when they fail in passing.

    The client's own retries are switched off, so that the policy here is all there is.

    Args:
        wrapped: The model.
        retry: Attempts and waits; a provider's ``Retry-After`` takes the place of a shorter wait.
    """

    def __init__(self, wrapped: Model, retry: Retry = REQUESTS) -> None:
        super().__init__(wrapped)
        self.retry = retry

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Send a request, and again if need be."""
        settings = self._alone(model_settings)
        attempt = 1
        while True:
            await _room()
            try:
                with readable(self.wrapped), self._watched():
                    return legible(await self.wrapped.request(messages, settings, model_request_parameters))
            except ModelAPIError as error:
                wait = self._failed(error, attempt)
                if wait is None:
                    raise without_keys(error) from error.__cause__
            attempt += 1
            await _rest(wait)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: Any = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Open a stream, and again if need be; what has been streamed cannot be taken back.

        What is raised while it is open is taken for what was raised by reading it.
        """
        given = (messages, self._alone(model_settings), model_request_parameters, run_context)
        stream, opened = await self._opened(lambda: self.wrapped.request_stream(*given))
        try:
            async with opened:
                with readable(self.wrapped):
                    yield stream
        except ModelAPIError as error:
            raise without_keys(error) from error.__cause__

    async def _opened(
        self, begin: Callable[[], AbstractAsyncContextManager[StreamedResponse]]
    ) -> tuple[StreamedResponse, AsyncExitStack]:
        attempt = 1
        while True:
            await _room()
            try:
                async with AsyncExitStack() as stack:
                    stack.enter_context(self._watched())
                    with readable(self.wrapped):
                        stream = await stack.enter_async_context(begin())
                    return stream, stack.pop_all()
            except ModelAPIError as error:
                wait = self._failed(error, attempt)
                if wait is None:
                    raise without_keys(error) from error.__cause__
            attempt += 1
            await _rest(wait)

    def _failed(self, error: ModelAPIError, attempt: int) -> float | None:
        """Count a request that failed; return the seconds until it is sent again, None where it is not."""
        info = part.get()
        if info is not None and not isinstance(error.__cause__, ProviderUnavailable):
            info.report(ONE_REQUEST)
        if not in_passing(error) or attempt >= self.retry.attempts:
            return None
        wait = max(self.retry.wait(attempt, _CHANCE.random()), error.retry_after or 0.0)
        return wait if wait <= self.retry.longest else None

    @contextmanager
    def _watched(self) -> Generator[None]:
        """Have the breaker of the provider admit a request and see how it ends.

        A model that is reached over no wire has none.
        """
        if self.base_url is None:
            yield
            return
        breaker = breakers.setdefault((self.system, self.base_url), Breaker())
        breaker.admit(self.system)
        well: bool | None = None
        try:
            yield
            well = True
        except ModelRateLimitError:
            raise  # it is well, and has too much to do
        except ModelAPIError as error:
            well = not in_passing(error)
            raise
        finally:
            breaker.ended(well)

    def _alone(self, settings: ModelSettings | None) -> ModelSettings:
        """Return settings with which the client sends a request once."""
        alone = {**(settings or ModelSettings())}
        if "max_retries" not in self.wrapped.unsupported_settings:
            alone["max_retries"] = 0
        return cast("ModelSettings", alone)


class Linked(Patient):
    """A model of a chain of the user's own making, whose other models take over where this one fails.

    Such a chain knows failures of providers, and not that one is left alone: here that is one of them.
    """

    @contextmanager
    @override
    def _watched(self) -> Generator[None]:
        try:
            with super()._watched():
                yield
        except ProviderUnavailable as error:
            raise ModelUnavailableError(self.model_name, error.message) from error


def patient(model: Model, retry: Retry = REQUESTS) -> Model:
    """Return a model whose requests are sent again as a :class:`Patient` does, each fallback's by itself."""
    match model:
        case Patient():
            return model
        case FallbackModel() if not all(isinstance(one, Patient) for one in model.models):
            chain = copy(model)
            chain.models = [_linked(one, retry) for one in model.models]
            return chain
        case FallbackModel():
            return model
        case _:
            return Patient(model, retry)


def among(model: Model) -> dict[str, list[str]]:
    """Return the names of the models that a request may go to, where that is one of several."""
    while isinstance(model, WrapperModel):
        model = model.wrapped
    if not isinstance(model, FallbackModel):
        return {}
    return {"models": [name for one in model.models for name in among(one).get("models", [one.model_id])]}


def _linked(model: Model, retry: Retry) -> Model:
    return patient(model, retry) if isinstance(model, Patient | FallbackModel) else Linked(model, retry)


async def _room() -> None:
    """Set aside what the requests before this one have used of what was set aside for it.

    Raises:
        QuotaExceeded: There is not so much left.
    """
    info = part.get()
    if info is not None and info.usage:
        async with info.reserve(NO_USAGE):
            pass


async def _rest(seconds: float) -> None:
    info = part.get()
    await (asyncio.sleep(seconds) if info is None else info.sleep(seconds))


def in_passing(error: ModelAPIError) -> bool:
    """Say whether the same request may succeed a moment later."""
    if isinstance(error, ModelQuotaExceededError) or isinstance(error.__cause__, ProviderUnavailable):
        return False
    if isinstance(error, ModelHTTPError) and error.provider_retry_hint is not None:
        return error.provider_retry_hint
    if isinstance(error, PASSING):
        return True
    return isinstance(error, ModelHTTPError) and (error.status_code in _STATUS or error.status_code >= 500)

"""What a worker tells whoever looks after it: /healthz for supervisors, /metrics for Prometheus."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from typing_extensions import override

from flujo.engine.supervise import beside
from flujo.errors import ConfigError, StoreError
from flujo.journal.jobs import QueueCount
from flujo.worker.worker import Worker, board_of


@asynccontextmanager
async def served(worker: Worker, host: str, port: int) -> AsyncGenerator[str]:
    """Serve a worker's health and metrics for as long as a block lasts; yield the address.

    Args:
        worker: The worker.
        host: The address to listen at.
        port: The port; 0 for any that is free.

    Raises:
        ConfigError: The address cannot be listened at.
    """
    try:
        listening = socket.create_server((host, port))
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {host}:{port}: {error.strerror}", fix="choose another --port or --host"
        ) from error
    server = _Server(uvicorn.Config(_app(worker), log_config=None, access_log=False, lifespan="off"))
    with listening:
        taken = listening.getsockname()[1]
        async with beside(server.serve(sockets=[listening])):
            yield f"http://{host}:{taken}"


class _Server(uvicorn.Server):
    """Leaves the signals to the worker."""

    @override
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _app(worker: Worker) -> Starlette:
    async def healthz(request: Request) -> Response:
        """Say whether the worker reaches its store."""
        try:
            await _counts(worker)
        except StoreError as error:
            return JSONResponse({"status": "unavailable", "message": error.message}, status_code=503)
        return JSONResponse({"status": "ok", "in_hand": worker.tally.in_hand})

    async def metrics(request: Request) -> Response:
        try:
            queues = await _counts(worker)
        except StoreError:
            queues = []  # its own numbers are told all the same
        registry = CollectorRegistry()
        registry.register(_Numbers(worker, queues))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/healthz", healthz), Route("/metrics", metrics)])


async def _counts(worker: Worker) -> list[QueueCount]:
    board = board_of(worker.store)
    try:
        return await board.counts(time.time_ns() // 1000)
    finally:
        await board.close()


class _Numbers(Collector):
    """A worker's numbers, as Prometheus reads them."""

    def __init__(self, worker: Worker, queues: Iterable[QueueCount]) -> None:
        self._worker = worker
        self._queues = queues

    @override
    def collect(self) -> Iterable[Metric]:
        tally = self._worker.tally
        carried = CounterMetricFamily(
            "flujo_worker_carried", "How often runs were carried on.", labels=["pipeline", "outcome"]
        )
        for (pipeline, outcome), count in sorted(tally.outcomes.items()):
            carried.add_metric([pipeline, outcome], count)
        seconds = CounterMetricFamily(
            "flujo_worker_carried_seconds", "Seconds spent on carrying runs on.", labels=["pipeline"]
        )
        for pipeline, spent in sorted(tally.seconds.items()):
            seconds.add_metric([pipeline], spent)
        yield carried
        yield seconds
        yield GaugeMetricFamily("flujo_worker_in_hand", "Runs being carried on now.", value=tally.in_hand)
        waiting = GaugeMetricFamily("flujo_queue_jobs", "Jobs of all workers.", labels=["queue", "state"])
        for one in self._queues:
            for state, count in (("due", one.due), ("later", one.later), ("in_hand", one.in_hand)):
                waiting.add_metric([one.queue, state], count)
        yield waiting

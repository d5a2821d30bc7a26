"""Workers: processes that carry on what is due, any number of them on one store."""

from flujo.worker.schedules import Schedule
from flujo.worker.worker import Worker, board_of

__all__ = ["Schedule", "Worker", "board_of"]

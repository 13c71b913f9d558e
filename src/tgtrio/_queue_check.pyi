"""The self-check of a ready queue."""

from ._ready_queue import ReadyQueue

def validate(queue: ReadyQueue) -> None:
    """Recount everything from scratch and compare; see `ReadyQueue.validate`."""

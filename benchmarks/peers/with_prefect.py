"""Prefect: a flow that submits every task, with a server of its own in a temporary folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .peer import Action, Graph, Peer

_SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
}


@contextmanager
def server() -> Iterator[None]:
    """Prefect reads its settings when it is imported, so that happens here."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        os.environ.update(_SETTINGS, PREFECT_HOME=home)
        from prefect.testing.utilities import prefect_test_harness

        with prefect_test_harness():
            yield


def run(work: tuple[Graph, Action]) -> dict[str, Any]:
    from prefect import flow, task
    from prefect.task_runners import ThreadPoolTaskRunner

    graph, action = work

    @task
    def call(name: str, *results: Any) -> Any:
        return action(name)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=os.cpu_count()))
    def whole() -> dict[str, Any]:
        submitted: dict[str, Any] = {}
        for name, parents in graph.items():
            submitted[name] = call.submit(name, *(submitted[parent] for parent in parents))
        return {name: future.result() for name, future in submitted.items()}

    results: dict[str, Any] = whole()
    return results


PEERS = {"prefect": Peer(title="Prefect", run=run, most=100, set_up=server)}

"""`Logging`: what happens in a run, told to the logging of the standard library."""

from __future__ import annotations

import logging
from typing import Any

from .._breaker_policy import BreakerState
from .._errors import shorten
from .._instrument import Instrument, RunInfo, Watched
from .._results import GraphResult
from .._states import TaskState
from .._wording import counted, cut, duration, visible

MOST_OF_ERROR = 500  # characters
INFO, WARNING, DEBUG = logging.INFO, logging.WARNING, logging.DEBUG


class Logging(Instrument):
    """Logs what happens in a run.

    * WARNING: a task fails or is retried, an action is held by a `RetryLater`, a breaker opens, a
      run ends otherwise than well;
    * INFO: a run starts, or ends well, somebody steers it, a breaker closes or half-opens;
    * DEBUG: a task starts, or ends without having failed.

    Each record has what it tells as attributes too (`extra`): `event`, which is the name of the
    hook, `graph_id`, `run_id`, and by kind `task_id`, `action`, `attempt`, `state`, `error`,
    `delay`, `before`, `after`, `command`, `value`, `ok`, `states`.

    Args:
        logger: A logger or its name; None for "tgtrio".
        level: What is below is not told, and starts and ends of tasks then cost almost nothing.
    """

    def __init__(
        self, logger: logging.Logger | str | None = None, level: int = logging.INFO
    ) -> None:
        if not isinstance(logger, logging.Logger):
            logger = logging.getLogger("tgtrio" if logger is None else logger)
        self._logger, self._level = logger, level
        self._run: Watched | None = None
        self._about: dict[str, Any] = {}
        if level > DEBUG:
            # What is not overridden is never called.
            self.task_started = super().task_started  # type: ignore[method-assign]

    def _tell(self, level: int, event: str, text: str, *args: object, **extra: Any) -> None:
        if level >= self._level:
            self._logger.log(level, text, *args, extra={"event": event, **self._about, **extra})

    def run_started(self, info: RunInfo) -> None:
        self._about = {"graph_id": info.graph_id, "run_id": info.run_id}
        self._tell(
            INFO,
            "run_started",
            "graph %s: run %s starts, with %s",
            shorten(info.graph_id),
            info.run_id,
            counted(info.total_tasks, "task"),
            total_tasks=info.total_tasks,
        )

    async def beside(self, run: Watched) -> None:
        self._run = run  # the handle, which knows why a task has failed

    def task_started(self, task_id: str, attempt: int, at: float) -> None:
        which = f"attempt {attempt + 1} " if attempt else ""
        self._tell(
            DEBUG,
            "task_started",
            "task %s: %sstarts",
            shorten(task_id),
            which,
            task_id=task_id,
            attempt=attempt,
        )

    def task_ended(self, task_id: str, state: TaskState, at: float) -> None:
        if state is not TaskState.FAILED:
            if self._level <= DEBUG:
                self._end(DEBUG, task_id, state, "")
            return
        why = "" if self._run is None else self._run.explain(task_id).causes[0].text
        self._end(WARNING, task_id, state, why)

    def _end(self, level: int, task_id: str, state: TaskState, error: str) -> None:
        self._tell(
            level,
            "task_ended",
            "task %s%s",
            *((_on_one_line(error), "") if error else (shorten(task_id), f": {state.value}")),
            task_id=task_id,
            state=state.value,
            **({"error": error} if error else {}),
        )

    def task_retried(self, task_id: str, attempt: int, error: str, delay: float, at: float) -> None:
        self._tell(
            WARNING,
            "task_retried",
            "task %s: attempt %s failed, the next in %s: %s",
            shorten(task_id),
            attempt + 1,
            duration(delay),
            _on_one_line(error),
            task_id=task_id,
            attempt=attempt,
            error=error,
            delay=delay,
        )

    def action_cooling(self, action: str, until: float, at: float) -> None:
        self._tell(
            WARNING,
            "action_cooling",
            "action %s: asked for peace, for %s",
            shorten(action),
            duration(until - at),
            action=action,
            delay=until - at,
        )

    def breaker_moved(
        self, action: str, before: BreakerState, after: BreakerState, at: float
    ) -> None:
        self._tell(
            WARNING if after is BreakerState.OPEN else INFO,
            "breaker_moved",
            "breaker of action %s: %s, was %s",
            shorten(action),
            after.value,
            before.value,
            action=action,
            before=before.value,
            after=after.value,
        )

    def run_steered(self, command: str, subject: str, value: object, at: float) -> None:
        about = ", ".join(shorten(one) for one in (subject, value) if one not in ("", None))
        self._tell(
            INFO,
            "run_steered",
            "run %s: %s(%s)",
            self._about["run_id"],
            command,
            about,
            command=command,
            subject=subject,
            value=value,
        )

    def run_ended(self, result: GraphResult) -> None:
        states = {name: n for name, n in result.statistics["states"].items() if n}
        how = "timed out, " if result.timed_out else ""
        how += "" if result.aborted_reason is None else f"aborted ({result.aborted_reason}), "
        self._tell(
            INFO if result.ok else WARNING,
            "run_ended",
            "graph %s: run %s ended after %s: %s%s",
            shorten(result.graph_id),
            result.run_id,
            duration(result.elapsed_ms / 1000),
            how,
            ", ".join(f"{n:,} {name}" for name, n in states.items()) or "no tasks",
            ok=result.ok,
            states=states,
        )
        self._run = None


def _on_one_line(error: str) -> str:
    return visible(cut(error, MOST_OF_ERROR))

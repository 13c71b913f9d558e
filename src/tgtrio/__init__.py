"""Dependency graphs of async work, run inside one Trio program.

A module imports only from floors below its own:

    6  cli                     the command; this file: the public names
    5  _scheduler _definitions the scheduler object, and tasks stored on disk
       drawing                 graphs as text
       _asyncio _guest         for programs of asyncio
    4  _run _engine _attempts  a run: its life, its single attempts
       _worker _pump           the Trio tasks that run many tasks each, and their hot loop
       _executor _actions ...  one task alone; what does the work; timers, limits, tokens
    2  _outcome _retry         what follows from how an attempt ended
    3  _instrument _columns    what watches a run; what a run writes down
    1  _graph _plan _results   description, its frozen form, what a caller gets
    0  _ready_queue _states    who may start next; the tables of states and policies; errors
"""

from ._actions import Action, Actions
from ._arguments import OutputOf, Unavailable, output_of
from ._asyncio import asyncio_action, run_in_asyncio
from ._breaker import CircuitBreaker, Permit
from ._breaker_policy import BreakerPolicy, BreakerState, Move
from ._context import TaskContext
from ._definitions import TaskDefinition
from ._errors import (
    AsyncioCancelledError,
    CircuitOpenError,
    CommandFailedError,
    CrashLoopError,
    CycleError,
    DeadlineExpiredError,
    DeadlockError,
    DuplicateTaskError,
    EventLoopError,
    GraphFileError,
    GraphRunningError,
    InvalidArgumentError,
    InvalidGraphError,
    InvalidTypeError,
    InvalidValueError,
    LeakedScopeError,
    LedgerError,
    MissingExtraError,
    RunFinishedError,
    StoreError,
    TaskTimeoutError,
    TgtrioError,
    UnknownActionError,
    UnknownDependencyError,
    UnknownTaskError,
)
from ._events import Event, Events
from ._executor import TaskExecutor
from ._explanation import CAUSES, Explanation, TaskCause
from ._graph import TaskGraph
from ._handle import Run
from ._instrument import Instrument, RunInfo
from ._ledger import IdentityLedger
from ._node import TaskNode
from ._policies import INHERIT
from ._results import GraphResult, TaskResult
from ._retry import NEVER_RETRIED, NonRetryable, RetryLater, RetryPolicy
from ._run import open_run, run_graph
from ._safety import AbortConditionMonitor
from ._safety_rules import (
    DEFAULT_RULES,
    MaxConsecutiveFailures,
    MaxFailureRate,
    RetryStorm,
    SpendBudget,
    TimeBudget,
)
from ._safety_statistics import SafetyStatistics
from ._scheduler import TaskScheduler, create_task_scheduler
from ._states import DependencyPolicy, TaskState
from ._store import RawStore
from ._store_records import RootFailure, StoredEvent, StoredRun, TaskExecution
from ._version import __version__

__all__ = [
    # describe
    "TaskGraph",
    "TaskNode",
    "DependencyPolicy",
    "output_of",
    "OutputOf",
    # run
    "run_graph",
    "open_run",
    "Run",
    "Action",
    "Actions",
    "TaskContext",
    "Unavailable",
    # from an asyncio program
    "run_in_asyncio",
    "asyncio_action",
    # one task alone, stored tasks
    "TaskExecutor",
    "TaskScheduler",
    "create_task_scheduler",
    "TaskDefinition",
    # when something fails
    "RetryPolicy",
    "RetryLater",
    "NonRetryable",
    "NEVER_RETRIED",
    "BreakerPolicy",
    "INHERIT",
    "CircuitBreaker",
    "BreakerState",
    "Move",
    "Permit",
    # safety
    "AbortConditionMonitor",
    "SafetyStatistics",
    "DEFAULT_RULES",
    "MaxConsecutiveFailures",
    "MaxFailureRate",
    "RetryStorm",
    "SpendBudget",
    "TimeBudget",
    "IdentityLedger",
    # watch
    "Instrument",
    "RunInfo",
    "Event",
    "Events",
    "Explanation",
    "TaskCause",
    "CAUSES",
    # on disk
    "RawStore",
    "StoredRun",
    "TaskExecution",
    "RootFailure",
    "StoredEvent",
    # results
    "GraphResult",
    "TaskResult",
    "TaskState",
    # errors
    "TgtrioError",
    "AsyncioCancelledError",
    "CircuitOpenError",
    "CommandFailedError",
    "CrashLoopError",
    "CycleError",
    "DeadlineExpiredError",
    "DeadlockError",
    "DuplicateTaskError",
    "EventLoopError",
    "GraphFileError",
    "GraphRunningError",
    "InvalidArgumentError",
    "InvalidGraphError",
    "InvalidTypeError",
    "InvalidValueError",
    "LeakedScopeError",
    "LedgerError",
    "MissingExtraError",
    "RunFinishedError",
    "StoreError",
    "TaskTimeoutError",
    "UnknownActionError",
    "UnknownDependencyError",
    "UnknownTaskError",
    "__version__",
]

# Users meet these names as `tgtrio.X`; tracebacks, reprs and pickles should say so.
for _name in __all__:
    if hasattr(globals()[_name], "__module__"):
        globals()[_name].__module__ = __name__
del _name

"""`TaskGraph`: the description of a workflow.

Tasks keep the order in which they were added. As long as every dependency was there before
its dependent, which `add_task` demands, that order is a topological one and cycles cannot
arise; nothing is searched. Only batches that refer forward and edges added from an older to
a younger task need a search, see `_topology`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from os import PathLike
from typing import Any, Protocol, Self

from ._batch import Batch, duplicate_task, make_node
from ._checks import (
    Limiter,
    check_bool,
    check_count,
    check_limit,
    check_milliseconds,
    check_name,
    describe,
)
from ._errors import (
    CycleError,
    GraphRunningError,
    InvalidTypeError,
    UnknownTaskError,
    shorten,
)
from ._graph_dict import graph_from_dict, graph_to_dict
from ._graph_file import read_graph_file, write_graph_file
from ._node import TaskNode, find_places
from ._node_view import NodeView
from ._plan import Order, Plan, freeze
from ._problems import cycle_error, find_problems, raise_problems, suggest, unknown_dependency
from ._states import DependencyPolicy, TaskState
from ._topology import Topology
from ._upward_rank import critical_path_order


class RunState(Protocol):
    """What a graph needs to know of its latest run."""

    active: bool

    def statistics(self) -> dict[str, Any]: ...


class TaskGraph:
    """Tasks and what each waits for.

    Args:
        graph_id: Names the workflow; runs of one `graph_id` are resumed from a store.
        max_parallel: How many tasks run at once: an int, or a `trio.CapacityLimiter` shared
            with others.
        max_retry_tokens: How many retries all tasks of a run may use together.
        graph_timeout_ms: Bounds a run, in milliseconds; None for no bound.
        expire_at_deadline: True fails tasks at their deadlines unless they say otherwise.

    Raises:
        InvalidTypeError, InvalidValueError: An argument is of a type, or has a value, that it
            cannot have.

    Every method that changes the graph raises `GraphRunningError` while it runs, and leaves
    it as it was whenever it raises.
    """

    def __init__(
        self,
        graph_id: str,
        *,
        max_parallel: int | Limiter = 100,
        max_retry_tokens: int = 100,
        graph_timeout_ms: float | None = None,
        expire_at_deadline: bool = False,
    ) -> None:
        owner = ("graph", graph_id)
        self._graph_id = check_name(owner, "graph_id", graph_id)
        self._max_parallel = check_limit(owner, "max_parallel", max_parallel)
        self._max_retry_tokens = check_count(owner, "max_retry_tokens", max_retry_tokens)
        if graph_timeout_ms is not None:
            graph_timeout_ms = check_milliseconds(owner, "graph_timeout_ms", graph_timeout_ms)
        self._graph_timeout_ms = graph_timeout_ms
        self._expire_at_deadline = check_bool(owner, "expire_at_deadline", expire_at_deadline)
        self._index: dict[str, int] = {}
        self._nodes: list[TaskNode] = []
        # The places of the dependencies of each node in turn, which the plan needs and the check
        # of a new task finds; None: they must be looked up.
        self._edges: array[int] | None = array("i")
        # Dependencies that add_dependency recorded and that are not in the nodes yet: a task
        # that gets a million of them one by one must not copy its tuple each time.
        self._added: dict[int, dict[str, None]] = {}
        # While _in_order, the order of insertion is a topological one. The Topology is made
        # when an edge first needs it, and kept up to date from then on.
        self._in_order = True
        self._topology: Topology | None = None
        self._plans: dict[Order, Plan] = {}
        self._run_state: RunState | None = None

    @property
    def graph_id(self) -> str:
        return self._graph_id

    @property
    def max_parallel(self) -> int | Limiter:
        return self._max_parallel

    @property
    def max_retry_tokens(self) -> int:
        return self._max_retry_tokens

    @property
    def graph_timeout_ms(self) -> float | None:
        return self._graph_timeout_ms

    @property
    def expire_at_deadline(self) -> bool:
        return self._expire_at_deadline

    @property
    def nodes(self) -> Mapping[str, TaskNode]:
        """A live, read-only view of the tasks by their ids, in the order of insertion."""
        return NodeView(self)  # kept, it would tie the graph to itself

    def __copy__(self) -> Self:
        """Another graph with the same tasks, which goes its own way from here."""
        twin = type(self)(
            self.graph_id,
            max_parallel=self.max_parallel,
            max_retry_tokens=self.max_retry_tokens,
            graph_timeout_ms=self.graph_timeout_ms,
            expire_at_deadline=self.expire_at_deadline,
        )
        twin.add_tasks(self.nodes.values())
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.__copy__()  # nodes never change, so graphs may share them

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._index

    def __repr__(self) -> str:
        return f"<TaskGraph {shorten(self._graph_id)}: {len(self)} tasks>"

    def add_task(
        self,
        task_id: str,
        action_name: str,
        normalized_args: Mapping[str, Any] | None = None,
        resource_ids: Iterable[str] = (),
        version: str = "1",
        dependencies: Iterable[str] = (),
        on_dep_fail: DependencyPolicy | str = DependencyPolicy.ABORT,
        priority: float = 0.0,
        deadline: datetime | None = None,
        task_timeout_ms: float | None = None,
        max_retries: int | None = None,
        idempotent: bool | None = None,
        expire_at_deadline: bool | None = None,
        estimate_ms: float | None = None,
    ) -> TaskNode:
        """Add one task, whose dependencies the graph must have already. O(dependencies).

        Args: those of `TaskNode`.

        Raises:
            DuplicateTaskError: The graph has a task of that id.
            UnknownDependencyError: A dependency is not there, or not yet: `add_tasks` takes
                tasks in any order.
            TgtrioError: The other refusals of `TaskNode`.
        """
        self._refuse_if_running()
        node = TaskNode(
            task_id,
            action_name,
            normalized_args,
            resource_ids,
            version,
            dependencies,
            on_dep_fail,
            priority,
            deadline,
            task_timeout_ms,
            max_retries,
            idempotent,
            expire_at_deadline,
            estimate_ms,
        )
        self._append(node)
        self._changed()
        return node

    def _append(self, node: TaskNode) -> None:
        index = self._index
        if node.task_id in index:
            raise duplicate_task(node.task_id)
        edges = self._take_edges()
        if not find_places(node.dependencies, index, self._nodes, 0, edges):
            self._edges = edges
            dependency = next(name for name in node.dependencies if name not in index)
            hint = f"{suggest(dependency, index)}; add it first, or both by add_tasks"
            raise unknown_dependency(node.task_id, dependency, hint)
        index[node.task_id] = len(self._nodes)
        self._nodes.append(node)
        self._edges = edges
        if self._topology is not None:
            self._topology.extend([self._places(node)])

    def _append_while_running(self, node: TaskNode) -> None:
        """Add a task to the graph and its current run, which works on a plan of its own."""
        self._append(node)
        self._plans.clear()

    def add_tasks(self, tasks: Iterable[TaskNode | Mapping[str, Any]]) -> None:
        """Add many tasks, in any order, all of them or none. O(tasks + edges).

        Args:
            tasks: `TaskNode`s, or mappings with the argument names of `add_task`.

        Raises:
            TgtrioError: What is wrong, if it is one thing.
            InvalidGraphError: If it is several; `problems` holds them. Its text lists 20.

        What the iterable itself raises passes through.
        """
        if isinstance(tasks, str | bytes | Mapping) or not isinstance(tasks, Iterable):
            raise InvalidTypeError(
                f"{describe(('graph', self._graph_id))}: add_tasks was given {shorten(tasks)}, of "
                f"type {type(tasks).__name__}; it takes an iterable of TaskNodes or mappings"
            )
        self._add_batch(tasks, make_node)

    def add_dependency(self, task_id: str, dependency: str) -> None:
        """Put one task of the graph behind another. An edge that is there already is no change.

        It is free where the dependency is the older task. Otherwise a search for a cycle
        looks at the tasks between the two only; the first one of a graph costs O(tasks +
        edges) to set up.

        Raises:
            UnknownTaskError, UnknownDependencyError: The graph has no such task.
            CycleError: The dependency waits for the task already, or is the task.
        """
        self._refuse_if_running()
        owner = ("graph", self._graph_id)
        task_id = check_name(owner, "task_id", task_id)
        dependency = check_name(owner, "dependency", dependency)
        index = self._index
        if task_id not in index:
            raise UnknownTaskError(
                f"{describe(owner)} has no task {shorten(task_id)}{suggest(task_id, index)}"
            )
        if dependency not in index:
            raise unknown_dependency(task_id, dependency, suggest(dependency, index))
        if task_id == dependency:
            raise CycleError(f"task {shorten(task_id)} depends on itself", (task_id, task_id))
        after, before = index[task_id], index[dependency]
        known = self._added.get(after) or dict.fromkeys(self._nodes[after].dependencies)
        if dependency in known:
            return
        self._check_edge(before, after)
        known[dependency] = None
        self._added[after] = known
        self._edges = None
        self._changed()

    def validate(self) -> None:
        """Check everything once more: arguments, dependencies, cycles. O(tasks + edges).

        Raises:
            TgtrioError, InvalidGraphError: As in `add_tasks`.
        """
        raise_problems(self._graph_id, find_problems(self._settled(), self._index))

    def freeze(self, order: Order = "priority") -> Plan:
        """The graph as the arrays that a run works on; the same object until the graph changes.

        Args:
            order: What decides between ready tasks of one priority and deadline: "priority"
                nothing but the order in which they were added, "critical_path" the upward rank.
        """
        self._settled()
        if order not in self._plans:
            places = None if order == "priority" else critical_path_order(self.freeze())
            self._plans[order] = freeze(self, places)
        return self._plans[order]

    def get_stats(self) -> dict[str, Any]:
        """The figures of the current run, or the latest one if the graph is still the same.

        Without a run every task counts as pending.
        """
        if self._run_state is not None:
            return self._run_state.statistics()
        return self._pending_statistics()

    def _pending_statistics(self) -> dict[str, Any]:
        """The figures before a run."""
        states = dict.fromkeys((state.value for state in TaskState), 0)
        states[TaskState.PENDING.value] = len(self)
        return {
            "total_tasks": len(self),
            "running_tasks": 0,
            "states": states,
            "retry_tokens_used": 0,
            "cached_tasks": 0,
            "breaker_states": {},
        }

    def to_dict(self) -> dict[str, Any]:
        """The graph as JSON data, with what differs from the defaults. O(size).

        Raises:
            GraphFileError: `max_parallel` is a limiter, which no file can hold.
        """
        return graph_to_dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The graph that `to_dict` wrote, or that was written by hand in the same form.

        Raises:
            GraphFileError: A key is unknown or missing, or a part has the wrong shape.
            TgtrioError: The refusals of `add_tasks`.
        """
        return graph_from_dict(cls, data)

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> Self:
        """Read a `.json`, `.yaml`, `.yml` or `.toml` file.

        Raises:
            GraphFileError: The file cannot be read, or is not what its suffix says; the
                `OSError` is its `__cause__` where there is one.
            MissingExtraError: PyYAML is not installed.
            TgtrioError: The refusals of `from_dict`, with the file named.
        """
        return read_graph_file(path, lambda data: graph_from_dict(cls, data))

    def to_file(self, path: str | PathLike[str]) -> None:
        """Write a `.json`, `.yaml` or `.yml` file; an old one is replaced in one step.

        Raises:
            GraphFileError: The file cannot be written, or its suffix is another.
            MissingExtraError: PyYAML is not installed.
        """
        write_graph_file(path, self.to_dict())

    def _add_batch(self, items: Iterable[Any], make: Callable[[int, Any], TaskNode]) -> None:
        self._refuse_if_running()
        batch = Batch(self._graph_id, self._index)
        batch.read(items, make)
        self._refuse_if_running()  # the iterable is the caller's code and may have run the graph
        batch.check()
        edges = self._take_edges()
        self._index.update(batch.places)
        self._nodes.extend(batch.nodes)
        if edges is not None and batch.edges is not None:
            edges.extend(batch.edges)
            self._edges = edges
        if batch.refers_forward:
            self._in_order = False
        if self._topology is not None:
            self._topology.extend([self._places(node) for node in batch.nodes])
        self._changed()

    def _check_edge(self, before: int, after: int) -> None:
        """Refuse an edge that would close a cycle; take it into the topology if there is one."""
        if self._topology is None:
            if self._in_order and before < after:
                return
            self._topology = Topology()
            self._topology.extend([self._places(node) for node in self._settled()])
        cycle = self._topology.add_edge(before, after)
        if cycle:
            raise cycle_error([self._nodes[task].task_id for task in cycle])

    def _places(self, node: TaskNode) -> list[int]:
        return [self._index[dependency] for dependency in node.dependencies]

    def _settled(self) -> list[TaskNode]:
        """The nodes, with what `add_dependency` has recorded put into them."""
        for place, dependencies in self._added.items():
            self._nodes[place] = self._nodes[place].with_dependencies(tuple(dependencies))
        self._added.clear()
        return self._nodes

    def _take_edges(self) -> array[int] | None:
        """The edges, to be put back with more; an interrupt on the way makes them be looked up."""
        edges, self._edges = self._edges, None
        return edges

    def _changed(self) -> None:
        self._plans.clear()
        self._run_state = None

    def _refuse_if_running(self) -> None:
        if self._run_state is not None and self._run_state.active:
            raise GraphRunningError(
                f"{describe(('graph', self._graph_id))} is running and cannot be changed; "
                "wait for its end"
            )

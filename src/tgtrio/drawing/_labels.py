"""What is written about a box: one line, whatever the ids are."""

from __future__ import annotations

from .._states import DependencyPolicy, TaskState
from .._wording import count, counted, cut, visible
from ._picture import Box, Picture

MOST = 60  # characters of an id

# What a box shows of several states: the first of these that is there.
GRAVEST = (
    TaskState.FAILED,
    TaskState.ABORTED,
    TaskState.CANCELLED,
    TaskState.SKIPPED,
    TaskState.RUNNING,
    TaskState.READY,
    TaskState.PENDING,
    TaskState.SUCCEEDED,
)


def short(text: str) -> str:
    """A name as it is shown, cut where it is long."""
    return visible(cut(text, MOST))


def title(box: Box) -> str:
    """`fetch-1`, `fetch (1,000 tasks)`, `7 actions (1,000 tasks)`"""
    if box.size == 1:
        return short(box.node.task_id)
    actions = short(box.node.action_name) if box.actions == 1 else counted(box.actions, "action")
    return f"{actions} ({counted(box.size, 'task')})"


def details(box: Box) -> list[str]:
    """The action of a task, its policy if it is a special one; the levels of several."""
    if box.size > 1:
        first, last = box.first_level + 1, box.last_level + 1
        return [f"level {count(first)}" if first == last else f"levels {first:,}-{last:,}"]
    parts = []
    if box.node.action_name != box.node.task_id:
        parts.append(short(box.node.action_name))
    if box.node.on_dep_fail is not DependencyPolicy.ABORT:
        parts.append(box.node.on_dep_fail.value)
    return parts


def states(box: Box) -> str:
    """`failed`, `980 succeeded, 20 failed`, or nothing without a result."""
    if box.size == 1:
        return "".join(state.value for state in box.states)
    found = [(state, box.states[state]) for state in TaskState if state in box.states]
    return ", ".join(f"{count(number)} {state.value}" for state, number in found)


def gravest(box: Box) -> TaskState | None:
    """The state that a box is coloured by."""
    return next((state for state in GRAVEST if state in box.states), None)


def headline(picture: Picture) -> str:
    """`nightly: 4 tasks, 3 dependencies`"""
    return (
        f"{short(picture.graph_id)}: {counted(picture.tasks, 'task')}, "
        f"{counted(picture.dependencies, 'dependency')}"
    )


def notes(picture: Picture) -> list[str]:
    """What the drawing does not show as it is."""
    found = []
    if picture.folded:
        boxes = "1 box" if len(picture.boxes) == 1 else f"{count(len(picture.boxes))} boxes"
        found.append(f"{counted(picture.tasks, 'task')} folded into {boxes} by action and level")
    if picture.inside:
        found.append(f"{counted(picture.inside, 'dependency')} between tasks of one box not drawn")
    if picture.strangers:
        found.append(f"{counted(picture.strangers, 'result')} of tasks that the graph has not")
    return found

"""What is measured, section by section, and the bars that the figures are held against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .cases import Case, Goal, Section
from .graphs import SHAPES
from .patterns import PATTERNS
from .peers import LIBRARIES
from .sections_of_costs import costs
from .sections_of_life import life

SMALL, LARGE = 10_000, 100_000

ORDERS = ("rustworkx-order", "networkx-order")
SCHEDULERS = tuple(name for name in LIBRARIES if name not in ORDERS)
BY_HAND = (
    "tgtrio",
    "bare-loop",
    "graphlib-loop",
    "nursery",
    "channel-workers",
    "asyncio-taskgroup",
)
REAL = ("build-webrtc", "dask", "debian", "wfinstances")


def all_sections(quick: bool) -> list[Section]:
    """Every section, largest sizes a tenth if `quick`."""
    return [
        _run(quick),
        _larger_run(quick),
        _caps(),
        _defaults(SMALL if quick else LARGE),
        _small_run(),
        _growth(LARGE if quick else 10 * LARGE),
        *costs(quick),
        *life(quick),
        *_shapes(quick),
    ]


def _run(quick: bool) -> Section:
    return Section(
        "run-10k",
        "No-op tasks, layered: 100 wide, up to 3 dependencies each",
        _phases(SMALL, BY_HAND, ORDERS, SCHEDULERS),
        main="run us",
        note="All in us or bytes a task, results kept. Peers that do not end at this size in "
        "reasonable time ran the largest one that they do.",
        goals=[*_against_loops(), _faster("dask.threaded", "dask-threaded", 80)],
        rounds=2 if quick else None,
    )


def _larger_run(quick: bool) -> Section:
    return Section(
        "run-100k",
        "No-op tasks, layered, more of them",
        _phases(LARGE, BY_HAND[:4] if quick else BY_HAND, ORDERS, ("dask-threaded",)),
        main="run us",
        goals=[
            *_against_loops()[: 3 if quick else None],
            _faster("dask.threaded", "dask-threaded", 500),
        ],
        rounds=1 if quick else 3,
    )


def _caps() -> Section:
    capped, limited = "tgtrio-caps", "nursery-limiters"
    return Section(
        "caps",
        "No-op tasks, layered, dealt to 8 actions, at most 4 of each at once",
        _phases(SMALL, ("tgtrio", capped, limited)),
        main="run us",
        goals=[
            Goal("with caps, against without", capped, "run us", "tgtrio", at_most=1.3),
            Goal("faster than the nursery with limiters", capped, "run us", limited, at_least=25),
        ],
    )


def _defaults(size: int) -> Section:
    full = "tgtrio-defaults"
    return Section(
        "defaults",
        "No-op tasks, layered, with a timeout, and with retries, breakers, shared work",
        _phases(size, ("tgtrio", full)),
        main="run us",
        goals=[Goal("all defaults, against none", full, "run us", "tgtrio", at_most=3)],
    )


def _small_run() -> Section:
    peers = ("tgtrio", "tgtrio-defaults", "bare-loop", "graphlib-loop", "nursery")
    return Section(
        "small",
        "A small graph, the set-up of the run included",
        _phases(1_000, peers),
        main="run us",
        goals=[Goal("us a task", "tgtrio", "run us", at_most=0.8)],
    )


def _growth(size: int) -> Section:
    return Section(
        "growth",
        "A tenth and the whole: how cost grows with the number of tasks",
        [
            Case("phases", size=size // 10, row="a tenth"),
            Case("phases", size=size, row="the whole"),
        ],
        note="Layered, a task. A bar of 12 times the time is one of 1.2 times the time a task.",
        goals=[
            Goal(f"{phase}, a task", "the whole", f"{phase} us", "a tenth", at_most=1.2)
            for phase in ("describe", "freeze", "run")
        ],
        rounds=3,
    )


def _phases(size: int, *names: Sequence[str]) -> list[Case]:
    return [Case("phases", name, size) for some in names for name in some]


def _against_loops() -> list[Goal]:
    return [
        Goal("against graphlib's loop", "tgtrio", "run us", "graphlib-loop", at_most=0.2),
        Goal("against the bare loop", "tgtrio", "run us", "bare-loop", at_most=5),
        _faster("the nursery", "nursery", 15),
        _faster("channel workers", "channel-workers", 10),
        _faster("asyncio.TaskGroup", "asyncio-taskgroup", 12),
    ]


def _faster(than: str, row: str, at_least: float) -> Goal:
    return Goal(f"faster than {than}", "tgtrio", "run us", row, at_least=at_least)


def _shapes(quick: bool) -> Iterator[Section]:
    some = ("tgtrio", "graphlib-loop", "nursery")
    more = (*some, "bare-loop", "asyncio-taskgroup", "dask-synchronous")
    shapes = [shape for shape in SHAPES if shape != "layered"]
    yield _by_shape("shapes", "Shapes", shapes, more, quick)
    names = [f"taskbench/{name}" for name in PATTERNS]
    yield _by_shape("patterns", "The patterns of Task Bench, 32 wide", names, some, quick)
    names = [f"real/{name}" for name in REAL]
    yield _by_shape("real", "Recorded graphs, the largest of each file", names, some, quick)


def _by_shape(
    key: str, title: str, shapes: Sequence[str], peers: Sequence[str], quick: bool
) -> Section:
    return Section(
        key,
        f"{title}: us a no-op task",
        [
            Case("phases", peer, 10_000, shape, row=f"{shape} {peer}")
            for shape in (shapes[:1] if quick else shapes)
            for peer in peers
        ],
        main="run us",
        note="In brackets the ratio to tgtrio's.",
        rounds=1 if quick else 3,
        by_shape=True,
    )

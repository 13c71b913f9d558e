"""The house: a module imports only from floors below its own, and Trio from floor 4 up."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tgtrio

SOURCE = Path(tgtrio.__file__).parent

FLOORS = {
    0: "_errors _states _version _ready_queue _ready_queue_py _rank_set _gates"
    " _queue_base _queue_base_py _queue_check _queue_check_py _front _dispatch_order _lane_layout"
    " _additions _misfits _edges _blocks"
    " _compiled _describing _describing_py _slots _event_log _wording",
    1: "_records _checks _arguments _identity _node _node_view _order_list _batch _problems"
    " _topology _graph _graph_dict _graph_file _files _plan _results _context"
    " _freezing _freezing_py _growing_plan _explanation _chain _upward_rank",
    2: "_retry _outcome _breaker _breaker_policy _policies _safety _safety_rules _safety_statistics"
    " _ledger _ledger_file _ledger_lines _cache _chronicle",
    3: "_columns _instrument _run_lock _store _store_bulk _store_journal _store_opening"
    " _store_explain _store_queries _store_records _store_schema _store_writer",
    4: "_backend _pump _pump_py _notifier _notifier_py _signatures _actions _limits _borrowing"
    " _timekeeper _hygiene _lane _lanes _ends _dispatch _worker _attempts _engine _run _executor"
    " _execution _settings _watch _breakers _holds _guards _sharing _retries _recorder _durable"
    " _endings _admission _parts _crew _lookups _crashes _reporter _events"
    " _steering _openness _explain _handle _growth _layout _interruptible _waiters",
    5: "_asyncio _guest _definitions _scheduler drawing instruments report",
    6: "__init__ cli __main__",
}
FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names.split()}


def modules() -> list[Path]:
    return sorted(p for p in SOURCE.rglob("*.py*") if p.suffix in (".py", ".pyx"))


def room(path: Path) -> str:
    """The module, or the package directly under `tgtrio` that it is in."""
    return path.relative_to(SOURCE).parts[0].split(".")[0]


def imported_rooms(path: Path) -> Iterator[str]:
    """The rooms that a module imports, and "trio"."""
    inside = path.parent != SOURCE
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.strip().replace(" cimport ", " import ")
        if not line.startswith(("from ", "import ")):
            continue
        line = line.removesuffix("(").rstrip() + (" x" if line.endswith("(") else "")
        try:
            node = ast.parse(line).body[0]
        except SyntaxError:
            continue  # prose in a docstring
        whence = node.names[0].name if isinstance(node, ast.Import) else ""
        if isinstance(node, ast.ImportFrom):
            whence = node.module or ""
        if whence.split(".")[0] == "trio":
            yield "trio"
        elif isinstance(node, ast.ImportFrom) and node.level == 1 + inside:
            yield from [node.module.split(".")[0]] if node.module else [a.name for a in node.names]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    floor = FLOOR_OF[room(path)]
    for target in imported_rooms(path):
        if target == "trio":
            assert floor >= 4, f"{room(path)} is below Trio's floor"
        elif target != "x":
            assert FLOOR_OF[target] <= floor, f"{room(path)} imports {target} from above"


def test_every_module_has_a_floor() -> None:
    assert {room(path) for path in modules()} <= set(FLOOR_OF)

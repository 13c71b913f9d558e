"""The command `tgtrio`. Only it needs the extra `cli`; nothing else imports this package.

| module | what lives there |
|---|---|
| `_app` | the commands and their options, and what becomes of an error |
| `_run_command`, `_runs_command`, `_show_command`, `_demo` | one module for each command |
| `_explain_command`, `_explain_page` | why a task ended as it did; what went wrong in a run |
| `_draw_command`, `_validate_command` | `show` of a graph file; `validate` |
| `_graph_check`, `_action_check` | all that is wrong with a graph file, and with its actions |
| `_execute`, `_stopping` | one run with its progress, and what signals do to it |
| `_stores` | finding a store and a run in it |
| `_progress`, `_instruments` | the display while it runs; what else watches it |
| `_digest`, `_summary` | what is told of a result, and how it looks |
| `_going_on` | what to do next: how a run is explained, and how it goes on |
| `_census`, `_census_report` | the graph that `tgtrio demo` runs, and its tables |
| `_builtin_actions`, `_load` | the actions `shell` and `python`; finding the user's own |
| `_output`, `_text`, `_errors` | the two streams; text that is safe to show; errors, exit codes |
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]

_EXTRA = ("cyclopts", "rich")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`, by default that of the process, and return the exit code."""
    try:
        from ._app import run_app
    except ModuleNotFoundError as exc:
        package = (exc.name or "").partition(".")[0]
        if package not in _EXTRA:
            raise
        print(f"tgtrio needs the package {package}: pip install 'tgtrio[cli]'", file=sys.stderr)
        return 2
    return run_app(sys.argv[1:] if argv is None else argv)

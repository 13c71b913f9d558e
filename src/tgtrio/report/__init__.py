"""The report of a run: one HTML file that needs nothing else, and the history it is made from.

| module | what lives there |
|---|---|
| `history` | `History`, the instrument that keeps a run, and tells who waited for what |
| `critical_path` | the chain of waits and executions that made a run as long as it was |
| `_report` | `Report`, `write_report` |
| `_page`, `assets/` | the template, its style and its scripts, put into one file |
| `_view`, `_data` | what the template shows; what the scripts draw |
| `_lives`, `_failures`, `_folding` | sums over all tasks; what went wrong; the graph made small |
| `_record`, `_signals`, `_leaders` | a run in columns; what held tasks back; equal work |
| `_text` | figures and names as people read them |
"""

from __future__ import annotations

from ._report import Report, write_report
from .critical_path import Step, critical_path
from .history import Attempt, History, Wait

__all__ = ["Attempt", "History", "Report", "Step", "Wait", "critical_path", "write_report"]

# Users meet these names as `tgtrio.report.X`; tracebacks, reprs and pickles should say so.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name

"""Ready-made instruments: what watches a run. The engine knows nothing of them.

| module | what lives there |
|---|---|
| `_progress`, `_view`, `_picture` | a display in the terminal; what it tells; how that is drawn |
| `_event_log` | the events as lines of JSON |
| `_logging` | the logging of the standard library |
| `_timeline`, `_trace` | a trace for Perfetto: the file, and its events |
| `_causes` | what holds tasks back, in few words |
"""

from ._event_log import EventLog, read_event_log
from ._logging import Logging
from ._progress import Progress
from ._timeline import Timeline

__all__ = ["EventLog", "Logging", "Progress", "Timeline", "read_event_log"]

# Users meet these names as `tgtrio.instruments.X`; tracebacks, reprs and pickles should say so.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name

"""Ready-made instruments: what watches a run. The engine knows nothing of them.

| module | what lives there |
|---|---|
| `_progress`, `_view`, `_picture` | a display in the terminal; what it tells; how that is drawn |
"""

from ._progress import Progress

__all__ = ["Progress"]

# Users meet these names as `tgtrio.instruments.X`; tracebacks, reprs and pickles should say so.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name

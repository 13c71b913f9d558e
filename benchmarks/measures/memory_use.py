"""How much memory this process holds."""

from __future__ import annotations

import gc
import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_IS_EXACT = _STATUS.exists()


def resident() -> int:
    """Bytes of this process in memory now (where that cannot be known, at most so far)."""
    gc.collect()
    return _status("VmRSS") if _IS_EXACT else peak()


def peak() -> int:
    """Bytes of this process in memory at most, since it started or since `forget_peak`."""
    if _IS_EXACT:
        return _status("VmHWM")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def forget_peak() -> None:
    """Begin anew, where the system lets us; else the peak is since the process started."""
    if _IS_EXACT:
        try:
            _CLEAR.write_text("5")
        except OSError:
            return


def _status(name: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0

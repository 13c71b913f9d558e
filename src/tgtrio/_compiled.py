"""Whether the compiled modules serve, or their pure Python twins: all of them, or none.

`TGTRIO_PURE=1` asks for the twins. Where the compiled modules were not built the
twins serve, with a warning.
"""

from __future__ import annotations

import os
import warnings
from importlib.util import find_spec

MODULES = (
    "_describing",
    "_freezing",
    "_lane",
    "_notifier",
    "_pump",
    "_queue_base",
    "_queue_check",
    "_ready_queue",
)


def _all_built() -> bool:
    missing = [name for name in MODULES if find_spec(f"{__package__}.{name}") is None]
    if missing:
        warnings.warn(
            "tgtrio runs on its pure Python twins, many times slower: not compiled: "
            f"{', '.join(missing)}. Install a C compiler and reinstall, or set TGTRIO_PURE=1 to "
            "accept this.",
            RuntimeWarning,
            stacklevel=2,
        )
    return not missing


COMPILED = os.environ.get("TGTRIO_PURE") != "1" and _all_built()

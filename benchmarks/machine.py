"""Where the figures come from: versions and hardware, nothing that names the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import tgtrio
from tgtrio._backend import COMPILED


def describe(packages: Iterable[str]) -> dict[str, str]:
    """What the figures depend on; of the packages those that are installed."""
    return {
        "tgtrio": f"{tgtrio.__version__} ({'compiled' if COMPILED else 'pure Python'})",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "load": load(),
        **{name: found for name in packages if (found := _version(name))},
    }


def processor() -> str:
    """The model, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else "unknown"


def load() -> str:
    """How many processes wanted to run in the minute before."""
    try:
        return f"{os.getloadavg()[0]:.1f}"
    except (AttributeError, OSError):
        return "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""

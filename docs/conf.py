"""How the pages are built, without a network:

sphinx-build -W -n --keep-going -b html docs docs/_build
"""

from __future__ import annotations

from typing import Any

import tgtrio

project = "tgtrio"
author = "The tgtrio developers"
copyright = author  # noqa: A001  # the name that Sphinx reads
version = release = tgtrio.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "tgtrio"
html_show_sphinx = False

myst_heading_anchors = 3  # pages link to sections as they do where Markdown is read as it is

default_role = "code"  # docstrings are read with help(), too: one backtick is enough
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_custom_sections = [("Cancellation", "notes_style")]
napoleon_use_ivar = True

# What has no page here: the standard library, Trio, and what signatures borrow from private
# modules (what it means stands with the arguments).
nitpick_ignore_regex = [
    ("py:.*", r"(collections|datetime|os|random|threading|trio|typing)\..*"),
    ("py:.*", r"tgtrio\._.*"),
    ("py:.*", r"datetime|F|ActionPolicies|before"),
]

# Users get these, and do not make them.
_GIVEN = {"Permit", "Run", "RunInfo", "StoredEvent", "StoredRun", "TaskContext", "TaskExecution"}


def _signature(_app: Any, what: str, name: str, *_rest: Any) -> tuple[str, None] | None:
    given = what == "class" and name.removeprefix("tgtrio.") in _GIVEN
    return ("", None) if given else None


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", _signature)

"""The page: the template with its figures, its scripts and its data, in one file."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Any

import msgspec

from .._errors import MissingExtraError
from .._results import GraphResult
from ._data import PageData
from ._failures import Failures
from ._folding import fold, levels_of, places_of
from ._lives import Totals
from ._view import Told, view_of
from .critical_path import critical_path
from .history import History

SCRIPTS = ("dagre.min", "page", "tables", "task", "graph", "canvases", "timeline", "strip")
# Within a <script> nothing is escaped as in HTML, and only `<` could end it or open a comment;
# the others are for other parsers that may come across it.
_IN_SCRIPT = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})


def check_installed() -> None:
    """Raise MissingExtraError unless there is what a report needs."""
    _environment()


def _environment() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtraError(
            "a report needs the package jinja2: pip install 'tgtrio[report]'"
        ) from error
    return jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page_of(result: GraphResult, history: History) -> str:
    """The report of a run as the text of an HTML file.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    template = _environment().from_string(_asset("page.html.jinja"))
    record = history.record
    totals, failures, path = Totals(history), Failures(history, result), critical_path(history)
    dependencies = places_of(record.nodes, record.index)
    levels = levels_of(dependencies)
    folded = fold(record.nodes, dependencies, levels)
    data = PageData(history, totals, failures, path, folded, levels, dependencies)
    told = Told(
        history=history,
        result=result,
        totals=totals,
        failures=failures,
        path=path,
        rows=data.rows,
    )
    scripts = [_asset(f"{name}.js") for name in SCRIPTS]
    text: str = template.render(
        view_of(told),
        folded=folded.folded,
        style=_asset("style.css"),
        scripts=scripts,
        policy=_policy(scripts),
        data=_in_script(data.document()),
    )
    return text


def _asset(name: str) -> str:
    return (resources.files(__package__) / "assets" / name).read_text(encoding="utf-8")


def _in_script(document: object) -> str:
    """A document as JSON that may stand within a script element."""
    return msgspec.json.encode(document).decode().translate(_IN_SCRIPT)


def _policy(scripts: list[str]) -> str:
    """What the page may do: run these very scripts, and nothing over a network."""
    hashes = (hashlib.sha256(script.encode()).digest() for script in scripts)
    sources = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in hashes)
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src {sources}"

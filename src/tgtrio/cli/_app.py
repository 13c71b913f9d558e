"""The commands and their options, and what becomes of an error."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from .._errors import DeadlockError, TgtrioError
from .._version import __version__
from ._demo import demo
from ._draw_command import (
    DrawOptions,
    draw,
    is_graph_file,
    refuse_drawing,
    refuse_nothing,
    refuse_run,
)
from ._errors import SIGNALS, ActionExitedError, ExitCode
from ._explain_command import explain
from ._options import Limit, RunOptions
from ._output import forgive_encoding, forgiving_output, say, silence
from ._run_command import run
from ._runs_command import LIMIT, runs
from ._show_command import show
from ._stores import LATEST
from ._validate_command import validate

_HELP = """Run graphs of dependent tasks, and see what became of them.

Exit codes:

*   0: every task succeeded or was skipped; what was asked for is done
*   1: at least one task failed, was aborted or cancelled
*   2: wrong use or bad input; nothing ran
*   3: the run was ended before it was done: it timed out or was aborted, or its store failed
* 129: ended by SIGHUP
* 130: ended by Ctrl-C (SIGINT)
* 143: ended by SIGTERM

The first signal lets what is in flight come to its end, within a grace period; the second cancels
it; the third breaks off.
"""

_COMMANDS = ("run", "runs", "show", "explain", "validate", "demo")
_DEFAULTS = RunOptions()
_DRAW_DEFAULTS = DrawOptions()

app = App(
    name="tgtrio",
    help=_HELP,
    help_format="markdown",
    version=f"tgtrio {__version__}",
    default_parameter=Parameter(negative=(), show_default=False),
)


@app.command(name="run")
def run_command(graph_file: str, /, *, options: RunOptions = _DEFAULTS) -> ExitCode:
    """Run a graph file: JSON, YAML or TOML, told by its suffix.

    Two actions are always there. `shell` runs a program: `{"argv": ["make", "docs"]}`. `python`
    calls a function: `{"function": "package.module:function", "args": [1]}`. Others come from
    `--actions`. With `--store` a run that was ended or has crashed goes on where it was.

    Parameters
    ----------
    graph_file
        The graph file.
    """
    return run(graph_file, options)


@app.command(name="runs")
def runs_command(
    store: str,
    /,
    *,
    graph: str | None = None,
    limit: Limit = None,
    json: bool = False,
) -> ExitCode:
    """List the runs in a store, the newest first.

    Of the tasks it tells how many succeeded or were skipped. `crashed` is a run whose process
    ended without a word; the next run of its graph with this store goes on with it.

    Parameters
    ----------
    store
        The file that `tgtrio run --store` wrote.
    graph
        Only the runs of the graph of this id.
    limit
        At most so many, by default 20.
    json
        Print a list as one JSON document.
    """
    return runs(store, graph, limit or LIMIT, json=json)


@app.command(name="show")
def show_command(
    path: str,
    run: str | None = None,
    /,
    *,
    options: DrawOptions = _DRAW_DEFAULTS,
    json: bool = False,
) -> ExitCode:
    """Tell the story of a run in a store, or draw a graph file.

    Parameters
    ----------
    path
        The file that `tgtrio run --store` wrote, or a graph file.
    run
        The id of the run, or the beginning of it, or `latest`, which is the default.
    json
        Print all that is known as one JSON document: of a run with the response of each task, of
        a graph file the figures of the summary.
    """
    if is_graph_file(path):
        refuse_run(path, run)
        return draw(path, options, json=json)
    refuse_drawing(path, options)
    refuse_nothing(path)
    return show(path, LATEST if run is None else run, json=json)


@app.command(name="explain")
def explain_command(
    store: str,
    task: str | None = None,
    /,
    *,
    run: str | None = None,
    graph: str | None = None,
    traceback: bool = False,
    json: bool = False,
) -> ExitCode:
    """Tell why a task of a run in a store ended as it did, or has not ended.

    It goes from the task to the one at the root of it. Without a task: everything that failed by
    itself in the run, and how many other tasks each failure took along.

    Parameters
    ----------
    store
        The file that `tgtrio run --store` wrote.
    task
        The id of the task.
    run
        The id of the run, or the beginning of it, or `latest`, which is the default.
    graph
        The graph file. Stores keep no graphs; with it a task that has not ended is told what it
        waits for.
    traceback
        Print the traceback of what failed, too.
    json
        Print it as one JSON document.
    """
    return explain(store, task, run, graph, traceback=traceback, json=json)


@app.command(name="validate")
def validate_command(
    graph_file: str, /, *, actions: str | None = None, json: bool = False
) -> ExitCode:
    """Find everything that is wrong with a graph file. Nothing runs.

    Fields, dependencies, cycles; actions that nothing provides; of `shell` tasks the arguments
    and the program, of `python` tasks the arguments and the function. To find functions their
    modules are imported. The exit code is 0 if nothing is wrong, else 2.

    Parameters
    ----------
    graph_file
        The graph file.
    actions
        MODULE:OBJECT, what does the work, as for `tgtrio run`.
    json
        Print what was found as one JSON document.
    """
    return validate(graph_file, actions, json=json)


@app.command(name="demo")
def demo_command(
    directory: str | None = None,
    /,
    *,
    max_parallel: Limit = None,
    json: bool = False,
) -> ExitCode:
    """Count the Python files of a source tree, by default Python's own standard library.

    A task for each file, for each package and for the whole. Files that are broken fail, as
    some of the standard library do on purpose, and the run goes on without them: the exit code
    is 0 if the count was made.

    Parameters
    ----------
    directory
        The source tree.
    max_parallel
        How many tasks run at once, by default 8; of the files, as many as there are processors.
    json
        Print the result as one JSON document; everything else goes to standard error.
    """
    return demo(directory, max_parallel, json=json)


def run_app(argv: Sequence[str]) -> int:
    """Run the command line and return the exit code; errors of use are printed, not raised."""
    forgive_encoding()
    try:
        return _run(argv)
    except CycloptsError as exc:
        say(f"{exc}\nTry: tgtrio {_command_of(argv)}--help")
        return ExitCode.USAGE
    except DeadlockError:
        raise  # a defect of this library, and no refusal
    except TgtrioError as exc:
        say(str(exc))
        return ExitCode.USAGE
    except KeyboardInterrupt as exc:
        say("interrupted")
        first = exc.args[0] if exc.args else None
        return SIGNALS[first].code if first in SIGNALS else ExitCode.INTERRUPTED
    except ActionExitedError as exc:
        say(str(exc))
        return ExitCode.FAILED
    except SystemExit:  # what rich makes of a BrokenPipeError
        return ExitCode.FAILED
    except BrokenPipeError:
        silence(sys.stdout)
        return ExitCode.FAILED


def _run(argv: Sequence[str]) -> int:
    command, bound, _ = app.parse_args(list(argv), exit_on_error=False, print_error=False)
    code = command(*bound.args, **bound.kwargs)
    with forgiving_output(hung_up=code == ExitCode.HUNG_UP):
        sys.stdout.flush()
    return code if isinstance(code, int) else ExitCode.OK


def _command_of(argv: Sequence[str]) -> str:
    return f"{argv[0]} " if argv and argv[0] in _COMMANDS else ""

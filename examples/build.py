"""A build system in a hundred lines: compiles what has changed, and nothing else.

    python examples/build.py

It makes a small C project in a temporary folder (modules of Python, if there is no C compiler),
builds it, builds it again, changes one file, breaks one, and mends it.

What a step is made from goes into its arguments as a digest. So an equal step is equal work, and
with `reuse="store"` its response is served from whenever it was done: that is all there is to "up
to date". What steps make is named by that digest too, or an old response would tell of a newer
file.
"""

from __future__ import annotations

import hashlib
import os
import py_compile
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import trio

from tgtrio import Actions, GraphResult, NonRetryable, RawStore, TaskGraph, output_of, run_graph

COMPILER = shutil.which("cc") or shutil.which("gcc")
MODULES = ["bread", "butter", "cheese", "honey", "jam", "salt"]


# -- the project --------------------------------------------------------------------------


def write_c_project(folder: Path) -> None:
    (folder / "kitchen.h").write_text("#define PLATES 4\n")
    for module in MODULES:
        (folder / f"{module}.h").write_text(f"int {module}(void);\n")
        (folder / f"{module}.c").write_text(
            f'#include "{module}.h"\n#include "kitchen.h"\n'
            f"int {module}(void) {{ return {len(module)} * PLATES; }}\n"
        )
    calls = " + ".join(f"{module}()" for module in MODULES)
    headers = "".join(f'#include "{module}.h"\n' for module in MODULES)
    (folder / "main.c").write_text(
        f'#include <stdio.h>\n{headers}int main(void) {{ printf("%d\\n", {calls}); return 0; }}\n'
    )


def write_python_project(folder: Path) -> None:
    for module in MODULES:
        (folder / f"{module}.py").write_text(f"def make():\n    return {len(module)} * 4\n")
    imports = "".join(f"import {module}\n" for module in MODULES)
    calls = " + ".join(f"{module}.make()" for module in MODULES)
    (folder / "main.py").write_text(f"{imports}print({calls})\n")


# -- the steps ----------------------------------------------------------------------------

actions = Actions()


def digest(*paths: Path) -> str:
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()


async def call(*command: str | Path, cwd: str) -> str:
    """Run a program; what it complains about is the error of the task."""
    done = await trio.run_process(
        command,
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C"},
        capture_stdout=True,
        stderr=subprocess.STDOUT,
        check=False,
    )
    text = done.stdout.decode()
    if done.returncode:
        raise NonRetryable(text.strip() or f"exit code {done.returncode}")
    return text


@actions.register
async def compile_c(args):
    made = f"{Path(args['source']).stem}-{args['made of'][:16]}.o"
    await call(COMPILER, "-c", args["source"], "-o", made, cwd=args["folder"])
    return {"file": made, "digest": digest(Path(args["folder"], made))}


@actions.register
async def link(args):
    objects = [made["file"] for made in args["objects"]]
    made_of = hashlib.sha256("".join(made["digest"] for made in args["objects"]).encode())
    program = f"breakfast-{made_of.hexdigest()[:16]}"
    await call(COMPILER, *objects, "-o", program, cwd=args["folder"])
    return [f"./{program}"]


@actions.register
def compile_python(args):  # computes: in a worker thread
    source = Path(args["folder"], args["source"])
    try:
        made = Path(py_compile.compile(str(source), doraise=True))
    except py_compile.PyCompileError as error:
        raise NonRetryable(str(error)) from None
    return {"file": made.name, "digest": digest(made)}


@actions.register
async def collect(args):
    return [sys.executable, "main.py"]


@actions.register
async def test(args):
    return (await call(*args["program"], cwd=args["folder"])).strip()


# -- the graph ----------------------------------------------------------------------------


def includes(source: Path) -> list[Path]:
    """The headers of the project that a file needs."""
    names = re.findall(r'^#include "(.+)"', source.read_text(), re.MULTILINE)
    return [source.parent / name for name in names]


def graph_of(folder: Path) -> TaskGraph:
    suffix, compiles, links = (
        (".c", "compile_c", "link") if COMPILER else (".py", "compile_python", "collect")
    )
    graph = TaskGraph("breakfast", max_parallel=os.cpu_count() or 2)
    where = {"folder": str(folder)}
    sources = sorted(folder.glob(f"*{suffix}"))
    for source in sources:
        made_of = digest(source, *includes(source))
        graph.add_task(source.name, compiles, {**where, "source": source.name, "made of": made_of})
    objects = [output_of(source.name) for source in sources]
    graph.add_task("program", links, {**where, "objects": objects})
    graph.add_task("test", "test", {**where, "program": output_of("program")}, idempotent=False)
    return graph


async def build(title: str, folder: Path, store: RawStore) -> GraphResult:
    result = await run_graph(graph_of(folder), actions, store=store, reuse="store")
    done = [t.task_id for t in result.results.values() if t.attempts and t.success]
    broken = [t for t in result.results.values() if t.attempts and not t.success]
    print(f"\n{title}")
    print(f"  {len(done)} of {result.total_tasks} steps done, in {result.elapsed_ms:.0f} ms")
    print(f"  done:       {', '.join(done) or 'nothing'}")
    print(f"  up to date: {result.statistics['cached_tasks']}")
    for task in broken:
        why = next(line for line in task.error.splitlines() if "error: " in line.lower())
        print(f"  broken:     {task.task_id}: {why}")
    if result.ok:
        print(f"  the program says {result.results['test'].response}")
    return result


async def main() -> int:
    suffix = ".c" if COMPILER else ".py"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (write_c_project if COMPILER else write_python_project)(folder)
        jam = folder / f"jam{suffix}"
        good = jam.read_text()
        with RawStore(folder / "build.db") as store:
            results = [
                await build("From nothing", folder, store),
                await build("Again", folder, store),
            ]
            jam.write_text(good.replace("3 *", "30 *"))
            results.append(await build(f"{jam.name} has changed", folder, store))
            jam.write_text(good.replace("return", "retrun"))
            results.append(await build(f"{jam.name} is broken", folder, store))
            jam.write_text(good)
            results.append(await build(f"{jam.name} is as it was", folder, store))
    said = [result.results["test"].response for result in results]
    return 0 if said == ["116", "116", "224", None, "116"] else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))

"""What is shipped, and what becomes of it with and without a compiler.

The builds need setuptools and Cython. They run where the present environment has both, or,
with `TGTRIO_TEST_PACKAGING=1`, in an environment made for them from the registry.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

import tgtrio
from tgtrio._compiled import MODULES

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NOT_SOURCE = (".*", "build", "dist", "*.egg-info", "__pycache__", "*.so", "*.c", "cython_debug")
# What has a twin in Python.
TWINS = (
    "_describing",
    "_freezing",
    "_notifier",
    "_pump",
    "_queue_base",
    "_queue_check",
    "_ready_queue",
)
COMPILED = (*TWINS, "_lane")
SUFFIX = EXTENSION_SUFFIXES[0]
NO_COMPILER = shutil.which("false") or "false"
SWITCHES = ("CI", "CC", "TGTRIO_NO_EXT", "TGTRIO_DEBUG", "TGTRIO_COVERAGE", "TGTRIO_SANITIZE")


def have(package: str, at_least: int) -> bool:
    try:
        return int(version(package).split(".")[0]) >= at_least
    except PackageNotFoundError:
        return False


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has what a build requires."""
    if have("setuptools", 77) and have("cython", 3):
        return Path(sys.executable)
    if os.environ.get("TGTRIO_TEST_PACKAGING") != "1":
        pytest.skip("setuptools or Cython is missing; TGTRIO_TEST_PACKAGING=1 fetches both")
    folder = tmp_path_factory.mktemp("builder")
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = [python, "-m", "pip", "install", "-q", *PROJECT["build-system"]["requires"]]
    subprocess.run(install, check=True)
    return python


def run(
    command: list[object], folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder. The switches of the build are as given, and off otherwise."""
    kept = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def build(
    python: Path, kind: str, tree: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Call a hook of the build backend, as installers do. The result goes to `tree/dist`."""
    hook = f"from setuptools import build_meta; build_meta.build_{kind}('dist')"
    return run([python, "-c", hook], tree, **environment)


def built(tree: Path, pattern: str) -> Path:
    (path,) = (tree / "dist").glob(pattern)
    return path


@pytest.fixture(scope="module")
def sdist(builder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of a copy of this checkout."""
    tree = tmp_path_factory.mktemp("checkout") / "tgtrio"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*NOT_SOURCE))
    done = build(builder, "sdist", tree)
    assert done.returncode == 0, done.stderr
    return built(tree, "*.tar.gz")


@pytest.fixture(scope="module")
def tree(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, unpacked, and its wheel built in it."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        if hasattr(tarfile, "data_filter"):  # not in the first releases of 3.11
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(folder)
    (tree,) = folder.iterdir()
    return tree


@pytest.fixture(scope="module")
def wheel(builder: Path, tree: Path) -> Path:
    done = build(builder, "wheel", tree, CI="true")
    assert done.returncode == 0, done.stderr
    return built(tree, "*.whl")


@pytest.fixture
def unbuilt(wheel: Path, tree: Path, tmp_path: Path) -> Iterator[Path]:
    """The sdist, unpacked; C generated already, which saves time, and not compiled."""
    copy = tmp_path / "tree"
    shutil.copytree(tree, copy, ignore=shutil.ignore_patterns("dist", "lib.*", "temp.*", "bdist.*"))
    yield copy
    shutil.rmtree(copy)


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def import_from(wheel: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Import the package from a wheel, unpacked into a folder, and say what serves."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    source = (
        "import tgtrio, tgtrio._backend as backend; "
        "print(tgtrio.__file__, tgtrio.__version__, backend.COMPILED)"
    )
    return run(
        [sys.executable, *options, "-c", source], folder, PYTHONPATH=str(folder), TGTRIO_PURE=""
    )


def sources(*suffixes: str) -> set[str]:
    """The files of the package that end so, relative to `src`."""
    package = ROOT / "src" / "tgtrio"
    return {
        path.relative_to(ROOT / "src").as_posix()
        for path in package.rglob("*")
        if path.suffix in suffixes or path.name in suffixes
    }


def test_the_sdist_holds_all_that_a_build_needs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {
            str(PurePosixPath(name).relative_to(name.split("/")[0])) for name in archive.getnames()
        }
    wanted = sources(".py", ".pyx", ".pxd", ".pyi", "py.typed")
    assert {f"src/{name}" for name in wanted} <= held
    assert {"setup.py", "pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md"} <= held
    for folder, pattern in (("tests", "*.py"), ("docs", "*.md"), ("examples", "*.py")):
        own = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob(pattern)}
        assert own <= held
    assert not {name for name in held if name.endswith((".c", ".so", ".pyd", ".pyc"))}


def test_the_wheel_of_the_sdist_holds_the_compiled_modules(wheel: Path) -> None:
    held = names_in(wheel)
    assert {f"tgtrio/{name}{SUFFIX}" for name in COMPILED} <= held
    assert sources(".py", ".pyi", "py.typed", ".js", ".css", ".jinja") <= held
    assert not {name for name in held if name.endswith((".c", ".h", ".html", ".pyc"))}
    assert {name.split("/")[0].split("-")[0] for name in held} == {"tgtrio"}  # no tests, no build


def test_the_compiled_modules_serve_without_a_word(wheel: Path, tmp_path: Path) -> None:
    done = import_from(wheel, tmp_path, "-W", "error")
    assert done.returncode == 0, done.stderr
    file, told, compiled = done.stdout.split()
    assert Path(file).is_relative_to(tmp_path)
    assert (told, compiled) == (tgtrio.__version__, "True")


@pytest.mark.parametrize(
    "environment", [{"TGTRIO_NO_EXT": "1"}, {"CC": NO_COMPILER}], ids=["NO_EXT", "no-compiler"]
)
def test_without_extensions_the_twins_serve_and_say_so(
    builder: Path, unbuilt: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    done = build(builder, "wheel", unbuilt, **environment)
    assert done.returncode == 0, done.stderr
    assert ("could not be built" in done.stderr) == ("CC" in environment)
    wheel = built(unbuilt, "*.whl")
    assert not {name for name in names_in(wheel) if name.endswith((".so", ".pyd", ".c"))}
    imported = import_from(wheel, tmp_path / "site", "-W", "always")
    assert imported.returncode == 0, imported.stderr
    assert imported.stdout.split()[-1] == "False"
    assert "RuntimeWarning: tgtrio runs on its pure Python twins" in imported.stderr


def test_where_a_compiler_must_be_its_absence_fails_the_build(builder: Path, unbuilt: Path) -> None:
    done = build(builder, "wheel", unbuilt, CC=NO_COMPILER, CI="true")
    assert done.returncode != 0
    assert not list((unbuilt / "dist").glob("*.whl"))


def test_what_an_earlier_build_left_in_the_sources_is_not_shipped(
    builder: Path, unbuilt: Path
) -> None:
    package = unbuilt / "src" / "tgtrio"
    for name in (f"_pump{SUFFIX}", "_pump.c"):
        (package / name).write_bytes(b"stale")
    done = build(builder, "wheel", unbuilt, TGTRIO_NO_EXT="1")
    assert done.returncode == 0, done.stderr
    held = names_in(built(unbuilt, "*.whl"))
    assert not {name for name in held if name.endswith((SUFFIX, ".c"))}


# Facts of the project file


def test_the_extensions_of_the_build_are_those_of_the_sources() -> None:
    assert {Path(name).stem for name in sources(".pyx")} == set(COMPILED) == set(MODULES)
    assert {f"tgtrio/{name}.pyi" for name in COMPILED} <= sources(".pyi")
    assert {f"tgtrio/{name}_py.py" for name in TWINS} <= sources(".py")


def test_the_command_is_there_to_be_called() -> None:
    assert PROJECT["project"]["scripts"] == {"tgtrio": "tgtrio.cli:main"}
    assert callable(__import__("tgtrio.cli", fromlist=["main"]).main)


def test_an_extra_that_names_this_project_names_extras_that_exist() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    own = [one for wanted in extras.values() for one in wanted if one.startswith("tgtrio[")]
    named = {name for one in own for name in one[len("tgtrio[") : -1].split(",")}
    assert named <= set(extras)


def test_the_command_alone_brings_what_its_options_need() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    assert {*extras["report"], *extras["yaml"]} <= set(extras["cli"])


def test_the_package_needs_none_of_its_extras() -> None:
    """Also not what happens to be installed beside it."""
    absent = ("yaml", "rich", "cyclopts", "Cython", "setuptools", "pytest")
    source = (
        f"import sys; sys.modules.update(dict.fromkeys({absent}))\n"
        "import tgtrio, tgtrio.cli\n"
        "sys.exit(tgtrio.cli.main(['demo']))"
    )
    package = str(Path(tgtrio.__file__).parents[1])
    done = run([sys.executable, "-c", source], ROOT, PYTHONPATH=package)
    assert done.returncode == 2
    assert "pip install 'tgtrio[cli]'" in done.stderr
    assert "Traceback" not in done.stderr

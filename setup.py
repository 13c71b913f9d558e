"""Builds the compiled modules. Everything else is in pyproject.toml.

Switches, by environment:
    TGTRIO_DEBUG=1      no optimisation, symbols, bounds checks: for gdb and for hunting
    TGTRIO_COVERAGE=1   line tracing, the generated C beside its source: for coverage of .pyx
    TGTRIO_SANITIZE=1   address and undefined-behaviour sanitizers (run with libasan preloaded)
    TGTRIO_NO_EXT=1     do not compile at all; the pure Python twins serve
    CI=true             a failed compile is an error; elsewhere the twins serve, loudly
"""

import os
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG, COVERAGE, SANITIZE, NO_EXT = (
    os.environ.get(f"TGTRIO_{name}") == "1" for name in ("DEBUG", "COVERAGE", "SANITIZE", "NO_EXT")
)
MUST_COMPILE = os.environ.get("CI") == "true"
MODULES = [
    "_describing",
    "_freezing",
    "_lane",
    "_notifier",
    "_pump",
    "_queue_base",
    "_queue_check",
    "_ready_queue",
]

WARNING = """
******************************************************************************
tgtrio: the C extension could not be built: {error}
tgtrio: the pure Python twins will serve, correct but many times slower.
tgtrio: install a C compiler and reinstall to get the fast ones.
******************************************************************************
"""


class BuildOrWarn(build_ext):
    """Compile; where that fails and need not succeed, say so and go on."""

    def run(self) -> None:
        self._or_warn(super().run)

    def build_extension(self, ext: Extension) -> None:
        self._or_warn(lambda: super(BuildOrWarn, self).build_extension(ext))

    def _or_warn(self, build) -> None:
        try:
            build()
        except Exception as error:  # whatever a compiler, or its absence, can raise
            if MUST_COMPILE:
                raise
            print(WARNING.format(error=error), file=sys.stderr)

    def copy_extensions_to_source(self) -> None:
        built = os.path.join(self.build_lib, "{}").format
        self.extensions = [
            e for e in self.extensions if os.path.exists(built(self.get_ext_filename(e.name)))
        ]
        super().copy_extensions_to_source()


def extensions() -> list[Extension]:
    if NO_EXT:
        return []
    from Cython.Build import cythonize

    flags = ["-O0", "-g"] if DEBUG or COVERAGE else ["-O3", "-g0"]
    sanitize = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g"] * SANITIZE
    macros = [("CYTHON_TRACE_NOGIL", "1")] * COVERAGE
    return cythonize(
        [
            Extension(
                f"tgtrio.{name}",
                [f"src/tgtrio/{name}.pyx"],
                extra_compile_args=([] if sys.platform == "win32" else flags) + sanitize,
                extra_link_args=sanitize,
                define_macros=macros,
            )
            for name in MODULES
        ],
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "wraparound": False,
            "initializedcheck": DEBUG,
            "cdivision": True,
            "linetrace": COVERAGE,
        },
        build_dir=None if COVERAGE else "build/cython",
        gdb_debug=DEBUG,
    )


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildOrWarn})

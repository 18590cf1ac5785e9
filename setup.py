"""The native build and nothing else; all about the package is in pyproject.toml."""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

CORE = "fastcap_core"
FLAGS = ["-std=c11", "-O2", "-fvisibility=hidden", "-D_GNU_SOURCE", "-D_DARWIN_C_SOURCE", "-fPIC"]
# Warnings are errors for us, not for people whose compiler knows more of them than ours.
STRICT = ["-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror"]

core = {
    "sources": sorted(map(str, Path("csrc").glob("*.c"))),
    "obj_deps": {"": sorted(map(str, Path("csrc").glob("*.h")))},
    "cflags": FLAGS + (STRICT if os.environ.get("FASTCAP_STRICT") else []),
}
extensions = [
    Extension(
        f"fastcap._native.{path.stem}",
        [str(path)],
        include_dirs=["csrc"],
        libraries=[CORE],
        depends=[*map(str, Path("csrc").glob("*.[ch]")), "fastcap/_native/csrc.pxd"],
        extra_compile_args=FLAGS,
    )
    for path in sorted(Path("fastcap/_native").glob("*.pyx"))
]
setup(
    libraries=[(CORE, core)],
    ext_modules=cythonize(  # type: ignore[no-untyped-call]
        extensions,
        build_dir="build/cython",
        compiler_directives={
            "language_level": 3,
            "boundscheck": bool(os.environ.get("FASTCAP_CHECKS")),
            "wraparound": False,
            "embedsignature": True,
        },
    ),
)

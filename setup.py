"""The native build and nothing else; all about the package is in pyproject.toml."""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

CORE = "fastcap_core"
# Live capture and sending: AF_PACKET is Linux's. All else builds wherever Python does.
LINUX_ONLY = (
    {"ring", "queue", "capture", "sender", "simulated"} if sys.platform != "linux" else set()
)
FLAGS = ["-std=c11", "-O3", "-fvisibility=hidden", "-D_GNU_SOURCE", "-D_DARWIN_C_SOURCE", "-fPIC"]
# Warnings are errors for us, not for people whose compiler knows more of them than ours.
STRICT = ["-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror"]


def sources(folder: str, suffix: str) -> list[Path]:
    paths = sorted(Path(folder).glob(f"*.{suffix}"))
    return [path for path in paths if path.stem not in LINUX_ONLY]


core = {
    "sources": [str(path) for path in sources("csrc", "c")],
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
        extra_link_args=["-pthread"],
    )
    for path in sources("fastcap/_native", "pyx")
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

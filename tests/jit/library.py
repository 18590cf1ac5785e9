"""The crate in jit/ as a library for C: tests and fuzzers have no Python."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = "libfastcap_jit.so"


def build(folder: Path) -> list[str] | None:
    """Puts it into a folder, Cranelift's verifier on; gives what a C compiler needs to link with
    it, or None where there is no cargo. CalledProcessError where it cannot be built."""
    if shutil.which("cargo") is None:
        return None
    crate = ROOT / "jit"
    target = crate / "target"
    target.mkdir(exist_ok=True)
    with (target / "library.lock").open("w") as lock:  # the wheel's library has the same place
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(
            ["cargo", "build", "--quiet", "--release", "--locked", "--features", "verify"],
            cwd=crate,
            check=True,
        )
        shutil.copy(target / "release" / NAME, folder / NAME)
    return [f"-I{ROOT / 'tests' / 'jit'}", f"-I{ROOT / 'tests' / 'c'}", f"-L{folder}",
            "-lfastcap_jit", f"-Wl,-rpath,{folder}"]  # fmt: skip

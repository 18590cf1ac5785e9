"""The crate in jit/ as a library for C: tests and fuzzers have no Python."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = "libfastcap_jit.so"
OLDEST = (1, 88)


def has_cargo() -> bool:
    """One that is new enough for the crate (jit/Cargo.toml)."""
    if shutil.which("cargo") is None:
        return False
    told = subprocess.run(["cargo", "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"cargo (\d+)\.(\d+)", told.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= OLDEST


def build(folder: Path) -> list[str] | None:
    """Puts it into a folder, Cranelift's verifier on; gives what a C compiler needs to link with
    it, or None where there is no cargo. CalledProcessError where it cannot be built."""
    if not has_cargo():
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

# SPDX-License-Identifier: Apache-2.0
"""The C tests of the core, each a program of its own, under ASAN and UBSAN."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT

TESTS = sorted((ROOT / "tests" / "c").glob("test_*.c"))
FLAGS = [
    "-std=c11",
    "-g",
    "-O1",
    "-D_GNU_SOURCE",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Werror",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    f"-I{ROOT / 'csrc'}",
]
LONGEST_SECONDS = 120


def run(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=LONGEST_SECONDS,
        check=False,
    )


def compile_c(arguments: list[str], folder: Path) -> None:
    result = run(["cc", *FLAGS, *arguments], folder)
    if result.returncode != 0:
        pytest.fail(result.stdout, pytrace=False)


def working_sanitizers(folder: Path) -> str:
    """ASAN_OPTIONS that work here, for not every container allows the leak check; else skips."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler (cc) here")
    (folder / "nothing.c").write_text("int main(void) { return 0; }\n")
    built = run(["cc", *FLAGS, "nothing.c", "-o", "nothing"], folder)
    if built.returncode != 0:
        pytest.skip(f"cc cannot build with ASAN and UBSAN: {built.stdout.strip()[-200:]}")
    for options in ("detect_leaks=1", "detect_leaks=0"):
        ran = run(["./nothing"], folder, ASAN_OPTIONS=options)
        if ran.returncode == 0:
            return options
    pytest.skip(f"programs with ASAN do not run here: {ran.stdout.strip()[-200:]}")


@dataclass(frozen=True)
class Sanitized:
    """The core's object files, and the ASAN_OPTIONS to run with."""

    objects: list[str]
    options: str


def sanitized_core(factory: pytest.TempPathFactory) -> Sanitized:
    """Compiles the core once for all the workers of a run: the first does, the others wait."""
    options = working_sanitizers(factory.mktemp("sanitizers"))
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "core-objects"
    folder.mkdir(exist_ok=True)
    done = folder / "done"
    sources = sorted((ROOT / "csrc").glob("*.c"))
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            compile_c(["-c", *map(str, sources)], folder)
            done.touch()
    return Sanitized([str(folder / f"{source.stem}.o") for source in sources], options)


@pytest.fixture(scope="session")
def core(tmp_path_factory: pytest.TempPathFactory) -> Sanitized:
    return sanitized_core(tmp_path_factory)


@pytest.mark.parametrize("source", TESTS, ids=lambda source: source.name)
def test_c_program_passes_its_checks(source: Path, core: Sanitized, tmp_path: Path) -> None:
    compile_c([str(source), *core.objects, "-pthread", "-o", source.stem], tmp_path)
    result = run([f"./{source.stem}"], tmp_path, ASAN_OPTIONS=core.options)
    if result.returncode != 0 or "checks passed" not in result.stdout:
        pytest.fail(f"exit code {result.returncode}\n{result.stdout}", pytrace=False)


@pytest.mark.parametrize("name", ["test_group", "test_plan", "test_planner"])
def test_groups_are_judged_alike_on_every_processor(
    name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    options = working_sanitizers(tmp_path_factory.mktemp("sanitizers"))
    sources = [*map(str, sorted((ROOT / "csrc").glob("*.c")))]
    source = str(ROOT / "tests" / "c" / f"{name}.c")
    compile_c(["-DFC_PORTABLE", source, *sources, "-pthread", "-o", name], tmp_path)
    result = run([f"./{name}"], tmp_path, ASAN_OPTIONS=options)
    assert result.returncode == 0, result.stdout
    assert "checks passed" in result.stdout


def without_address_randomisation() -> list[str]:
    """Older thread sanitizers do not know where newer kernels put things."""
    return ["setarch", "-R"] if shutil.which("setarch") else []


@pytest.mark.parametrize("name", ["threads_capture", "test_guard", "test_sender", "test_simulated"])
def test_threads_share_nothing_that_is_not_guarded(name: str, tmp_path: Path) -> None:
    if sys.platform != "linux" or shutil.which("cc") is None:
        pytest.skip("wants Linux and a C compiler")
    flags = [flag.replace("address,undefined", "thread") for flag in FLAGS]
    sources = [*map(str, sorted((ROOT / "csrc").glob("*.c")))]
    source = str(ROOT / "tests" / "c" / f"{name}.c")
    built = run(["cc", *flags, source, *sources, "-pthread", "-o", name], tmp_path)
    if "cannot find -ltsan" in built.stdout or "libtsan" in built.stdout:
        pytest.skip("no thread sanitizer here")
    assert built.returncode == 0, built.stdout
    done = run([*without_address_randomisation(), f"./{name}"], tmp_path)
    if "unexpected memory mapping" in done.stdout:
        pytest.skip("the thread sanitizer does not run on this kernel")
    assert done.returncode == 0, done.stdout
    assert "checks passed" in done.stdout


def test_every_part_of_the_core_has_a_c_test() -> None:
    tested = {source.stem.removeprefix("test_") for source in TESTS}
    parts = {source.stem for source in (ROOT / "csrc").glob("*.c")}
    assert parts <= tested

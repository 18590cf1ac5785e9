# SPDX-License-Identifier: Apache-2.0
"""Builds every fuzz target with clang and runs each for a while: run.py --seconds 60.

The corpus in the repository is only read; an input that crashes a target is left in the folder
that is named at the end.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))
from tests.jit import library  # noqa: E402 - run as a file, only its own directory is on the path

MACHINE_CODE = ROOT / "tests" / "jit" / "fuzz_programs.c"  # programs again, with machine code
CORPORA = {MACHINE_CODE.stem: "program"}
FLAGS = [
    "-std=c11",
    "-g",
    "-O1",
    "-D_GNU_SOURCE",
    "-Wall",
    "-Wextra",
    "-fsanitize=fuzzer,address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    f"-I{ROOT / 'csrc'}",
]
LONGEST_INPUT = 4096


def why_not(folder: Path) -> str | None:
    """Why nothing can be built here: no clang, or a clang without its fuzzer's runtime."""
    if shutil.which("clang") is None:
        return "there is no clang here"
    probe = folder / "probe.c"
    probe.write_text(
        "int LLVMFuzzerTestOneInput(const char *data, unsigned long size);\n"
        "int LLVMFuzzerTestOneInput(const char *data, unsigned long size) {\n"
        "    return data == 0 && size > 0;\n}\n"
    )
    built = subprocess.run(
        ["clang", *FLAGS, str(probe), "-o", str(folder / "probe")],
        capture_output=True,
        check=False,
    )
    return None if built.returncode == 0 else "this clang has no fuzzer runtime (libclang-rt-dev)"


def build(source: Path, folder: Path) -> Path:
    binary = folder / source.stem
    core = sorted(map(str, (ROOT / "csrc").glob("*.c")))
    linked = (library.build(folder) or []) if source == MACHINE_CODE else []
    subprocess.run(
        ["clang", *FLAGS, "-pthread", str(source), *core, *linked, "-o", str(binary)], check=True
    )
    return binary


def run(source: Path, folder: Path, seconds: int) -> bool:
    """True where the target found nothing."""
    corpus = folder / f"{source.stem}-corpus"
    shutil.copytree(HERE / "corpus" / CORPORA.get(source.stem, source.stem), corpus)
    binary = build(source, folder)
    print(f"{source.stem}: {seconds} s", flush=True)
    command = [
        str(binary),
        str(corpus),
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST_INPUT}",
        f"-artifact_prefix={folder}/{source.stem}-",
        "-print_final_stats=1",
    ]
    return subprocess.run(command, check=False).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the fuzz targets with libFuzzer.")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("targets", nargs="*", help="names of targets (all of them)")
    chosen = parser.parse_args()
    sources = sorted(HERE.glob("*.c"))
    if library.has_cargo():
        sources.append(MACHINE_CODE)
    unknown = set(chosen.targets) - {source.stem for source in sources}
    if unknown:
        print(f"no such target: {', '.join(sorted(unknown))}")
        return 1
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    reason = why_not(folder)
    if reason is not None:
        shutil.rmtree(folder)
        print(f"fuzzing needs clang with libFuzzer; {reason}")
        return 1
    if MACHINE_CODE not in sources:
        print("no cargo here: machine code is left out")
    failed = [
        source.stem
        for source in sources
        if (not chosen.targets or source.stem in chosen.targets)
        and not run(source, folder, chosen.seconds)
    ]
    if failed:
        print(f"failed: {', '.join(failed)}; the inputs are in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())

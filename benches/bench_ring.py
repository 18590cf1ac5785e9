"""How long does the live loop take for a frame, from the kernel's ring into a chunk for the writer?

The ring is simulated (ring_reader.c), so that no kernel and no sender is the limit. Times are of
the processor that the reader's thread had, as the program measures them: what the benchmark plugin
sees is the whole program, which makes the ring and compares every record before it measures.

    python benches/bench_ring.py    # the program's own lines of JSON, wall-clock time among them
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

if __package__ in {None, ""}:  # run as a file, only its own directory is on the path
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import fastcap
from benches.bench_filter import FILTERS
from benches.conftest import ANSWERS, Answer

ROOT = Path(__file__).resolve().parent.parent
RUNS = 9
RINGS_MIB = (64, 256)
VARIANTS = {
    "plain": "no filter, one file",
    "tagged": "tags put back",
    "filtered": "two Blobs in user space",
    "sliced": "cut behind TCP's options",
    "size": "a file every 1 MiB",
    "time": "a file every 5 ms",
    "pcapng": "no filter, one pcapng",
    "full": "no filter, one file",
}


def _flags() -> list[str]:
    """What the core is compiled with: FLAGS of setup.py."""
    for statement in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "FLAGS":
            return [str(flag) for flag in ast.literal_eval(statement.value)]
    raise AssertionError("setup.py has no FLAGS")


def build(folder: Path) -> Path:
    program = folder / "ring_reader"
    core = ROOT / "csrc"
    sources = [ROOT / "benches" / "ring_reader.c", *sorted(core.glob("*.c"))]
    command = ["cc", *_flags(), f"-I{core}", *map(str, sources), "-pthread", "-o", str(program)]
    subprocess.run(command, check=True)
    (folder / "program").write_bytes(fastcap.compile(FILTERS["two Blobs"][0]).program.packed()[0])
    return program


def run(program: Path, variant: str, ring_mib: int) -> dict[str, Any]:
    """What it measured; CalledProcessError where a record is not what was sent."""
    more = [str(program.parent / "program")] if variant == "filtered" else []
    command = [str(program), variant, str(ring_mib), str(RUNS), *more]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def ring_reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if sys.platform != "linux":
        pytest.skip("the ring is Linux's")
    return build(tmp_path_factory.mktemp("ring"))


@pytest.mark.parametrize("ring_mib", RINGS_MIB)
@pytest.mark.parametrize("variant", VARIANTS)
def test_ring(
    variant: str, ring_mib: int, ring_reader: Path, benchmark: Any, request: pytest.FixtureRequest
) -> None:
    measured = benchmark.pedantic(run, args=(ring_reader, variant, ring_mib))
    assert measured["kept"] > 0
    ns = measured["cpu_ns_median"]
    answer = Answer(
        f"ring of {ring_mib} MiB to chunks, {VARIANTS[variant]}",
        "full" if variant == "full" else "80",
        ns,
        round(measured["ring_bytes_a_frame"] / ns, 3),
    )
    benchmark.extra_info.update(measured)
    request.config.stash.setdefault(ANSWERS, []).append(answer)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder))
        for ring_mib in RINGS_MIB:
            for variant in VARIANTS:
                print(json.dumps(run(program, variant, ring_mib)), flush=True)


if __name__ == "__main__":
    main()

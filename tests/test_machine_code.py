"""Machine code beside the interpreter on what no filter's text leads to: random valid programs, and
the corpus of the fuzz target, with frames that end where memory ends."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.jit import library
from tests.test_c import Sanitized, compile_c, run, sanitized_core

JIT = ROOT / "tests" / "jit"
CORPUS = ROOT / "tests" / "fuzz" / "corpus" / "program"


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    flags = library.build(tmp_path_factory.mktemp("library"))
    if flags is None:
        pytest.skip("no cargo here, or an old one")
    return flags


@pytest.mark.parametrize(
    "count",
    [200_000, pytest.param(10_000_000, marks=pytest.mark.slow)],
    ids=["few", "ten_million"],
)
def test_random_programs_agree_on_random_frames(
    linked: list[str], rng: random.Random, tmp_path: Path, count: int
) -> None:
    sources = [*map(str, sorted((ROOT / "csrc").glob("*.c")))]
    program = str(JIT / "pairs.c")
    flags = ["-fno-sanitize=all", "-O2", "-Wno-conversion"]
    compile_c([*flags, program, *sources, "-pthread", *linked, "-o", "pairs"], tmp_path)
    seed = rng.randrange(1 << 32)
    done = run(["./pairs", str(seed), str(count)], tmp_path)
    assert done.returncode == 0, f"pairs {seed} {count}: {done.stdout}"
    assert f"{count:,} pairs agree".replace(",", "") in done.stdout


def test_the_fuzz_target_passes_its_corpus(
    linked: list[str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    core: Sanitized = sanitized_core(tmp_path_factory)
    target = str(JIT / "fuzz_programs.c")
    flags = ["-DFC_FUZZ_STANDALONE", "-pthread", *linked]
    compile_c([target, *core.objects, *flags, "-o", "fuzz_programs"], tmp_path)
    inputs = sorted(map(str, CORPUS.iterdir()))
    ran = run(["./fuzz_programs", *inputs], tmp_path, ASAN_OPTIONS=core.options)
    assert ran.returncode == 0, ran.stdout
    assert f"{len(inputs)} inputs passed" in ran.stdout

# SPDX-License-Identifier: Apache-2.0
"""The corpus of every fuzz target once through it, under ASAN and UBSAN, without a fuzzer."""

from __future__ import annotations

import re
import runpy
import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_c import Sanitized, compile_c, run, sanitized_core

FUZZ = ROOT / "tests" / "fuzz"
TARGETS = sorted(FUZZ.glob("*.c"))


@pytest.fixture(scope="module")
def built_core(tmp_path_factory: pytest.TempPathFactory) -> Sanitized:
    return sanitized_core(tmp_path_factory)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.stem)
def test_fuzz_target_passes_its_corpus(target: Path, built_core: Sanitized, tmp_path: Path) -> None:
    compile_c(
        ["-DFC_FUZZ_STANDALONE", str(target), *built_core.objects, "-pthread", "-o", target.stem],
        tmp_path,
    )
    inputs = sorted(map(str, (FUZZ / "corpus" / target.stem).iterdir()))
    assert inputs
    ran = run([f"./{target.stem}", *inputs], tmp_path, ASAN_OPTIONS=built_core.options)
    if ran.returncode != 0 or f"{len(inputs)} inputs passed" not in ran.stdout:
        pytest.fail(f"exit code {ran.returncode}\n{ran.stdout}", pytrace=False)


def test_corpus_is_what_its_script_writes(tmp_path: Path) -> None:
    script = tmp_path / "make_corpus.py"
    shutil.copy(FUZZ / "make_corpus.py", script)
    ran = run([sys.executable, str(script)], tmp_path)
    assert ran.returncode == 0, ran.stdout
    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("corpus/*/*"))
    assert written
    for path in written:
        assert (tmp_path / path).read_bytes() == (FUZZ / path).read_bytes(), path


def test_corpus_names_the_codes_in_the_order_of_the_reference() -> None:
    script = runpy.run_path(str(FUZZ / "make_corpus.py"))
    text = (ROOT / "tests" / "c" / "reference.h").read_text()
    table = text.partition("reference_codes[] = {")[2].partition("};")[0]
    codes = re.findall(r"0x[0-9a-f]+(?=,)", table)
    assert len(script["CODES"]) == len(codes)
    for name, code in {"ld": "0x20", "ja": "0x05", "ldcap": "0x100", "jaback": "0x135"}.items():
        assert codes[script["CODES"].index(name)] == code


def test_fuzz_runner_says_when_clang_is_missing(tmp_path: Path) -> None:
    ran = run([sys.executable, str(FUZZ / "run.py")], tmp_path, PATH=str(tmp_path))
    assert ran.returncode == 1
    assert ran.stdout == "fuzzing needs clang with libFuzzer; there is no clang here\n"

"""csrc.pxd says what the headers say. Cython's compiler does not look; a C compiler does here."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, needs

PXD = ROOT / "fastcap" / "_native" / "csrc.pxd"
BLOCK = re.compile(
    r'^cdef extern from "(?P<header>[\w.]+)" nogil:\n(?P<body>(?:(?:    .*)?\n)+)', re.M
)
STRUCT = re.compile(r"^    struct (?P<name>\w+):\n(?P<fields>(?:        .*\n)+)", re.M)
FIELD = re.compile(
    r"^        (?P<type>[^#\n]+?) +(?P<stars>\**)(?P<name>\w+)(?P<array>\[\d+\])?"
    r'(?: "(?P<alias>\w+)")?$',
    re.M,
)
FUNCTION = re.compile(
    r"^    (?P<type>(?:const )?\w+) (?P<stars>\**)(?P<name>fc_\w+)\((?P<parameters>[^)]*)\)", re.M
)
CONSTANT = re.compile(r"^    enum: (?P<name>\w+)$", re.M)


def c_type(text: str, structs: set[str]) -> str:
    """A type of Cython's as C spells it."""
    assert not re.search(r"\bbint \*", text), (
        f"{text}: a bint is an int, and this one's address too"
    )
    words = []
    for word in re.findall(r"\w+|\*", text):
        if word in ("bint", "fc_bool"):
            words.append("bool")
        elif word == "fc_scan_stop":
            words.append("enum fc_scan_stop")
        else:
            words.append(f"struct {word}" if word in structs else word)
    return " ".join(words)


def parameters(text: str, structs: set[str]) -> str:
    types = []
    for parameter in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(.*?[\s*])\w+", re.sub(r"\s+", " ", parameter))
        assert match, parameter
        types.append(c_type(match.group(1), structs))
    return ", ".join(types) or "void"


def checks(pxd: str) -> str:
    """A C file that compiles where every declaration is the header's."""
    structs = {match["name"] for match in STRUCT.finditer(pxd)}
    lines = ["#include <stdbool.h>"]
    for block in BLOCK.finditer(pxd):
        lines.append(f'#include "{block["header"]}"')
        body = block["body"]
        for struct in STRUCT.finditer(body):
            for field in FIELD.finditer(struct["fields"]):
                name = field["alias"] or field["name"]
                wanted = c_type(field["type"] + field["stars"], structs) + (field["array"] or "")
                lines.append(
                    "_Static_assert(__builtin_types_compatible_p("
                    f"__typeof__(((struct {struct['name']} *)0)->{name}), {wanted}), "
                    f'"{struct["name"]}.{name}");'
                )
        for function in FUNCTION.finditer(body):
            result = c_type(function["type"] + function["stars"], structs)
            taken = parameters(function["parameters"], structs)
            lines.append(
                f"_Static_assert(__builtin_types_compatible_p(__typeof__(&{function['name']}), "
                f'{result} (*)({taken})), "{function["name"]}");'
            )
        lines += [f"enum {{ check_{match['name']} = {match['name']} }};"
                  for match in CONSTANT.finditer(body)]  # fmt: skip
    return "\n".join(lines) + "\n"


def compiles(source: str, folder: Path) -> bool:
    path = folder / "check.c"
    path.write_text(source)
    command = [needs("cc"), "-std=gnu11", "-fsyntax-only", "-I", str(ROOT / "csrc"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stderr)
    return done.returncode == 0


def test_every_declaration_is_that_of_the_header(tmp_path: Path) -> None:
    source = checks(PXD.read_text())
    assert source.count("_Static_assert") > 50
    assert compiles(source, tmp_path)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("uint64_t limit", "uint32_t limit"),
        ("const uint8_t *bytes", "uint8_t *bytes"),
        ("size_t offset", "size_t length_"),
        ("int fc_writer_flush(fc_writer *writer)", "int fc_writer_flush(fc_scan *writer)"),
        ("bint replace)", "int replace, int more)"),
        ("enum: FC_ERROR_MEMORY", "enum: FC_ERROR_MEMORIES"),
    ],
)
def test_a_wrong_declaration_is_noticed(right: str, wrong: str, tmp_path: Path) -> None:
    pxd = PXD.read_text()
    assert right in pxd
    assert not compiles(checks(pxd.replace(right, wrong, 1)), tmp_path)


def test_nothing_but_csrc_pxd_declares_c() -> None:
    for path in sorted(PXD.parent.glob("*.p[yx][xd]")):
        if path != PXD:
            assert "extern from" not in path.read_text(), path


def test_the_packed_instruction_has_the_size_of_the_c_struct() -> None:
    from fastcap._native.program import INSTRUCTION_SIZE
    from fastcap.language.program import Instruction, Program

    code = Program((Instruction(6, 1),)).packed()[0]
    assert len(code) == INSTRUCTION_SIZE

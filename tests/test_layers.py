"""Imports, cimports and includes keep to the tables in ARCHITECTURE.md: downwards only."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, needs

FASTCAP = ROOT / "fastcap"


def table(title: str) -> dict[str, int]:
    """Name -> row, 0 at the top, of the block after `<!-- layers: title -->`."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    match = re.search(rf"<!-- layers: {title} -->\n```\n(.*?)```", text, re.S)
    assert match, f"no table {title} in ARCHITECTURE.md"
    rows = [row.split("  ")[0].split() for row in match.group(1).splitlines()]
    return {name: number for number, row in enumerate(rows) for name in row}


def package_of(module: str) -> str:
    """fastcap.language.parser -> language."""
    return module.split(".")[1] if "." in module else module


def is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports_of(path: Path) -> set[str]:
    """Modules of fastcap's that a Python file imports when it runs, anywhere in it."""
    found = set()
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.stmt) and is_type_checking(node):
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= set(names) if node.module == "fastcap" else {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        pending.extend(ast.iter_child_nodes(node))
    return {name for name in found if name.startswith("fastcap.")}


def assert_downwards(rows: dict[str, int], who: str, whom: str, where: Path) -> None:
    assert who in rows, f"{where}: {who} is in no table of ARCHITECTURE.md"
    assert whom in rows, f"{where}: knows {whom}, which is in no table of ARCHITECTURE.md"
    assert rows[who] < rows[whom], f"{where}: {who} may not know {whom}"


def test_python_modules_know_only_what_stands_below_them() -> None:
    rows = table("python")
    for path in sorted(FASTCAP.rglob("*.py")):
        who = path.relative_to(FASTCAP).parts[0].removesuffix(".py")
        if who in ("__init__", "__main__"):
            continue
        for module in imports_of(path):
            whom = package_of(module)
            if whom not in (who, "__version__"):
                assert_downwards(rows, who, whom, path)


def test_the_language_knows_no_native_code_and_libpcap_is_behind_one_module() -> None:
    for path in sorted(FASTCAP.rglob("*.py")):
        text = path.read_text()
        if path.parent.name == "language":
            assert not any("_native" in module for module in imports_of(path)), path
        if path.name != "libpcap.py":
            assert not re.search(r"^\s*(import|from) pcapy", text, re.M), path


def test_bindings_know_only_what_stands_below_them() -> None:
    rows = table("bindings")
    for path in sorted((FASTCAP / "_native").glob("*.p[yx][xd]")):
        who = path.stem
        text = path.read_text()
        for whom in re.findall(r"^from fastcap\._native\.(\w+) c?import", text, re.M):
            if whom != who:
                assert_downwards(rows, who, whom, path)
        others = re.findall(r"^from fastcap\.(\w+) import", text, re.M)
        assert set(others) <= {"errors"}, path


def test_core_files_include_only_what_stands_below_them() -> None:
    rows = table("core")
    for path in sorted((ROOT / "csrc").glob("*.[ch]")):
        for name in re.findall(r'^#include "(\w+)\.h"', path.read_text(), re.M):
            if name != path.stem:
                assert_downwards(rows, path.stem, name, path)


def test_the_core_knows_no_python_prints_nothing_and_starts_no_threads() -> None:
    forbidden = re.compile(
        r"Python\.h|\b(?:printf|fprintf|puts|perror|abort|exit|pthread_create)\s*\("
    )
    for path in sorted((ROOT / "csrc").glob("*.[ch]")):
        assert not forbidden.search(path.read_text()), path


def test_the_core_has_no_mutable_globals(tmp_path: Path) -> None:
    cc, nm = needs("cc"), needs("nm")
    for path in sorted((ROOT / "csrc").glob("*.c")):
        if path.stem == "guard":  # a process has one handler for a signal
            continue
        item = str(tmp_path / f"{path.stem}.o")
        subprocess.run([cc, "-std=c11", "-D_GNU_SOURCE", "-c", str(path), "-o", item], check=True)
        symbols = subprocess.run([nm, item], check=True, capture_output=True, text=True).stdout
        assert not re.findall(r"^[0-9a-f]+ [bBdDC] .*", symbols, re.M), path


@pytest.mark.parametrize("suffix", ["c", "h"])
def test_core_symbols_say_their_file(suffix: str) -> None:
    for path in sorted((ROOT / "csrc").glob(f"*.{suffix}")):
        for name in re.findall(r"^\w[\w ]*\*?\b(fc_\w+)\(", path.read_text(), re.M):
            assert name.startswith(f"fc_{path.stem}") or path.stem == "bytes", (path, name)

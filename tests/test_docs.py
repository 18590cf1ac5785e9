"""Documents stay true: paths in them exist, commands in them run, and they speak of us alone."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import pcaps
from tests.conftest import ROOT, needs

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benches/*.md")])
PATH = re.compile(r"`((?:csrc|fastcap|tests|benches|docs|\.ci)/[\w./-]*|[\w-]+\.(?:md|toml|py))`")
LINK = re.compile(r"\]\(([\w./-]+)\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text()
    for name in PATH.findall(text):
        assert (ROOT / name).exists() or (document.parent / name).exists(), name
    for name in LINK.findall(text):
        assert (document.parent / name).exists(), name


@pytest.fixture
def folder(tmp_path: Path, rng: random.Random) -> Path:
    """A directory with the files that the README's examples name."""
    (tmp_path / "captures").mkdir()
    for name in ("net1.pcap", "net2.pcap", "captures/net3.pcap"):
        pcaps.write(tmp_path / name, pcaps.capture(pcaps.some_frames(rng, 300)))
    return tmp_path


def test_the_commands_of_the_readme_run_as_written(folder: Path) -> None:
    commands = re.findall(r"^\$ (.*fastcap.*)$", (ROOT / "README.md").read_text(), re.M)
    assert len(commands) >= 8
    (folder / "bin").mkdir()
    script = folder / "bin" / "fastcap"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m fastcap "$@"\n')
    script.chmod(0o755)
    path = f"{script.parent}:{os.environ['PATH']}"
    for command in commands:
        if "tcpdump" in command:
            needs("tcpdump")
        done = subprocess.run(
            command, shell=True, cwd=folder, env={**os.environ, "PATH": path},
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stderr)


def test_the_python_of_the_readme_runs_as_written(folder: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True)

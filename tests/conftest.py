"""What all tests share: options, where other people's captures are, seeds."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.harness import Faults
from tests.sockets import KernelFilters

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="takes minutes: make test ARGS=--slow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def shared_captures() -> Path:
    """A thousand captures made by other people's tools; not part of the project."""
    folder = SHARED / "captures"
    if not (folder / "INDEX.tsv").exists():
        pytest.skip("no folder of other people's captures beside the checkout")
    return folder


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers whose seed is printed when the test fails; FASTCAP_SEED repeats it."""
    seed = int(os.environ.get("FASTCAP_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"FASTCAP_SEED={seed}")
    return random.Random(seed)


def needs(tool: str) -> str:
    """The path of a program that tests compare with; the test is skipped where it is absent."""
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"{tool} is not installed")
    return path


@pytest.fixture
def sockets() -> Iterator[KernelFilters]:
    """The kernel's interpreter of filters."""
    pair = KernelFilters()
    yield pair
    pair.close()


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Faults:
    """Runs programs whose file operations fail."""
    return Faults(tmp_path_factory.mktemp("faults"))


@pytest.fixture
def only_bench() -> Iterator[None]:
    """Two benches of one network namespace refuse each other, and tests run side by side."""
    path = os.path.join(tempfile.gettempdir(), f"fastcap-bench-tests-{os.getuid()}.lock")
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

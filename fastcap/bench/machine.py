"""What the machine is, and what runs on it: without that a figure says little."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess

from fastcap import __version__
from fastcap.engine import wanted
from fastcap.errors import UsageError

_SECONDS = 10  # for a tool to say its version


def machine() -> dict[str, str | int]:
    """Names, and what is to be said of them."""
    return {
        "processor": _first(r"^model name\s*:\s*(.+)$", "/proc/cpuinfo") or platform.machine(),
        "processors": processors(),
        "memory_mib": memory_bytes() >> 20,
        "system": f"{platform.system()} {platform.release()}",
    }


def in_words(told: dict[str, str | int]) -> str:
    """What `machine` returned, for people."""
    return (
        f"{told['processor']}, {told['processors']} processors, {told['memory_mib']:,} MiB, "
        f"{told['system']}"
    )


def versions(*tools: str) -> dict[str, str]:
    """Of fastcap, of what runs it, and of tools that are installed."""
    found = {"fastcap": __version__, "engine": _engine(), "Python": platform.python_version()}
    for tool in tools:
        told = "" if tool in found else _version_of(tool)
        if told:
            found[tool] = told
    return found


def processors() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _engine() -> str:
    """Who will run filters, as far as that is known before there is one."""
    try:
        if wanted("auto") == "interpreter":
            return "interpreter"
        wanted("jit")
    except UsageError:
        return "interpreter"
    return "jit"


def _first(pattern: str, path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            match = re.search(pattern, file.read(), re.M)
    except OSError:
        return ""
    return match[1].strip() if match else ""


def _version_of(tool: str) -> str:
    """The first version number that it prints; "" where it is not installed or prints none."""
    path = shutil.which(tool)
    if path is None:
        return ""
    try:
        done = subprocess.run(  # noqa: S603 - a tool that the user has in PATH
            [path, "--version"], capture_output=True, text=True, check=False, timeout=_SECONDS,
            stdin=subprocess.DEVNULL, errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return match[0] if match else "of no version"

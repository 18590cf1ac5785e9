"""fastcap: packet capture and post-filter.

>>> import fastcap
>>> hosts = fastcap.compile("Blob(FrameData, 26, 4) == 0x0a234567 OR tcp port 443")
>>> hosts.matches(bytes(26) + bytes.fromhex("0a234567"))
True

The names below are imported when they are first used: the command line starts in milliseconds.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False  # importing it takes longer than the rest of --version
if TYPE_CHECKING:
    from fastcap.account import Account
    from fastcap.capture import Capture, CaptureResult
    from fastcap.capture_file import Batch, CaptureFile, open
    from fastcap.errors import (
        DamageError,
        FastcapError,
        FilterError,
        InputError,
        Interrupted,
        OutputError,
        ProgramError,
        UsageError,
    )
    from fastcap.filter import Filter, compile
    from fastcap.postfilter import filter_files, split_files
    from fastcap.results import FilterResult

_HOME = {
    "Account": "account",
    "Capture": "capture",
    "CaptureResult": "capture",
    "Batch": "capture_file",
    "CaptureFile": "capture_file",
    "open": "capture_file",
    "DamageError": "errors",
    "FastcapError": "errors",
    "FilterError": "errors",
    "InputError": "errors",
    "Interrupted": "errors",
    "OutputError": "errors",
    "ProgramError": "errors",
    "UsageError": "errors",
    "Filter": "filter",
    "compile": "filter",
    "FilterResult": "results",
    "filter_files": "postfilter",
    "split_files": "postfilter",
}
__all__ = [
    "Account",
    "Batch",
    "Capture",
    "CaptureFile",
    "CaptureResult",
    "DamageError",
    "FastcapError",
    "Filter",
    "FilterError",
    "FilterResult",
    "InputError",
    "Interrupted",
    "OutputError",
    "ProgramError",
    "UsageError",
    "__version__",
    "compile",
    "filter_files",
    "open",
    "split_files",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'fastcap' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"fastcap.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

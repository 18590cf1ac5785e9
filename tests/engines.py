"""Where machine code is, tests ask it too."""

from __future__ import annotations

import importlib.util

import pytest

HAS_JIT = importlib.util.find_spec("fastcap_jit") is not None
needs_jit = pytest.mark.skipif(not HAS_JIT, reason="fastcap-jit is not installed")

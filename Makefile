# Every target does its own set-up: a virtual environment in .venv, rebuilt when sources change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NATIVE := $(wildcard csrc/*.[ch] fastcap/_native/*.pyx fastcap/_native/*.pxd)
STUBBED := $(subst /,.,$(patsubst %.pyi,%,$(wildcard fastcap/_native/*.pyi)))
PYTEST := $(BIN)/python -m pytest
C_FILES := $(wildcard csrc/*.[ch] tests/c/*.[ch] tests/fuzz/*.[ch] tests/jit/*.[ch] tests/live/*.c \
	tests/faults/*.c benches/*.c)
# Older ones than jit/Cargo.toml asks for count as none.
CARGO := $(shell cargo --version 2>/dev/null | awk '{split($$2, v, "."); if (v[1] > 1 || v[2] >= 88) print "cargo"}')
CRATE := jit/Cargo.toml jit/Cargo.lock jit/pyproject.toml jit/fastcap_jit.pyi $(wildcard jit/src/*.rs jit/src/*/*.rs)
BUILT := $(VENV)/built $(VENV)/machine-code

.PHONY: demo test lint format bench sanitize fuzz clean

# Real traffic between real sockets on this machine, captured, filtered, counted.
demo: $(BUILT)
	$(BIN)/python -m benches.demo

# Everything that must hold; ARGS="-k name" chooses, ARGS=--slow adds the tests of minutes.
# FASTCAP_ENGINE=interpreter asks no machine code.
test: $(BUILT)
ifneq ($(CARGO),)
	cd jit && $(CARGO) test --quiet --release --locked
endif
	$(PYTEST) -n auto $(ARGS)

lint: $(BUILT)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/stubtest --mypy-config-file pyproject.toml --allowlist tests/stubtest.allow \
		--ignore-unused-allowlist $(STUBBED)
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint fastcap/_native
	$(BIN)/clang-format --dry-run --Werror $(C_FILES)

ifneq ($(CARGO),)
	cd jit && $(CARGO) fmt --check
	cd jit && $(CARGO) clippy --quiet --release --locked --all-targets --features python -- -D warnings
endif

format: $(VENV)/built
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $(C_FILES)
ifneq ($(CARGO),)
	cd jit && $(CARGO) fmt
endif

# Nanoseconds a frame of each part, then whole commands beside the peers that are installed: ours as
# people install it, because a checkout's takes 30 ms more to start.
PLAIN := $(VENV)/plain
bench: $(BUILT)
	test -x $(PLAIN)/bin/python || $(PYTHON) -m venv $(PLAIN)
	$(PLAIN)/bin/pip install --quiet --disable-pip-version-check . $(if $(CARGO),./jit)
	$(PYTEST) benches --benchmark-only
ifneq ($(CARGO),)
	$(BIN)/python benches/machine_code.py
endif
	FASTCAP_COMMAND=$(CURDIR)/$(PLAIN)/bin/fastcap $(BIN)/python benches/compare_offline.py

# The C tests under ASAN and UBSAN; `make test` runs them too.
sanitize: $(VENV)/built
	$(PYTEST) tests/test_c.py $(ARGS)

# libFuzzer (clang and its runtime, Debian's libclang-rt-dev) for SECONDS on each target.
SECONDS ?= 60
fuzz: $(VENV)/built
	$(BIN)/python tests/fuzz/run.py --seconds $(SECONDS)

$(VENV)/built: pyproject.toml setup.py $(NATIVE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'setuptools>=77' 'Cython>=3.1,<4'
	FASTCAP_STRICT=1 $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[dev]'
	touch $@

# Machine code is an addition: where there is no cargo, the interpreter runs all filters.
$(VENV)/machine-code: $(VENV)/built $(CRATE)
ifeq ($(CARGO),)
	@echo "no cargo 1.88 or newer here: fastcap-jit (jit/) is left out, and filters are interpreted"
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check ./jit
	touch $@
endif

clean:
	rm -rf $(VENV) jit/target build dist demo *.egg-info fastcap/_native/*.so

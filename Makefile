# Everything from a fresh machine: Python >= 3.11, a C compiler and make.
#
#   make demo     index the standard library on procession and on multiprocessing; compare
#   make test     lint, C tests (plain and under sanitizers), all Python tests, random input under sanitizers
#   make storm    the kill -9 storms, ten times (STORM=…) as long as in `make test`
#   make fuzz     random input for the native code under sanitizers, ten times (STORM=…) as much as in `make test`
#   make bench    a short run of benchmarks/ beside the standard library: a table and a picture in build/bench
#   make results  the full run, with all rivals: writes benchmarks/RESULTS.md (half an hour)
#
# The parts: native pytest lint format conformance wheel clean.
# Variables: PYTHON=python3.13  VENV=.venv  BUILD=build  ARGS="extra arguments of pytest"

PYTHON ?= python3
VENV   ?= .venv
BUILD  ?= build
ARGS   ?=
STORM  ?= 10

BIN     := $(VENV)/bin
SOURCES := $(shell find src native -type f ! -name '*.pyc' 2>/dev/null) \
           meson.build meson.options pyproject.toml

# A free-threaded CPython has no Limited API: there the wheel is for that one version.
FREE_THREADED := $(shell $(PYTHON) -c 'import sysconfig; print(int(bool(sysconfig.get_config_var("Py_GIL_DISABLED"))))' 2>/dev/null)
WHEEL_OPTIONS := -Cbuild-dir=$(BUILD)/wheel -Csetup-args=-Dwerror=true
ifeq ($(FREE_THREADED),1)
WHEEL_OPTIONS += -Csetup-args=-Dpython.allow_limited_api=false
endif

.PHONY: all demo test native pytest lint format conformance storm fuzz fuzz-short dropin bench results wheel install clean
.DELETE_ON_ERROR:

all: install

# --- the environment --------------------------------------------------------------------------
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "procession needs Python >= 3.11, and $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.tools: pyproject.toml .ci/requirements.py | $(BIN)/python
	$(BIN)/python .ci/requirements.py build run test > $(VENV)/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(VENV)/requirements.txt
	@touch $@

$(VENV)/.lint: pyproject.toml .ci/requirements.py | $(BIN)/python
	$(BIN)/python .ci/requirements.py lint > $(VENV)/requirements-lint.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(VENV)/requirements-lint.txt
	@touch $@

$(VENV)/.bench: pyproject.toml .ci/requirements.py | $(BIN)/python
	$(BIN)/python .ci/requirements.py bench > $(VENV)/requirements-bench.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(VENV)/requirements-bench.txt
	@touch $@

$(VENV)/.rivals: $(VENV)/.bench
	$(BIN)/python .ci/requirements.py rivals > $(VENV)/requirements-rivals.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(VENV)/requirements-rivals.txt
	@touch $@

# A plain install, not an editable one: what is tested is what is shipped.
$(VENV)/.installed: $(SOURCES) $(VENV)/.tools
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --no-build-isolation --no-deps --force-reinstall $(WHEEL_OPTIONS) .
	@touch $@

install: $(VENV)/.installed

wheel: $(VENV)/.tools
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pip wheel --quiet --no-build-isolation --no-deps \
	    $(WHEEL_OPTIONS) --wheel-dir dist .

# --- what it does -----------------------------------------------------------------------------
demo: $(VENV)/.installed
	$(BIN)/python .ci/demo.py examples/index_stdlib.py

bench: $(VENV)/.installed $(VENV)/.bench
	$(BIN)/python -m benchmarks --quick --output $(BUILD)/bench $(ARGS)

results: $(VENV)/.installed $(VENV)/.rivals
	$(BIN)/python -m benchmarks --output benchmarks $(ARGS)

# --- whether it does it -----------------------------------------------------------------------
test: lint native pytest fuzz-short

native: $(VENV)/.tools
	BIN="$(abspath $(BIN))" BUILD="$(abspath $(BUILD))" bash .ci/native-tests

pytest: $(VENV)/.installed
	$(BIN)/python -m pytest tests $(ARGS)

conformance: $(VENV)/.installed
	$(BIN)/python -m tests.conformance.run $(ARGS)

storm: $(VENV)/.installed
	PROCESSION_STORM=$(STORM) BIN="$(abspath $(BIN))" BUILD="$(abspath $(BUILD))" bash .ci/native-tests storm
	PROCESSION_STORM=$(STORM) $(BIN)/python -m pytest tests -m stress $(ARGS)

fuzz-short: $(VENV)/.tools
	BIN="$(abspath $(BIN))" BUILD="$(abspath $(BUILD))" bash .ci/fuzz-tests

fuzz: $(VENV)/.tools
	PROCESSION_STORM=$(STORM) BIN="$(abspath $(BIN))" BUILD="$(abspath $(BUILD))" bash .ci/fuzz-tests $(ARGS)

$(VENV)-dropin/.packages: tests/dropin/requirements.txt $(VENV)/.tools
	$(PYTHON) -m venv $(VENV)-dropin
	$(VENV)-dropin/bin/python -m pip install --quiet --disable-pip-version-check \
	    -r tests/dropin/requirements.txt -r $(VENV)/requirements.txt
	@touch $@

dropin: $(VENV)-dropin/.packages $(VENV)/.tools
	PATH="$(abspath $(VENV)-dropin/bin):$$PATH" $(VENV)-dropin/bin/python -m pip install --quiet --disable-pip-version-check \
	    --no-build-isolation --no-deps --force-reinstall $(subst /wheel,/wheel-dropin,$(WHEEL_OPTIONS)) .
	PROCESSION_DROPIN=1 $(VENV)-dropin/bin/python -m pytest tests/dropin $(ARGS)

lint: $(VENV)/.installed $(VENV)/.lint
	@export PATH="$(abspath $(BIN)):$$PATH"; failed=; \
	check() { echo "== $$*"; "$$@" || failed="$$failed $$1"; }; \
	check ruff format --check --quiet .; \
	check ruff check --output-format concise .; \
	check mypy; \
	check pyright; \
	check pyright --ignoreexternal --verifytypes procession; \
	[ -z "$$failed" ] || { echo "lint failed:$$failed"; exit 1; }

format: $(VENV)/.lint
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(BUILD) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis $(VENV) $(VENV)-dropin

# Two commands do all the set-up on a bare machine: `make demo` and `make test`.
#
#   make demo                          archive eight models, rebuild their image, replay them all
#   make demo PYTHON=/usr/bin/python3  with another interpreter (3.11 or newer)
#   make test                          every test, container tests included
#   make bench                         the speed table of the README
#   make engine                        only see to the container engine

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Where torch's CPU build is published, should the configured index hold only the CUDA one.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# Which tests, and how: make test T="tests/archive -k seal"
T ?= tests
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help demo test lint bench engine venv dev clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#   //p' Makefile

engine:
	@sh images/engine.sh

# A new venv; Debian and Ubuntu keep ensurepip in a package of its own.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "timeproof needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 …" >&2; exit 2; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || sh images/venv.sh $(PYTHON)
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# The CPU build is asked for by its local version, so that no index can give gigabytes of CUDA instead.
$(VENV)/.models: $(VENV)/.made docs/demo/requirements.txt
	@echo "installing torch's CPU build (this takes a minute)"
	@set -e; torch=$$(sed -n 's/^torch==//p' docs/demo/requirements.txt); \
	$(PIP) install -qq "torch==$$torch+cpu" 2>/dev/null \
	    || $(PIP) install -qq --extra-index-url "$(TORCH_INDEX)" "torch==$$torch+cpu" \
	    || { [ "$$(uname -m)" != x86_64 ] && $(PIP) install -qq "torch==$$torch"; }
	@echo "installing xgboost, lightgbm, onnx, onnxruntime, scikit-learn"
	@$(PIP) install -qq -r docs/demo/requirements.txt
	@touch $@

$(VENV)/.toolkit: $(VENV)/.models pyproject.toml
	@echo "installing timeproof"
	@$(PIP) install -qq -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.toolkit
	@echo "installing what the tests need"
	@$(PIP) install -qq -e '.[dev]'
	@touch $@

venv: $(VENV)/.toolkit
dev: $(VENV)/.dev

demo: engine $(VENV)/.toolkit
	@$(BIN)/python docs/demo/run.py

lint: $(VENV)/.dev
	@$(BIN)/ruff check toolkit tests docs
	@$(BIN)/ruff format --check toolkit tests docs
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: engine lint
	@sh tests/system-packages.sh
	@$(BIN)/python -m pytest -q $(T)

bench: engine $(VENV)/.dev
	@$(BIN)/python tests/bench/bench.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

# Two commands do all the set-up on a bare machine: `make demo` and `make test`.
#
#   make demo                          archive eight models, rebuild their image, replay them all
#   make demo PYTHON=/usr/bin/python3  with another interpreter (3.11 or newer)
#   make unit                          the quick tests: no engine, no framework, no browser (below a minute)
#   make test                          every test, container tests included
#   make bench                         the speed table of the README
#   make portability                   which answers are the same on which CPU (half an hour)
#   make corpus                        import and replay other people's models with known answers (a few minutes)
#   make zoo                           archive a hundred models, and hold each answer against its user's own (half an hour)
#   make mlflow                        hold import, export and logging against a real MLflow (ten minutes)
#   make zoo-tensorflow                the zoo's models of Keras and TensorFlow, and their tests, in a venv of their own
#   make regress                       the demo's models and other people's, in every environment of lockfiles/
#   make environments                  build every environment of lockfiles/, and prove each with a model
#   make newest                        asks the index whether lockfiles/ has the newest release of each framework
#   make engine                        only see to the container engine
#   make clean                         remove what the others made, but for archives and images

PYTHON ?= python3
# Where torch's CPU build is published, should the configured index hold only the CUDA one.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# Which tests, and how: make test T="tests/sealing -k seal"
T ?= tests
# The demo's environment is what it archives, so the tests' tools have a venv of their own.
VENV ?= .venv
DEV ?= .venv-dev
ZOO ?= .venv-zoo
# MLflow's releases that are tried, each in a venv of its own: make mlflow MLFLOW=3.18.0
MLFLOW ?= 3.17.2
# TensorFlow's own: 1.7 GB, and its models' environment is what is captured.
ZOO_TENSORFLOW ?= .venv-zoo-tensorflow
# Without any framework, so that no quick test needs one unnoticed.
UNIT ?= .venv-unit
# Container tests mostly wait, so that two cores do the work of three test processes.
WORKERS ?= 3

.PHONY: help demo unit test lint bench corpus zoo zoo-tensorflow mlflow regress portability environments newest engine
.PHONY: venv dev clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#   //p' Makefile

engine:
	@sh images/engine.sh

# empty(venv): a venv with nothing in it.
define empty
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "timeproof needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 …" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || sh images/venv.sh $(PYTHON)
	@$(PYTHON) -m venv --clear $(1)
endef

# install(venv, extras): a venv with torch's CPU build, the other frameworks, and timeproof.
# The CPU build is asked for by its local version, so that no index can give gigabytes of CUDA instead.
define install
	$(call empty,$(1))
	@echo "filling $(1) with $$($(PYTHON) --version): torch's CPU build, xgboost, lightgbm, onnxruntime, timeproof"
	@set -e; torch=$$(sed -n 's/^torch==//p' docs/demo/requirements.txt); \
	pip="$(1)/bin/python -m pip --disable-pip-version-check install -qq"; \
	$$pip "torch==$$torch+cpu" 2>/dev/null \
	    || $$pip --extra-index-url "$(TORCH_INDEX)" "torch==$$torch+cpu" \
	    || { [ "$$(uname -m)" != x86_64 ] && $$pip "torch==$$torch"; }; \
	$$pip -r docs/demo/requirements.txt; \
	$$pip -e '.$(2)'
	@touch $@
endef

$(VENV)/.made: pyproject.toml docs/demo/requirements.txt
	$(call install,$(VENV),)

$(DEV)/.made: pyproject.toml docs/demo/requirements.txt
	$(call install,$(DEV),[dev])

$(UNIT)/.made: pyproject.toml
	$(call empty,$(UNIT))
	@$(UNIT)/bin/python -m pip --disable-pip-version-check install -qq -e '.[unit]'
	@touch $@

venv: $(VENV)/.made
dev: $(DEV)/.made

demo: engine $(VENV)/.made
	@$(VENV)/bin/python docs/demo/run.py

lint: $(DEV)/.made
	@$(DEV)/bin/ruff check toolkit tests docs
	@$(DEV)/bin/ruff format --check -q toolkit tests docs
	@$(DEV)/bin/mypy
	@$(DEV)/bin/lint-imports
	@$(DEV)/bin/python tests/lint/vague_names.py

# tests/README.md says what is in which tier. Exit code 5 says that T names no test of this one.
# No engine answers at that address: a quick test that needs one fails on every machine, not only on some.
unit: $(UNIT)/.made
	@DOCKER_HOST=unix:///nonexistent/docker.sock $(UNIT)/bin/python -m pytest -q -n logical --dist loadfile --hypothesis-profile=unit \
	    -m "not container and not framework and not browser and not server and not slow" $(T) || test $$? -eq 5

test: engine lint
	@sh tests/system-packages.sh
	@$(DEV)/bin/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=15 $(T) \
	    || test $$? -eq 5

# What is built lands in the archive; the proof has an archive of its own, and throws it away.
environments: engine $(DEV)/.made
	@$(DEV)/bin/timeproof build lockfiles/*
	@TIMEPROOF_TESTS_ALL_ENVIRONMENTS=1 $(DEV)/bin/python -m pytest -q tests/e2e/test_years.py

newest: $(DEV)/.made
	@TIMEPROOF_TESTS_NEWEST=1 $(DEV)/bin/python -m pytest -q tests/test_newest_locks.py

bench: engine $(VENV)/.made $(DEV)/.made
	@sh tests/system-packages.sh
	@PYTHONPATH=$(CURDIR)/tests $(VENV)/bin/python tests/bench/bench.py

portability: engine $(VENV)/.made
	@$(VENV)/bin/python docs/portability/run.py

# Exit code 1 says that cells fail, and here they do: old releases can't read all that new ones write.
regress: engine $(VENV)/.made
	@[ -d logs/extensions/models/grid-size-8 ] || $(VENV)/bin/python docs/demo/run.py
	@PYTHONPATH=$(CURDIR)/tests $(VENV)/bin/python tests/corpus/run.py --into logs/extensions/models
	@$(VENV)/bin/timeproof regress logs/extensions/models --env lockfiles/ --again || test $$? -eq 1

corpus: engine $(VENV)/.made
	@PYTHONPATH=$(CURDIR)/tests $(VENV)/bin/python tests/corpus/run.py

$(ZOO)/.made: pyproject.toml docs/demo/requirements.txt tests/zoo/requirements.txt tests/zoo/requirements-no-deps.txt
	$(call install,$(ZOO),)
	@$(ZOO)/bin/python -m pip --disable-pip-version-check install -qq -r tests/zoo/requirements.txt
	@$(ZOO)/bin/python -m pip --disable-pip-version-check install -qq --no-deps -r tests/zoo/requirements-no-deps.txt
	@touch $@

# Which models, and how: make zoo Z="--only resnet18", make zoo Z=--quick. Exit code 1: a model did not do what it should.
zoo: engine $(ZOO)/.made
	@PYTHONPATH=$(CURDIR)/tests $(ZOO)/bin/python tests/zoo/run.py $(Z)

.venv-mlflow-$(MLFLOW)/.made: pyproject.toml docs/demo/requirements.txt
	$(call install,.venv-mlflow-$(MLFLOW),[dev])
	@.venv-mlflow-$(MLFLOW)/bin/python -m pip --disable-pip-version-check install -qq "mlflow==$(MLFLOW)"
	@touch $@

# What MLflow writes is replayed, and what is exported, 'mlflow models predict' answers. Exit code 1: not all of it.
mlflow: engine .venv-mlflow-$(MLFLOW)/.made
	@.venv-mlflow-$(MLFLOW)/bin/python tests/mlflow_models/run.py

$(ZOO_TENSORFLOW)/.made: pyproject.toml tests/zoo/requirements-tensorflow.txt
	$(call empty,$(ZOO_TENSORFLOW))
	@$(ZOO_TENSORFLOW)/bin/python -m pip --disable-pip-version-check install -qq -r tests/zoo/requirements-tensorflow.txt -e '.[unit]'
	@touch $@

zoo-tensorflow: engine $(ZOO_TENSORFLOW)/.made
	@$(ZOO_TENSORFLOW)/bin/python -m pytest -q tests/frameworks/test_tensorflow_conformance.py tests/frameworks/test_tensorflow_copies.py tests/golden/test_golden_more.py -k tensorflow
	@PYTHONPATH=$(CURDIR)/tests $(ZOO_TENSORFLOW)/bin/python tests/zoo/run.py --no-table --folder build/zoo-tensorflow $(Z)

clean:
	rm -rf $(VENV) $(DEV) $(UNIT) $(ZOO) $(ZOO_TENSORFLOW) .venv-mlflow-* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

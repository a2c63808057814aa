# `make demo` and `make test` need nothing but Python 3.11 or newer: each sets everything up first.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
STAMPS := $(VENV)/.srbench
SET_UP := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help install demo test gpu-check lint format types bench clean distclean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMPS)-run ## the virtual environment, with srbench in it

demo: $(STAMPS)-run ## four small models on built-in data, a table and a figure
	$(BIN)/srbench demo

test: $(STAMPS)-test ## every test, one process a core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto $(PYTEST_ARGS)

gpu-check: $(STAMPS)-test ## what can only be seen on a GPU; paste what it prints
	$(BIN)/srbench doctor
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m gpu -v -rs -p no:cacheprovider tests

lint: $(STAMPS)-dev ## style and common mistakes
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(STAMPS)-dev ## what lint can mend by itself
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# The models lie beside srbench/ and are imported as srbench.models. Type checkers follow folders,
# not installations, so they are shown a tree of links in which the models are in their place.
types: $(STAMPS)-dev ## types, strictly
	@rm -rf build/types && mkdir -p build/types/srbench
	@for part in srbench/*; do ln -s ../../../$$part build/types/srbench/; done
	@ln -s ../../../models build/types/srbench/models
	cd build/types && $(abspath $(BIN))/mypy --config-file ../../pyproject.toml -p srbench

bench: $(STAMPS)-run ## speed against peers, on this machine
	$(BIN)/python benchmarks/speed.py

clean: ## removes what was built and cached, keeps the environment
	rm -rf build dist *.egg-info demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find srbench models tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## also removes the environment
	rm -rf $(VENV)

# One stamp for each set of packages: installed again only when the files that name them change.
$(STAMPS)-venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "srbench needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; \
	  exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(STAMPS)-run: $(STAMPS)-venv $(SET_UP)
	@echo "installing srbench into $(VENV) (a few minutes the first time)"
	$(PIP) setuptools
	$(PIP) --no-build-isolation -e .
	@touch $@

$(STAMPS)-test: $(STAMPS)-run
	$(PIP) --no-build-isolation -e '.[test]'
	@touch $@

$(STAMPS)-dev: $(STAMPS)-test
	$(PIP) --no-build-isolation -e '.[test,dev]'
	@touch $@

# Everything a developer types. Each target makes the virtual environment first if it is missing; nothing else is needed
# than Python 3.11 or newer, git and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types test-crash test-engine bench clean

help: ## Say what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | column -t -s '|'

$(VENV)/installed: pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed; name it with PYTHON=python3.12 make ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.txt --editable '.[demo,dev]'
	@touch $@

install: $(VENV)/installed ## Make the virtual environment and install the project into it

demo: $(VENV)/installed ## Run a whole batch, with a server, in under a minute
	$(BIN)/slackwater demo examples/questions.jsonl

test: $(VENV)/installed lint types ## Run every test (a few minutes)
	$(BIN)/python -m pytest -n auto -m "not engine"

lint: $(VENV)/installed ## Check style and the rooms' import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/installed ## Check types
	$(BIN)/mypy

test-crash: $(VENV)/installed ## Kill a running server 200 times (about 15 minutes)
	$(BIN)/python -m tests.crash.rounds --rounds 200

test-engine: $(VENV)/installed ## Run batches against a real inference engine (installs transformers and torch)
	tests/engine/run.sh

bench: $(VENV)/installed ## Measure against peers and floors (see benchmarks/README.md)
	$(BIN)/python benchmarks/dispatch.py

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

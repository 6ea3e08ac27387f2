# Concert. Everything needs only Python 3.11 and make; `make help` lists the targets.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SOURCES := coordinator_service agent_service clients/python tests benchmarks protos
SEED ?=
N ?= 1000
START ?= 0
JOBS ?= 2
FUZZ := $(if $(MINUTES),--minutes $(MINUTES)) $(if $(filter-out file,$(origin N)),--n $(N)) $(if $(SEED),--seed $(SEED)) $(foreach each,$(TARGET),--target $(each))

.DEFAULT_GOAL := help
.PHONY: help setup protos check test sim chaos fuzz audit bench bench-languages demo demo-polyglot jaeger-demo clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{ printf "  make %-15s %s\n", $$1, $$2 }'

setup: $(READY) ## Create .venv and install everything into it

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Concert needs Python 3.11: install it, or name yours with PYTHON=..."; exit 1; }
	@echo "Setting up $(VENV) (once, about a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip -c constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

protos: $(READY) ## Generate the code of protos/ again: Python, and Go where it is installed
	$(BIN)/python protos/generate.py
	@if command -v go >/dev/null; then $(BIN)/python protos/generate_go.py; else echo "Go is not installed: its code is left as it is"; fi

check: $(READY) ## Format, lint, types, import contract, protos and their drift
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python protos/generate.py --check
	$(BIN)/buf lint
	$(BIN)/buf breaking protos --against protos/released.binpb

test: $(READY) ## Run all tests, JOBS at a time; those of a language whose toolchain is missing are left out, and named
	@$(BIN)/python -m clients.conformance --toolchains
	$(BIN)/python -m pytest $(if $(filter-out 1,$(JOBS)),-n $(JOBS) --dist loadgroup --no-loadscope-reorder)

sim: $(READY) ## Simulate N seeds, or replay one with SEED=
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(N) --start $(START))

chaos: $(READY) ## Real replicas, agents and Redis through whatever befalls them: N scenarios (5), from SEED= if given
	$(BIN)/python -m tests.chaos --seeds $(if $(filter file,$(origin N)),5,$(N)) $(if $(SEED),--seed $(SEED)) $(if $(STORE),--store $(STORE))

fuzz: $(READY) ## Fuzz codecs, parsers and rpcs: N cases of each, or MINUTES=; REPLAY=FILE does a failure again
	@$(BIN)/python -m tests.fuzz $(if $(REPLAY),--replay $(REPLAY),$(FUZZ))

audit: $(READY) ## Known vulnerabilities and static analysis, of every language; STRICT=1 fails where a database is out of reach
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[audit]'
	@$(BIN)/python -m tests.static_audit $(if $(STRICT),--strict)

bench: $(READY) ## Measure against bare ceilings; fails below a floor
	$(BIN)/python -m benchmarks

bench-languages: $(READY) ## Measure every client beside bare gRPC of its language
	$(BIN)/python -m benchmarks.languages

demo: $(READY) ## Deploy a blog with four agents; SERVE=1 leaves it up
	@$(BIN)/python -m agent_service demo --short $(if $(SERVE),--serve)

jaeger-demo: $(READY) ## The same, traced: reads the trace back from Jaeger and checks it
	@$(BIN)/python -m agent_service jaeger-demo $(if $(PICTURE),--picture $(PICTURE))

demo-polyglot: $(READY) ## The same, some of the agents in other languages
	@$(BIN)/python -m agent_service demo --polyglot --short $(if $(SERVE),--serve)

clean: ## Remove what can be made again
	rm -rf $(VENV) build var .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

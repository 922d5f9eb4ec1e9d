# Every target does its own set-up. PYTHON=python3.12 make … takes another interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
export DAGSTER_HOME := $(CURDIR)
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo study study-quick test test-all test-ui screenshots check format docs ui bench-transport bench-hard bench-embedding bench-corpus bench-lineage clean

help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

setup: $(READY) ## install everything into .venv

$(READY): pyproject.toml constraints.txt
	@echo "installing into $(VENV) (a few minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --progress-bar off --constraint constraints.txt --editable . --group dev \
		| grep --line-buffered -E '^(Collecting|Installing|Successfully)' | cut -c1-100
	@$(BIN)/python -c "import dagster, duckdb, faiss, mlflow, polars, torch, transformers" \
		|| { echo "the installation is not complete; run make clean and try again"; exit 1; }
	@touch $@

demo: $(READY) ## real text and models, from nothing to a selection and a tracked training run
	@$(BIN)/gotd demo

study-quick: $(READY) ## compare the methods: 20,000 documents, two targets; goes on where it was
	@$(BIN)/python -m benchmarks.study run --quick
	@$(BIN)/python -m benchmarks.study page docs/study.md

study: $(READY) ## compare the methods: 103,000 documents, four targets; hours, goes on where it was
	@$(BIN)/python -m benchmarks.study run
	@$(BIN)/python -m benchmarks.study page docs/study.md

test: $(READY) ## the fast tests, a process for every core
	@$(BIN)/python -m pytest -m "not slow" -n auto --dist worksteal

test-all: $(READY) ## all tests but those in a browser, minutes to an hour
	@$(BIN)/python -m pytest -m "not ui"

test-ui: $(VENV)/browser ## the UI in headless Chromium: graph, launchpad, plots, MLflow
	@$(BIN)/python -m pytest -m ui

screenshots: $(VENV)/browser ## docs/images out of what `make demo` made
	@$(BIN)/python -m gotd_assets_tests.end_to_end.screenshots . docs/images

$(VENV)/browser: $(READY)
	@command -v chromium chromium-browser google-chrome > /dev/null \
		|| { echo "the UI is driven in Chromium, which is not installed; on Debian: apt-get install chromium"; exit 1; }
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --group browser
	@touch $@

check: $(READY) ## lint, format, types, import rules, definitions
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/gotd settings-reference --check docs/settings.md
	@$(BIN)/dg check defs

format: $(READY) ## format the code and mend what ruff can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

docs: $(READY) ## write docs/settings.md from the settings' descriptions
	@$(BIN)/gotd settings-reference docs/settings.md

ui: $(READY) ## Dagster web server and daemon, and the MLflow UI, on loopback
	@$(BIN)/gotd ui

bench-transport: $(VENV)/bench ## the solver against geomloss, OTT-JAX and POT
	@$(BIN)/python -m benchmarks.transport

bench-hard: $(VENV)/bench ## passes of the solver where it is hard; at most 12 minutes
	@$(BIN)/python -m benchmarks.transport_hard

bench-embedding: $(VENV)/bench ## the encoder against sentence-transformers
	@$(BIN)/python -m benchmarks.embedding

$(VENV)/bench: $(READY)
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --group bench
	@touch $@

bench-corpus: $(READY) ## a million documents: reading beside DuckDB, duplicates, embedding, memory; about 10 minutes
	@$(BIN)/python -m benchmarks.corpus

bench-lineage: $(READY) ## audits over 100 selections of 150,000 members
	@$(BIN)/python -m benchmarks.lineage

clean: ## remove .venv and caches; what the project made (.gotd) stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

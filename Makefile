# Every target does its own set-up. PYTHON=python3.12 make … takes another interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What running it needs, and what developing it needs beside.
INSTALLED := $(VENV)/installed
READY := $(VENV)/ready
export DAGSTER_HOME := $(CURDIR)
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1
# Without what Python compiled before, every process spends seconds on compiling the libraries anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo study study-quick use-cases test test-lowest test-all fuzz test-ui torture screenshots check format docs ui constraints first-hour bench-transport bench-hard bench-embedding bench-corpus bench-selection bench-cluster bench-lineage clean

help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

setup: $(READY) ## install everything into .venv

# Python compiles what is imported when it is imported; compiling all of it first takes as long as downloading it.
$(INSTALLED): pyproject.toml constraints.txt
	@echo "installing into $(VENV): a minute or two the first time"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --no-compile --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --no-compile --progress-bar off --constraint constraints.txt --editable . > $(VENV)/install.log \
		|| { tail -5 $(VENV)/install.log; echo "the installation failed; $(VENV)/install.log tells more"; exit 1; }
	@touch $@

$(READY): $(INSTALLED)
	@echo "installing what developing needs"
	@$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --group dev
	@touch $@

demo: $(INSTALLED) ## real text and models, from nothing to a selection and a tracked training run
	@$(BIN)/gotd demo

study-quick: $(INSTALLED) ## compare the methods: 20,000 documents, two targets; goes on where it was
	@$(BIN)/python -m benchmarks.study run --quick
	@$(BIN)/python -m benchmarks.study page docs/study.md

study: $(INSTALLED) ## compare the methods: 103,000 documents, four targets; hours, goes on where it was
	@$(BIN)/python -m benchmarks.study run
	@$(BIN)/python -m benchmarks.study page docs/study.md

use-cases: $(INSTALLED) ## the paper's use cases on real text and models; an hour, goes on where it was
	@$(BIN)/python -m benchmarks.use_cases docs/use-cases.md

test: $(READY) ## the fast tests, a process for every core
	@$(BIN)/python -m pytest -m "not slow" -n auto --dist worksteal

LOWEST := build/lowest
test-lowest: $(READY) ## the fast tests on the lowest versions that pyproject.toml promises, in an environment of their own
	@mkdir -p build && $(BIN)/python -m benchmarks.lowest_constraints $(LOWEST).txt
	@test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	@$(LOWEST)/bin/python -m pip install --quiet --no-compile --upgrade "pip>=25.1"
	@$(LOWEST)/bin/python -m pip install --quiet --no-compile --constraint $(LOWEST).txt --editable . --group dev
	@PATH="$(CURDIR)/$(LOWEST)/bin:$$PATH" $(LOWEST)/bin/python -m pytest -m "not slow" -n auto --dist worksteal

test-all: $(READY) ## all tests but those in a browser, more draws of each property; minutes to an hour
	@$(BIN)/python -m pytest -m "not ui" --hypothesis-profile full

fuzz: $(READY) ## read 5,000 altered files of every format; at most 15 minutes a format, FUZZ="--count 500 --formats a.arrow" for less
	@$(BIN)/python -m gotd_assets_tests.fuzz.readers $(FUZZ)

test-ui: $(VENV)/browser ## the UI in headless Chromium: graph, launchpad, plots, MLflow
	@$(BIN)/python -m pytest -m ui

KILLS ?= 500
torture: $(READY) ## kill KILLS=500 runs at random moments: nothing is lost, nothing left; SEED= and FOLDER= go on with one
	@OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 $(BIN)/python -m gotd_assets_tests.end_to_end.torture --kills $(KILLS) \
		$(if $(SEED),--seed $(SEED)) $(if $(FOLDER),--folder $(FOLDER))

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

ui: $(INSTALLED) ## Dagster web server and daemon, and the MLflow UI, on loopback; PORT=3001 MLFLOW_PORT=5001
	@$(BIN)/gotd ui $(if $(PORT),--port $(PORT)) $(if $(MLFLOW_PORT),--mlflow-port $(MLFLOW_PORT))

constraints: $(INSTALLED) ## renew constraints.txt: what pip would install today
	@$(BIN)/python -m benchmarks.newest_constraints

first-hour: $(INSTALLED) ## a stranger's path, timed: wheel, select(), gotd init, gotd run, UI; some minutes
	@$(BIN)/python -m benchmarks.first_hour

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

bench-selection: $(VENV)/bench ## a million documents from files to a selection, beside DSIR's own package; about an hour
	@$(BIN)/python -m benchmarks.selection

bench-cluster: $(READY) ## the same stations by the local engine and on Ray: time, bytes, memory; about an hour
	@$(BIN)/python -m benchmarks.cluster

bench-lineage: $(READY) ## audits over 100 selections of 150,000 members
	@$(BIN)/python -m benchmarks.lineage

clean: ## remove .venv and caches; what the project made (.gotd) stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

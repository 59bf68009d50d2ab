# Every target makes what it needs; `make demo` on a fresh clone is enough. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV ?= .venv
BIN := $(VENV)/bin
JOB ?= jobs/quickstart.yaml
RUN_ARGS ?=
PYTEST_ARGS ?=
# Tools that look at the locks and are in none of them.
PIP_AUDIT ?= 2.10.1
CYCLONEDX ?= 7.5.0

# Nothing here reports home: neither Prefect's server nor the libraries that honour DO_NOT_TRACK.
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1
export PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS ?= 120
export VENV

.PHONY: help demo test venv venv-dev data lint format types imports unit thorough crash pages coverage docs lock container audit sbom clean clean-all

help: ## this list
	@echo "enginesmith: a PyTorch vision model in, a proven INT8 engine out."
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "Variables: PYTHON (3.11 to 3.14), VENV (.venv), JOB ($(JOB)), RUN_ARGS, PYTEST_ARGS"
	@echo "           e.g. make demo RUN_ARGS='--set calibration.seed=7', make unit PYTEST_ARGS='-k surgery'"

demo: venv data ## run the main job, jobs/quickstart.yaml: Fashion-MNIST, ResNet-20, INT8 engines
	$(BIN)/enginesmith run $(JOB) $(RUN_ARGS)

test: venv-dev data lint types imports unit ## everything CI checks: lint, types, import rules, tests

venv: ## make .venv from requirements.lock (6.2 GB, hashed)
	@scripts/bootstrap-venv run

venv-dev: ## the same with the test tools, from requirements-dev.lock
	@scripts/bootstrap-venv dev

data: ## fetch Fashion-MNIST (Debian's package where apt is, else left to the job)
	@scripts/fashion-mnist

lint: venv-dev ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: venv-dev ## rewrite files as ruff wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: venv-dev ## mypy, strict
	$(BIN)/mypy

imports: venv-dev ## import-linter: flows -> tasks -> schemas, stages apart
	$(BIN)/lint-imports

# What measures its own memory, or compares bytes that a busy machine moves, runs by itself afterwards.
# pytest exits 5 where nothing is marked so.
unit: venv-dev ## pytest only, on two cores: two processes of one thread each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not alone and not thorough" $(PYTEST_ARGS) || [ $$? = 5 ]
	$(BIN)/python -m pytest -m "alone and not thorough" $(PYTEST_ARGS) || [ $$? = 5 ]

thorough: venv-dev data ## every test that is too long for every change, crash and pages too
	$(BIN)/python -m pytest -m thorough $(PYTEST_ARGS)

crash: venv-dev data ## every kill and outage of docs/recovery.md
	$(BIN)/python -m pytest tests/crash $(PYTEST_ARGS)

pages: venv-dev data ## type every line of the documentation in a folder of its own, runs and nights too
	$(BIN)/python -m pytest -m thorough tests/flows/test_what_pages_tell.py $(PYTEST_ARGS)

coverage: venv-dev ## pytest with line coverage, the least covered files first
	$(BIN)/python -m pytest -m "not thorough" --cov=schemas --cov=tasks --cov=flows \
		--cov-report=term:skip-covered $(PYTEST_ARGS)

docs: venv-dev ## build the documentation into site/, its reference from the code; fails on a broken link
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

lock: ## write both locks anew from pyproject.toml (needs uv)
	scripts/bootstrap-lock

container: ## build the image without a Docker daemon and run the quickstart in it (root, Debian)
	scripts/container-build
	scripts/container-quickstart

# strict: a package that could not be looked up is no package without vulnerabilities.
audit: ## look the locked packages up among known vulnerabilities (needs uv and the network)
	uvx --from pip-audit==$(PIP_AUDIT) pip-audit --strict --disable-pip --require-hashes -r requirements.lock
	uvx --from pip-audit==$(PIP_AUDIT) pip-audit --strict --disable-pip --require-hashes -r requirements-gpu.lock

sbom: ## write build/sbom.cdx.json, a CycloneDX bill of what requirements.lock installs (needs uv)
	@mkdir -p build
	uvx --from cyclonedx-bom==$(CYCLONEDX) cyclonedx-py requirements requirements.lock --pyproject pyproject.toml \
		--mc-type application --output-reproducible --output-file build/sbom.cdx.json

clean: ## remove caches and build leftovers; keeps .venv, artifacts and datasets
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

clean-all: clean ## also remove .venv and the artifacts
	rm -rf $(VENV) artifacts

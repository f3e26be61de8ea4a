# `make` prints what there is. Set-up happens by itself, once: scripts/setup_env.sh makes .venv from the locks.
SHELL := /bin/bash
BIN := .venv/bin

CONFIG ?= configs/sample.yaml
ARGS ?=
PYTEST_ARGS ?=
MARKS ?= not e2e and not slow
# Bytecode is kept, whatever the shell says: without it each of a hundred processes compiles all of these sources, and each
# of pytest's also rewrites the assertions of 340 files (8 s of processor).
export PYTHONDONTWRITEBYTECODE :=
# A process a processor, each with TensorFlow in it; a file's tests stay together, as its fixtures are dear.
SPREAD := -n auto --maxprocesses 8 --dist loadfile
# Networks of unit tests are small: several threads wait for each other longer than they compute.
UNIT := TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
# Where the time goes.
SLOWEST := --durations=40 --durations-min=1

.DEFAULT_GOAL := help
.PHONY: help run test test-other-line unit lint format lock image pretrain bench clean runtime dev

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

run: runtime ## the pipeline on the embedded sample; CONFIG=configs/other.yaml ARGS="--data DIR" for another
	@$(BIN)/graft run $(CONFIG) $(ARGS)

test: dev ## all tests, with the coverage floor
	@echo "Unit tests with coverage, then end-to-end runs of graft..."
	@$(BIN)/coverage erase
	@$(UNIT) $(BIN)/coverage run -m pytest -q -m "not e2e" $(SPREAD) $(SLOWEST) $(PYTEST_ARGS)
	@$(BIN)/coverage combine -q
	@$(BIN)/coverage report
	@$(BIN)/pytest -q -m e2e $(SPREAD) $(SLOWEST) $(PYTEST_ARGS)

unit: dev ## the fast tests, without coverage; PYTEST_ARGS="-k name", MARKS="not e2e" with the slow ones
	@$(UNIT) $(BIN)/pytest -q -m "$(MARKS)" $(SPREAD) $(PYTEST_ARGS)

test-other-line: ## all but end-to-end tests, and the sample, on the TFX line that this machine does not take by itself
	@scripts/other_line.sh

lint: dev ## ruff, formatting, types, import contracts
	@echo "Ruff..." && $(BIN)/ruff check --quiet .
	@echo "Formatting..." && $(BIN)/ruff format --check --quiet . || { echo "Not formatted; \`make format\` does it."; exit 1; }
	@echo "Types..." && $(BIN)/mypy --no-error-summary pipeline components scripts
	@$(BIN)/mypy --no-error-summary -p benchmarks.scale
	@echo "Import contracts..." && $(BIN)/lint-imports > .tools/imports.log || { cat .tools/imports.log; exit 1; }

format: dev ## rewrite the sources as ruff wants them
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

# Pins stay as they are where the .in files allow it; UPGRADE=1 takes the newest versions they allow.
# A lock of the 1.21 line, and those of tools, hold for every Python and platform named; TFX 1.16 has all its wheels only
# for Linux on x86_64. The hashes are those of every file of a version.
COMPILE = pip compile --quiet --generate-hashes --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)
ON_1.21 = --universal --python-version 3.11
ON_1.16 = --python-version 3.10 --python-platform x86_64-manylinux_2_28

lock: ## compile requirements/*.in into locks with hashes; UPGRADE=1 for the newest versions
	@echo "Compiling requirements/*.txt..."
	@uv="$$(scripts/setup_env.sh uv)" && cd requirements && \
	for tool in uv build sbom; do \
		"$$uv" $(COMPILE) --universal --python-version 3.10 $$tool.in -o $$tool.txt || exit; \
	done && \
	"$$uv" $(COMPILE) $(ON_1.21) tfx-1.21.in -o tfx-1.21.txt && \
	"$$uv" $(COMPILE) $(ON_1.21) cuda-1.21.in --constraint tfx-1.21.txt -o cuda-1.21.txt && \
	"$$uv" $(COMPILE) $(ON_1.21) dev.in --constraint tfx-1.21.txt -o dev-1.21.txt && \
	"$$uv" $(COMPILE) $(ON_1.16) tfx-1.16.in --override overrides-1.16.txt -o tfx-1.16.txt && \
	"$$uv" $(COMPILE) $(ON_1.16) cuda-1.16.in --constraint tfx-1.16.txt -o cuda-1.16.txt && \
	"$$uv" $(COMPILE) $(ON_1.16) dev.in --constraint tfx-1.16.txt -o dev-1.16.txt

image: ## the container image, with docker, podman or buildah; BASE=, ACCELERATOR=cuda, IMAGE=name:tag
	@scripts/build_image.sh $(IMAGE)

pretrain: runtime ## train the sample's backbone again (its weights are committed)
	@echo "Pretraining the sample's backbone..."
	@$(BIN)/python scripts/pretrain_sample.py $(ARGS)

bench: dev ## the tutorial, an expert's script, a plain TFX pipeline and Graft; ARGS="--data DIR --weights FILE"
	@$(BIN)/python -m benchmarks.compare $(ARGS)

clean: ## remove .venv, caches and coverage data; work/ (models, runs) stays
	@rm -rf .venv .tools build dist *.egg-info .coverage .coverage.* htmlcov .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis
	@find pipeline components tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

runtime:
	@scripts/setup_env.sh runtime

dev:
	@scripts/setup_env.sh dev

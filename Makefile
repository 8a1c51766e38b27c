# Sealift. `make demo` and `make test` set up what they need; a second `make` does nothing again.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CACHE := .cache
DEMO := $(CACHE)/demo
CONTRACT := $(CACHE)/contract
CONTRACT_PYTHON ?=

# llama-cpp-python has no wheel on the index. What the tests and the demo need of it compiles in a few minutes;
# its command-line tools, server and image support are left out.
export CMAKE_ARGS ?= -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_CURL=OFF
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(shell nproc 2>/dev/null || echo 2)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

SOURCES := pipeline tasks state_machine
PIP_INSTALL = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pip install --require-hashes

# $(call shown,COMMAND,LOG,TITLE): run it with one line of progress; its log is shown only when it fails.
shown = $(1) 2>&1 | $(BIN)/python tools/progress.py $(CACHE)/log/$(2).log "$(3)" \
  || { tail -n 40 $(CACHE)/log/$(2).log >&2; exit 1; }

.PHONY: help setup demo test contract check lint types linters docs-check bench bench-archive bench-fit bench-contract fuzz package definition docs lock format clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# ------------------------------------------------------------------------------ set-up

setup: $(VENV)/.ready ## make .venv with everything in it (a few minutes, once)

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python %d.%d found, 3.11 or newer wanted; set PYTHON=" % sys.version_info[:2] or 0)'
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.tools: requirements/build.lock | $(VENV)/.python
	@$(call shown,$(PIP_INSTALL) -r $<,tools,[1/3] build tools)
	@touch $@

$(VENV)/.packages: requirements/dev.lock $(VENV)/.tools
	@echo "[2/3] packages; llama-cpp-python is compiled once, which takes about four minutes on two cores" >&2
	@$(call shown,$(PIP_INSTALL) --no-build-isolation --verbose -r $<,packages,[2/3] packages)
	@touch $@

$(VENV)/.ready: pyproject.toml $(VENV)/.packages
	@$(call shown,$(BIN)/python -m pip install --no-deps --no-build-isolation --editable .,sealift,[3/3] sealift)
	@touch $@

# ------------------------------------------------------------------------------ use

demo: $(DEMO)/model.tar.gz ## make a GGUF, pack it, deploy it on the local cloud, ask it
	$(BIN)/sealift local run $(DEMO)/model.tar.gz --input examples/demo.json

$(DEMO)/model.tar.gz: $(DEMO)/demo.gguf $(wildcard inference/*.py inference/config.json)
	$(BIN)/sealift pack $< --output $@

$(DEMO)/demo.gguf: examples/tiny_gguf.py | $(VENV)/.ready
	@mkdir -p $(@D)
	$(BIN)/python $< $@

# ------------------------------------------------------------------------------ checks

test: $(VENV)/.ready ## run all tests but the contract's
	$(BIN)/python -m pytest

contract: $(CONTRACT)/.ready ## serve archives with the prebuilt image's true serving stack (TorchServe, AWS's toolkit)
	$(BIN)/python -m pytest tests/contract

# That stack has an environment of its own: other versions than ours, and the image's Python where there is one.
$(CONTRACT)/.ready: requirements/contract-build.lock requirements/contract.lock requirements/contract-java.lock | $(VENV)/.ready
	@rm -rf $(@D)
	@python=$$($(BIN)/python tools/contract/python.py "$(CONTRACT_PYTHON)") && $$python -m venv $(@D)
	@$(call shown,{ $(call CONTRACT_INSTALL,contract-build) && $(call CONTRACT_INSTALL,contract) \
	  && { $(BIN)/python tools/contract/java.py || $(call CONTRACT_INSTALL,contract-java); }; },contract,serving stack)
	@touch $@

CONTRACT_INSTALL = $(CONTRACT)/bin/python -m pip install --require-hashes --no-build-isolation -r requirements/$(1).lock

check: lint types linters docs-check package test contract ## everything that must hold; what CI runs

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/mypy

linters: $(VENV)/.ready tools/asl/node_modules/.ready
	$(BIN)/cfn-lint template.yaml
	$(BIN)/statelint state_machine/deploy.asl.json
	$(BIN)/node tools/asl/node_modules/asl-validator/dist/bin/asl-validator.js --json-path state_machine/deploy.asl.json

docs-check: $(DEMO)/model.tar.gz
	$(BIN)/python -W ignore tools/docs.py --check

tools/asl/node_modules/.ready: tools/asl/package-lock.json | $(VENV)/.ready
	@$(call shown,PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --prefix tools/asl --ignore-scripts --no-audit --no-fund,asl,asl-validator)
	@touch $@

# ------------------------------------------------------------------------------ measuring

bench: bench-archive bench-fit bench-contract ## measure archives against tar, cp and the SageMaker SDK, and the fit against llama.cpp (14 GB of disk)

bench-archive: $(VENV)/.ready $(CACHE)/bench/.sagemaker
	$(BIN)/python benchmarks/bench_archive.py --repack-python $(CACHE)/bench/sagemaker/bin/python --json $(CACHE)/bench/archive.json

bench-fit: $(VENV)/.ready
	$(BIN)/python benchmarks/bench_fit.py

bench-contract: $(CONTRACT)/.ready
	$(BIN)/python benchmarks/bench_contract.py

# The SDK that is measured against; it needs another setuptools than ours, so it lives in an environment of its own.
$(CACHE)/bench/.sagemaker: | $(VENV)/.python
	@mkdir -p $(@D)
	@$(BIN)/python -m venv $(@D)/sagemaker
	@$(@D)/sagemaker/bin/python -m pip install 'sagemaker==2.257.7' 'setuptools<81' 2>&1 \
	  | $(BIN)/python tools/progress.py $(CACHE)/log/sagemaker.log "SageMaker SDK"
	@touch $@

FUZZ_SECONDS ?= 600
FUZZ_SEED ?= 0

fuzz: $(VENV)/.ready ## throw changed archives at the archive engine (FUZZ_SECONDS=600 FUZZ_SEED=0)
	$(BIN)/python tests/fuzz/fuzz_archive.py --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED) --keep tests/fuzz/corpus

# ------------------------------------------------------------------------------ making things

definition: $(VENV)/.ready ## render state_machine/definition.py to deploy.asl.json
	$(BIN)/python -m state_machine.definition

package: $(VENV)/.ready ## lay out the Lambdas' code in .build/lambda, where `sam deploy` looks for it
	$(BIN)/python -m pipeline.stack .build/lambda
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --target .build/lambda \
	  --platform manylinux2014_x86_64 --implementation cp --python-version 3.13 --only-binary :all: \
	  -r requirements/lambda.lock
	rm -rf .build/lambda/bin .build/lambda/*.dist-info

format: $(VENV)/.ready ## let ruff lay out the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

docs: $(DEMO)/model.tar.gz ## rewrite the generated parts of the documents
	$(BIN)/python -W ignore tools/docs.py

lock: $(VENV)/.python ## resolve the dependencies again and lock them with hashes
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile $(LOCK) requirements/build.in --output-file requirements/build.lock
	$(BIN)/uv pip compile $(LOCK) requirements/lambda.in --output-file requirements/lambda.lock
	for name in contract-build contract contract-java; do \
	  $(BIN)/uv pip compile $(LOCK) --python-version 3.10 requirements/$$name.in --output-file requirements/$$name.lock; \
	done
	$(BIN)/uv pip compile $(LOCK) --extra dev --no-emit-package sealift pyproject.toml --output-file requirements/dev.lock

LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

clean: ## remove what make made; the compiled packages stay in pip's own cache
	rm -rf $(VENV) $(CACHE) .build tools/asl/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Sealift. `make demo` and `make test` set up what they need; a second `make` does nothing again.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CACHE := .cache
DEMO := $(CACHE)/demo

RUNTIME := .build/runtime
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(shell nproc 2>/dev/null || echo 2)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

SOURCES := pipeline tasks state_machine
PIP_INSTALL = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pip install --require-hashes

# $(call shown,COMMAND,LOG,TITLE): run it with one line of progress; its log is shown only when it fails.
shown = $(1) 2>&1 | $(BIN)/python tools/progress.py $(CACHE)/log/$(2).log "$(3)" \
  || { tail -n 40 $(CACHE)/log/$(2).log >&2; exit 1; }

.PHONY: help setup runtime runtime-check demo test check lint types linters docs-check bench bench-archive bench-fit bench-runtime fuzz package definition docs lock format clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# ------------------------------------------------------------------------------ set-up

setup: $(VENV)/.ready ## make .venv with everything in it (a few minutes, once)

runtime: $(RUNTIME).json ## build llama-cpp-python, portable, for archives and for .venv (in code/ and by `make setup`)

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python %d.%d found, 3.11 or newer wanted; set PYTHON=" % sys.version_info[:2] or 0)'
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.tools: requirements/build.lock | $(VENV)/.python
	@$(call shown,$(PIP_INSTALL) -r $<,tools,[1/4] build tools)
	@touch $@

# llama.cpp is compiled here, once, for archives and for .venv alike; tools/runtime says how and when again.
$(RUNTIME).json: $(wildcard tools/runtime/*.py) inference/requirements.txt requirements/build.lock | $(VENV)/.tools
	@$(call shown,$(BIN)/python tools/runtime build,runtime,[2/4] llama.cpp)
	@touch $@

$(VENV)/.packages: requirements/dev.lock $(VENV)/.tools
	@$(call shown,$(PIP_INSTALL) --no-build-isolation -r $<,packages,[3/4] packages)
	@touch $@

$(VENV)/.ready: pyproject.toml $(RUNTIME).json $(VENV)/.packages
	@$(call shown,$(BIN)/python -m pip install --no-deps --no-index --force-reinstall .build/wheels/*.whl \
	  && $(BIN)/python -m pip install --no-deps --no-build-isolation --editable .,sealift,[4/4] sealift)
	@touch $@

# ------------------------------------------------------------------------------ use

demo: $(DEMO)/model.tar.gz ## make a GGUF, pack it, deploy it on the local cloud, ask it
	$(BIN)/sealift local run $(DEMO)/model.tar.gz --input examples/demo.json

$(DEMO)/model.tar.gz: $(DEMO)/demo.gguf $(wildcard inference/*.py inference/config.json) $(RUNTIME).json
	$(BIN)/sealift pack $< --output $@

$(DEMO)/demo.gguf: examples/tiny_gguf.py | $(VENV)/.ready
	@mkdir -p $(@D)
	$(BIN)/python $< $@

# ------------------------------------------------------------------------------ checks

test: $(VENV)/.ready ## run all tests
	$(BIN)/python -m pytest

check: lint types linters runtime-check docs-check package test ## everything that must hold; what CI runs

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

runtime-check: $(VENV)/.ready ## judge the runtime: glibc, libraries, Python 3.10, the CPU features in use
	$(BIN)/python tools/runtime check

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

bench: bench-archive bench-fit bench-runtime ## measure archives against tar, cp and the SageMaker SDK, the fit against llama.cpp, the runtime against a native build (14 GB of disk)

bench-archive: $(VENV)/.ready $(CACHE)/bench/.sagemaker
	$(BIN)/python benchmarks/bench_archive.py --repack-python $(CACHE)/bench/sagemaker/bin/python --json $(CACHE)/bench/archive.json

bench-fit: $(VENV)/.ready
	$(BIN)/python benchmarks/bench_fit.py

bench-runtime: $(VENV)/.ready
	@mkdir -p $(CACHE)/bench
	$(BIN)/python benchmarks/bench_runtime.py --json $(CACHE)/bench/runtime.json

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

package: $(VENV)/.ready ## lay out the Lambdas' code in .build, where `sam deploy` looks for it
	$(BIN)/python tools/runtime check --machine x86_64
	$(BIN)/python -m pipeline.stack .
	for folder in .build/lambda .build/lambda-archive; do \
	  $(BIN)/python -m pip install --quiet --require-hashes --no-deps --target $$folder \
	    --platform manylinux2014_x86_64 --implementation cp --python-version 3.13 --only-binary :all: \
	    -r requirements/lambda.lock; \
	  rm -rf $$folder/bin $$folder/*.dist-info; \
	done

format: $(VENV)/.ready ## let ruff lay out the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

docs: $(DEMO)/model.tar.gz ## rewrite the generated parts of the documents
	$(BIN)/python -W ignore tools/docs.py

lock: $(VENV)/.python ## resolve the dependencies again and lock them with hashes
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile $(LOCK) requirements/build.in --output-file requirements/build.lock
	$(BIN)/uv pip compile $(LOCK) requirements/lambda.in --output-file requirements/lambda.lock
	$(BIN)/uv pip compile $(LOCK) --extra dev --no-emit-package sealift --no-emit-package llama-cpp-python pyproject.toml --output-file requirements/dev.lock

LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

clean: ## remove what make made; the runtime stays in ~/.cache/sealift, as packages do in pip's cache
	rm -rf $(VENV) $(CACHE) .build tools/asl/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

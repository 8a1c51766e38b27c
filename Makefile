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
CLIENTS := $(CACHE)/clients
CONSUMERS := $(CACHE)/consumers
AGENTS := $(CACHE)/agents
SERVER_TESTS := $(CACHE)/server-tests/venv
comma := ,

RUNTIME := .build/runtime
SERVER := .build/llama-server
SOURCE := .build/llama-source
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(shell nproc 2>/dev/null || echo 2)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

SOURCES := pipeline tasks state_machine local_cloud
# Of tools/, what runs in other environments, and what is checked beside the runtime's recipe, which it imports.
ELSEWHERE := tools/(contract|runtime|server_tests)/|tools/(architectures|llama_replies)\.py
PIP_INSTALL = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pip install --require-hashes

# $(call shown,COMMAND,LOG,TITLE): run it with one line of progress; its log is shown only when it fails.
shown = $(1) 2>&1 | $(BIN)/python tools/progress.py $(CACHE)/log/$(2).log "$(3)" \
  || { tail -n 40 $(CACHE)/log/$(2).log >&2; exit 1; }

.PHONY: architectures help setup demo browser test coverage check lint types linters docs-check bench bench-archive bench-fit fuzz package definition template docs demo-model lock format clean bench-inference contract clients bench-contract runtime runtime-check bench-runtime matrix llama-server llama-source load deploy destroy wheel release bench-package bench-demo bench-local-cloud bench-limits bench-slots bench-soak server-tests image-test bench-image bench-proxy

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# ------------------------------------------------------------------------------ set-up

setup: $(VENV)/.ready ## make .venv with everything in it (a few minutes, once)

runtime: $(RUNTIME).json ## build llama-cpp-python, portable, for archives and for .venv (in code/ and by `make setup`)

llama-server: $(SERVER).json ## build llama.cpp's own server, portable; then the local cloud runs it for AWS's llama.cpp image

llama-source: $(SOURCE)/.ready ## llama.cpp's pinned source with our changes of its server, for inference/Dockerfile.cuda

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python %d.%d found, 3.11 or newer wanted; set PYTHON=" % sys.version_info[:2] or 0)'
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.tools: requirements/build.lock | $(VENV)/.python
	@$(call shown,$(PIP_INSTALL) -r $<,tools,[1/4] build tools)
	@touch $@

# llama.cpp is compiled here, once, for archives and for .venv alike; tools/runtime says how and when again.
$(RUNTIME).json: $(wildcard tools/runtime/*.py tools/runtime/chat/*) inference/requirements.txt requirements/build.lock | $(VENV)/.tools
	@$(call shown,$(BIN)/python tools/runtime build,runtime,[2/4] llama.cpp)
	@touch $@

# llama.cpp's own server; nothing else waits for it. Minutes on two cores, once for each digest as the runtime.
$(SERVER).json: $(wildcard tools/runtime/*.py) inference/requirements.txt requirements/build.lock | $(VENV)/.tools
	@$(call shown,$(BIN)/python tools/runtime/server.py,llama-server,llama-server)
	@touch $@

$(SOURCE)/.ready: $(wildcard tools/runtime/*.py) inference/requirements.txt requirements/build.lock | $(VENV)/.tools
	@$(call shown,$(BIN)/python tools/runtime/server.py --source,llama-source,llama.cpp)
	@touch $@

$(VENV)/.packages: requirements/dev.lock $(VENV)/.tools
	@$(call shown,$(PIP_INSTALL) --no-build-isolation -r $<,packages,[3/4] packages)
	@touch $@

$(VENV)/.ready: pyproject.toml $(RUNTIME).json $(VENV)/.packages
	@$(call shown,{ $(BIN)/python -m pip install --no-deps --no-index --force-reinstall .build/wheels/*.whl \
	  && $(BIN)/python -m pip install --no-deps --no-build-isolation --editable .; },sealift,[4/4] sealift)
	@touch $@

# ------------------------------------------------------------------------------ use

demo: $(DEMO)/model.tar.gz ## pack a very small model, deploy it on the local cloud, ask it
	$(BIN)/sealift local run $(DEMO)/model.tar.gz --input examples/demo.json

$(DEMO)/model.tar.gz: examples/demo_model/sealift-demo.gguf $(wildcard inference/*.py inference/config.json) $(RUNTIME).json | $(VENV)/.ready
	@mkdir -p $(@D)
	$(BIN)/sealift pack $< --output $@

# On the account that the AWS SDK finds; DEPLOY='--stack NAME --parameter Name=Value' says more.
DEPLOY ?=

deploy: $(VENV)/.ready ## make the stack in your AWS account, or bring it to this version; asks first
	$(BIN)/sealift deploy $(DEPLOY)

destroy: $(VENV)/.ready ## delete the stack and its endpoints from your AWS account; archives stay; asks first
	$(BIN)/sealift destroy $(DEPLOY)

wheel: $(VENV)/.ready ## build the wheel that pipx and uv tool install, with all that a deployment needs
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir .build/dist .

release: $(VENV)/.ready ## check that this version may be released, build its wheel, write its notes; tags and pushes nothing
	@$(BIN)/python tools/release.py --check
	@$(MAKE) --no-print-directory wheel
	@$(BIN)/python tools/release.py

# ------------------------------------------------------------------------------ checks

# The tests that read a report in a browser take Debian's; where none can be had they are skipped and say why.
BROWSER = command -v chromium || command -v chromium-browser || command -v google-chrome

browser: $(VENV)/.ready ## install the browser that reads a report in the tests, where apt and root are here
	@$(BROWSER) >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && { apt-get update && apt-get install --yes --no-install-recommends chromium; } 2>&1 \
	  | $(BIN)/python tools/progress.py $(CACHE)/log/browser.log "browser"; } \
	  || echo "no browser: the tests of a report in one are skipped; install chromium, or run \`make browser\` as root"

# Two at a time, file by file: most system tests share one local cloud in their file.
JOBS ?= 2
TOGETHER = --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder --durations 20

test: coverage browser ## run all tests but the contract's; of the unit and the functional ones their coverage is measured
	$(BIN)/python -m pytest tests/system tests/fuzz $(TOGETHER)

# The system tests are not measured: it would slow the many processes of a local cloud, whose waits they are made of.
coverage: $(VENV)/.ready ## run the unit and the functional tests; what they run of the code may not fall below pyproject's floor
	@rm -rf $(CACHE)/coverage && mkdir -p $(CACHE)/log
	$(BIN)/coverage run -m pytest tests/unit tests/functional $(TOGETHER)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report | tee $(CACHE)/log/coverage.txt | grep -E '^(TOTAL|Coverage)'

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

clients: $(CLIENTS)/.ready $(CONSUMERS)/.ready $(AGENTS)/.ready package server-tests ## AWS's own commands and consumers' libraries, on the local cloud
	$(BIN)/python -m pytest tests/clients $(TOGETHER)

# Theirs are other versions than ours. The lock has all that they need: pip would look for the extras of what is in it.
$(CLIENTS)/.ready: requirements/clients.lock | $(VENV)/.ready
	@rm -rf $(@D)
	@$(BIN)/python -m venv $(@D)
	@$(call shown,$(CLIENTS)/bin/python -m pip install --no-deps --require-hashes --only-binary :all: -r $<,clients,sam and aws)
	@touch $@

$(CONSUMERS)/.ready: requirements/consumers.lock | $(VENV)/.ready
	@rm -rf $(@D)
	@$(BIN)/python -m venv $(@D)
	@$(call shown,$(CONSUMERS)/bin/python -m pip install --no-deps --require-hashes --only-binary :all: -r $<,consumers,openai$(comma) langchain$(comma) litellm$(comma) pydantic-ai)
	@touch $@

$(AGENTS)/.ready: requirements/agents.lock | $(VENV)/.ready
	@rm -rf $(@D)
	@$(BIN)/python -m venv $(@D)
	@$(call shown,$(AGENTS)/bin/python -m pip install --no-deps --require-hashes --only-binary :all: -r $<,agents,strands-agents$(comma) instructor$(comma) sagemaker-core)
	@touch $@

server-tests: $(SERVER_TESTS)/.ready $(SERVER).json ## llama.cpp's own server tests, unmodified, against each of our servers
	$(BIN)/python -m tools.server_tests

$(SERVER_TESTS)/.ready: requirements/server-tests.lock | $(VENV)/.ready
	@rm -rf $(@D)
	@$(BIN)/python -m venv $(@D)
	@$(call shown,$(@D)/bin/python -m pip install --no-deps --require-hashes --only-binary :all: -r $<,server-tests,openai$(comma) requests)
	@touch $@

# Where it cannot be, it says why and passes. As root it may install Debian's packages; nothing starts as a service.
# OCI_RUNTIME=crun runs it, and every other test of true containers, by crun.
image-test: $(VENV)/.ready $(SERVER).json ## build our image, push, pull and run it for real, where root and apt are here
	@$(BIN)/python -m tools.image_test
	$(BIN)/python -m pytest tests/image --verbose --durations 5

matrix: $(VENV)/.ready ## break every AWS call of every task in ten ways (half an hour); docs/failure-matrix.md
	$(BIN)/python -m tools.matrix --report docs/failure-matrix.md

load: $(VENV)/.ready ## deploy fifty services at once on the local cloud, with stub model servers, and count
	$(BIN)/python -m tools.load

check: lint types linters runtime-check docs-check package llama-server test contract clients image-test ## everything that must hold; what CI runs

lint: $(VENV)/.ready ## check style, and which room knows which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache --no-logo

runtime-check: $(VENV)/.ready ## judge the runtime: glibc, libraries, Python 3.10, the CPU features in use
	$(BIN)/python tools/runtime check

types: $(VENV)/.ready
	$(BIN)/mypy
	MYPYPATH=inference $(BIN)/mypy --package adapter
	MYPYPATH=. $(BIN)/mypy --package tools --exclude '$(ELSEWHERE)'
	$(BIN)/mypy tools/runtime/*.py tools/architectures.py

linters: $(VENV)/.ready tools/asl/node_modules/.ready
	$(BIN)/cfn-lint template.yaml
	$(BIN)/statelint state_machine/deploy.asl.json
	$(BIN)/hadolint inference/Dockerfile inference/Dockerfile.cuda
	sed 's/$${Partition}/aws/' state_machine/deploy.asl.json > $(CACHE)/deploy.asl.json # it takes no part of an ARN to be filled in
	$(BIN)/node tools/asl/node_modules/asl-validator/dist/bin/asl-validator.js --json-path $(CACHE)/deploy.asl.json

docs-check: $(DEMO)/model.tar.gz
	$(BIN)/python -W ignore tools/docs.py --check

tools/asl/node_modules/.ready: tools/asl/package-lock.json | $(VENV)/.ready
	@$(call shown,PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --prefix tools/asl --ignore-scripts --no-audit --no-fund,asl,asl-validator)
	@touch $@

# ------------------------------------------------------------------------------ measuring

bench: bench-archive bench-fit bench-runtime bench-inference bench-contract ## measure archives, the fit, the runtime and the server against tar, cp, the SageMaker SDK and llama.cpp (14 GB of disk)

bench-archive: $(VENV)/.ready $(CACHE)/bench/.sagemaker
	$(BIN)/python benchmarks/bench_archive.py --repack-python $(CACHE)/bench/sagemaker/bin/python --json $(CACHE)/bench/archive.json

bench-fit: $(VENV)/.ready
	$(BIN)/python benchmarks/bench_fit.py
	$(BIN)/python benchmarks/bench_architectures.py

bench-slots: $(VENV)/.ready $(SERVER).json ## slots of llama-server: their memory against the fit, and tokens a second
	$(BIN)/python benchmarks/bench_slots.py memory
	$(BIN)/python benchmarks/bench_slots.py speed

# As root, with CONTRACT_TORCH: it makes control groups.
bench-limits: $(CONTRACT)/.ready
	$(BIN)/python benchmarks/bench_limits.py --requests 6000 --limits 0 576 544 512 480

# BENCH_INFERENCE='--rounds 5 --model 1b' says more.
BENCH_INFERENCE ?=

bench-inference: $(VENV)/.ready $(SERVER).json $(CACHE)/bench/.llama-server ## our servers against llama-server alone, in alternating rounds
	$(BIN)/python benchmarks/bench_inference.py --server-python $(CACHE)/bench/llama-server/bin/python \
	  --json $(CACHE)/bench/inference.json $(BENCH_INFERENCE)

SOAK_SECONDS ?= 600

bench-soak: $(VENV)/.ready $(SERVER).json ## mixed traffic on our servers, and whether memory, files or threads grow (SOAK_SECONDS=600)
	@mkdir -p $(CACHE)/bench
	$(BIN)/python benchmarks/bench_inference.py --soak $(SOAK_SECONDS) --json $(CACHE)/bench/soak.json

# llama-cpp-python's own server, which is measured against: its further needs, over the library that is here already.
LLAMA_SERVER := fastapi==0.165.0 uvicorn==0.54.0 starlette-context==0.5.1 sse-starlette==3.7.0 \
  pydantic-settings==2.16.3 PyYAML==6.0.4

$(CACHE)/bench/.llama-server: | $(VENV)/.ready
	@mkdir -p $(@D)
	@$(BIN)/python -m venv $(@D)/llama-server
	@$(@D)/llama-server/bin/python -m pip install $(LLAMA_SERVER) 2>&1 \
	  | $(BIN)/python tools/progress.py $(CACHE)/log/llama-server.log "llama-cpp-python's server"
	@$(@D)/llama-server/bin/python -c 'import pathlib, sys, sysconfig; \
	  pathlib.Path(sysconfig.get_path("purelib"), "library.pth").write_text(sys.argv[1])' \
	  "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	@touch $@

bench-package: $(VENV)/.ready ## sizes of the Lambdas' zips, how fast each starts, and how fast the command line does
	$(BIN)/python benchmarks/bench_package.py

bench-demo: $(DEMO)/model.tar.gz ## what the demo takes, part by part, and a deployment without waits
	$(BIN)/python benchmarks/bench_demo.py $<

bench-local-cloud: $(VENV)/.ready ## memory of the local cloud while 5 GB go through it (20 GB of disk, half an hour)
	$(BIN)/python benchmarks/bench_local_cloud.py $(CACHE)/bench/local-cloud

# As root, where `make image-test` is not skipped. BENCH_IMAGE=--quick takes a few minutes.
BENCH_IMAGE ?=

bench-image: $(VENV)/.ready $(SERVER).json ## our image against buildah, a model's layer against cp, cold starts and memory
	@$(BIN)/python -m tools.image_test
	$(BIN)/python -m benchmarks.bench_image $(BENCH_IMAGE)

# BENCH_PROXY='--rounds 2 --row 500' takes half a minute.
BENCH_PROXY ?=

bench-proxy: $(VENV)/.ready ## what `sealift proxy` adds to a call, 10,000 calls in a row and by 100 callers, and its memory
	@mkdir -p $(CACHE)/bench
	$(BIN)/python -m benchmarks.bench_proxy --json $(CACHE)/bench/proxy.json $(BENCH_PROXY)

bench-contract: $(CONTRACT)/.ready
	$(BIN)/python benchmarks/bench_contract.py

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

fuzz: $(VENV)/.ready ## throw changed archives at the archive engine, changed headers at its reader of them, changed chats at llama.cpp's chat layer, grammars at its sampler, requests at its server (FUZZ_SECONDS=600 FUZZ_SEED=0)
	$(BIN)/python -m tests.fuzz.fuzz_archive --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED) --keep tests/fuzz/corpus
	$(BIN)/python tests/fuzz/fuzz_headers.py --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED) --keep $(CACHE)/fuzz
	$(BIN)/python -m tests.fuzz.fuzz_chat --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)
	PYTHONPATH=.build/runtime $(BIN)/python -m tests.fuzz.fuzz_grammars --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)
	$(BIN)/python -m tests.fuzz.fuzz_adapter --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)

# ------------------------------------------------------------------------------ making things

definition: $(VENV)/.ready ## render state_machine/definition.py to deploy.asl.json
	$(BIN)/python -m state_machine.definition

template: $(VENV)/.ready ## write what the tasks state into template.yaml: functions, policies, the lists of all tasks
	$(BIN)/python -m tools.template

package: $(VENV)/.ready ## lay out the Lambdas' code in .build, where `sam deploy` looks for it
	$(BIN)/python tools/runtime check --machine x86_64
	$(BIN)/python -m pipeline.stack.change_sets .
	for folder in .build/lambda .build/lambda-archive; do \
	  $(BIN)/python -m pip install --quiet --require-hashes --no-deps --target $$folder \
	    --platform manylinux2014_x86_64 --implementation cp --python-version 3.13 --only-binary :all: \
	    -r $$folder.lock; \
	  rm -rf $$folder/bin $$folder/*.dist-info; \
	done

architectures: $(VENV)/.ready ## read pipeline/gguf/architectures.py anew off the pinned runtime's source
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/architectures.py

demo-model: $(CACHE)/demo-model/.ready ## train the demo's model anew from examples/demo_model/corpus.txt (several minutes)
	$(CACHE)/demo-model/venv/bin/python -m examples.demo_model.train

# PyTorch is for this alone, so it stays out of the lock files and lives in an environment of its own.
$(CACHE)/demo-model/.ready: | $(VENV)/.python
	@mkdir -p $(@D)
	@$(BIN)/python -m venv $(@D)/venv
	@$(call shown,$(@D)/venv/bin/python -m pip install 'torch==2.13.0' 'gguf==0.19.0' 'numpy==2.4.6',torch,PyTorch)
	@touch $@

format: $(VENV)/.ready ## let ruff lay out the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

docs: $(DEMO)/model.tar.gz ## rewrite the generated parts of the documents
	$(BIN)/python -W ignore tools/docs.py

lock: $(VENV)/.python ## resolve the dependencies again and lock them with hashes
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile $(LOCK) requirements/build.in --output-file requirements/build.lock
	$(BIN)/uv pip compile $(LOCK) requirements/lambda.in --output-file requirements/lambda.lock
	$(BIN)/uv pip compile $(IMAGE_LOCK) inference/requirements.txt requirements/adapter.in --output-file requirements/image.lock
	for name in clients consumers agents server-tests; do \
	  $(BIN)/uv pip compile $(LOCK) requirements/$$name.in --output-file requirements/$$name.lock; \
	done
	for name in contract-build contract contract-java; do \
	  $(BIN)/uv pip compile $(LOCK) --python-version 3.10 requirements/$$name.in --output-file requirements/$$name.lock; \
	done
	$(BIN)/uv pip compile $(LOCK) --extra dev --no-emit-package sealift --no-emit-package llama-cpp-python pyproject.toml --output-file requirements/dev.lock

LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

# What the image installs of the container's needs: the runtime's tree brings the rest.
IMAGE_LOCK := $(LOCK) --no-emit-package llama-cpp-python --no-emit-package diskcache

clean: ## remove what make made; the runtime stays in ~/.cache/sealift, as packages do in pip's cache
	rm -rf $(VENV) $(CACHE) .build tools/asl/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

# SPDX-License-Identifier: Apache-2.0
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
# Twice the cores: tests wait for programs more than they compute.
WORKERS ?= 4
PIP := ./scripts/pip $(BIN)/python
PYTEST := $(BIN)/python -m pytest
QUICK := not system and not gpu and not slow

# Where the units expect the command.
PREFIX ?= $(if $(filter 0,$(shell id -u)),/usr/local,$(shell echo ~)/.local)

.PHONY: help setup native demo one-word-path install uninstall check test coverage test-native test-system test-slow soak test-mutants test-gpu bench bench-gpu bench-sharing bench-smoke bench-report docs layout wheel deb clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.installed native ## Make .venv and build the native parts (no root needed)

# Without bytecode and version checks a second `make setup` costs only the two stamps.
$(VENV)/.made:
	@./scripts/make-venv $(PYTHON) $(VENV)
	@$(PIP) install 'pip>=25.1'
	@touch $@

$(VENV)/.installed: pyproject.toml hatch_build.py | $(VENV)/.made
	@echo 'setup: installing Python packages into $(VENV)'
	@$(PIP) install --editable . --group dev
	@touch $@

$(VENV)/.group-%: $(VENV)/.installed
	@$(PIP) install --group $*
	@touch $@

native:
	@$(MAKE) --no-print-directory -s $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS)) -C native all

demo: setup ## Share one GPU between three programs and prove the limits (simulated without a GPU)
	@$(BIN)/python examples/01-three-programs/demo.py

install: $(VENV)/.made ## Install the command, daemon, units and completions into PREFIX (~/.local; root: /usr/local)
	@$(BIN)/python scripts/install.py --python '$(PYTHON)' --destdir '$(DESTDIR)/' '$(PREFIX)'

uninstall: $(VENV)/.made ## Remove them
	@$(BIN)/python scripts/install.py --remove '$(PREFIX)'

check: setup ## Lint, format, types, layers, generated documentation, spelling, prose
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_includes.py
	$(BIN)/python scripts/run_mutants.py --check
	$(BIN)/python scripts/generate_layout.py --check
	@$(MAKE) --no-print-directory -s -C native format-check
	$(BIN)/python docs/reference/generate.py --check
	$(BIN)/codespell
	$(BIN)/python scripts/check_prose.py
	$(BIN)/python -m benchmarks.report --check

# Tests preload libraries of the clone, and the dynamic linker separates paths at spaces and colons.
one-word-path:
	@case '$(CURDIR)' in *[' ':]*) echo 'test: move the clone: LD_PRELOAD cannot name files in $(CURDIR)' >&2; exit 1;; esac

test: one-word-path setup $(VENV)/.group-thirdparty test-native ## Unit, property, contract and native tests
	@$(PYTEST) -m '$(QUICK)' -n $(WORKERS)

coverage: setup ## Run the tests of `make test` and show what part of each room they run
	@rm -f .coverage .coverage.*
	@$(BIN)/coverage run -m pytest -m '$(QUICK)' -n $(WORKERS) --timeout 300
	@$(BIN)/coverage combine --quiet
	@$(BIN)/python scripts/coverage_by_room.py

test-native: one-word-path setup ## Tests of the C code alone
	@$(MAKE) --no-print-directory -s -C native test

test-system: setup $(VENV)/.group-schema $(VENV)/.group-thirdparty $(VENV)/.group-wheel ## Real third-party components; installs what it needs when root
	@./scripts/install-system-packages
	@$(PYTEST) -m 'system and not slow' --timeout 600

test-slow: setup $(VENV)/.group-wheel ## The long tier: crashes, upgrades, a guest, properties on new examples; installs as test-system
	@./scripts/install-system-packages --slow
	@GPUSHARE_TEST_SLOW=1 $(PYTEST) -m 'slow or hypothesis' --timeout 3000

soak: setup ## An hour of everything at once; GPUSHARE_SOAK_SECONDS is its length
	@GPUSHARE_TEST_SLOW=1 $(PYTEST) tests/daemon/test_real_soak.py

test-mutants: setup ## Break the code in known places and check that tests notice; takes some minutes
	@$(BIN)/python scripts/run_mutants.py

test-gpu: setup ## Contract and GPU tests on a real GPU
	@GPUSHARE_TEST_GPU=1 $(PYTEST) -m 'gpu or contract'

bench: setup ## Benchmarks that need no GPU; writes benchmarks/results/
	@$(BIN)/python -m benchmarks.startup
	@$(BIN)/python -m benchmarks.memory_info
	@$(BIN)/python -m benchmarks.scheduling
	@$(BIN)/python -m benchmarks.week

bench-gpu: setup ## Benchmarks on a real GPU; writes benchmarks/results/
	@$(BIN)/python -m benchmarks.gpu

# These run in the Python that has PyTorch, and need the Python packages of gpushare there.
RESULTS ?= benchmarks/results/h200
SHARING := $(PYTHON) -m benchmarks.gpu

bench-sharing: native ## Latency next to a job, compute limits, suspension, turns; writes benchmarks/results/
	$(SHARING).colocation --limit 3600
	$(SHARING).colocation --limit 3600 --loads 0.2 --seeds 1
	$(SHARING).colocation --limit 3600 --pairs others --seeds 1 --configurations gpushare/mps
	$(SHARING).colocation --limit 3600 --into ablation --configurations gpushare/mps --seeds 1 \
	  --pairs bert:resnet50 --quanta 50,150,200,500,2000 --graces 1,50,150,300
	$(SHARING).caps --mps-threads
	$(SHARING).caps --base mps
	$(SHARING).suspend
	$(SHARING).overcommit
	$(SHARING).tenants
	$(SHARING).reclaim

bench-smoke: ## The same on the CPU with tiny models; writes no results
	@./benchmarks/smoke $(PYTHON)

bench-report: setup $(VENV)/.group-bench ## Tables of all pages and pictures, from the results
	@$(BIN)/python -m benchmarks.report $(RESULTS)
	@$(BIN)/python -m benchmarks.figures $(RESULTS)

docs: setup ## Write docs/reference from the code
	$(BIN)/python docs/reference/generate.py

layout: setup ## Write src/gpushare/guard/layout.py from the C headers
	$(BIN)/python scripts/generate_layout.py

wheel: setup $(VENV)/.group-wheel ## Build wheels for x86-64 and aarch64, glibc 2.17, into dist/
	@$(BIN)/python scripts/build_wheels.py dist

deb: $(VENV)/.made ## Build a Debian package for this Debian into dist/
	@$(BIN)/python scripts/build_deb.py dist

clean: ## Remove everything that was built
	rm -rf $(VENV) native/build dist build src/gpushare/_native
	find src tests docs examples scripts -name __pycache__ -prune -exec rm -rf {} +

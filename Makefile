# The routines of this project; people and CI use the same words. `make` alone lists them.
#
# Everything is installed below .venv (and .peers: other people's clients, whose pins are not ours), from locks with
# hashes. A stamp remembers that a lock was installed, so a second `make setup` does nothing.

.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
# Files of tests are spread over so many processes; the tests of one file stay together, and so does what they start.
# One more than there are cores: tests of real processes wait much of their time.
JOBS ?= $(shell expr $$(nproc) + 1)
# Passed on to the command: make test ARGS=tests/unit, make lock ARGS=--upgrade
ARGS ?=

.PHONY: help setup peers test check demo serve simulate docs bench prove prove-full lock sbom clean

help:
	@awk -F ':.*## ' '/^[a-z -]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.installed ## an environment in .venv; Python 3.11 and make are all it needs
	@:

.venv/.installed: requirements/dev.txt pyproject.toml scripts/environment.sh
	@scripts/environment.sh .venv requirements/dev.txt
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation --editable .
	@touch $@

peers: .peers/.installed ## the third-party clients that tests drive, in .peers
	@:

.peers/.installed: requirements/peers.txt scripts/environment.sh
	@scripts/environment.sh .peers requirements/peers.txt
	@touch $@

test: setup ## every test; installs from Debian's packages what is missing, or says what is left out
	@$(MAKE) peers || echo "The third-party clients could not be installed; their tests are left out."
	@scripts/provision.sh
	@$(BIN)/pytest --numprocesses=$(JOBS) --maxprocesses=8 --dist=loadfile $(ARGS)

check: setup ## lint, format, types, import contracts, generated pages
	@scripts/check.sh

demo: setup ## a stand-in for Novita, the server, and one instance from request to signed webhook
	@$(BIN)/novitai demo $(ARGS)

serve: setup ## the server, with the settings of the environment and .env
	@$(BIN)/novitai serve $(ARGS)

simulate: setup ## the stand-in for Novita alone
	@$(BIN)/novitai simulate $(ARGS)

docs: setup ## write what is made from code: reference pages, the blocking client
	@$(BIN)/python scripts/generate_docs.py
	@$(BIN)/python scripts/generate_sync_client.py

bench: setup ## measure speed on this machine
	@set -- benchmarks/*.py; test -e "$$1" || { echo "There are no benchmarks yet."; exit 2; }; \
	for one in "$$@"; do echo "$$one"; $(BIN)/python "$$one" $(ARGS) || exit; done

prove: setup ## show the figure of every promise in minutes, and write them down: docs/reference/proof.md
	@$(BIN)/python scripts/prove.py $(ARGS)

prove-full: setup ## the same with every case; up to an hour
	@$(BIN)/python scripts/prove.py --scale full $(ARGS)

lock: LOCK = $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	--python-version 3.11 $(ARGS) pyproject.toml
lock: ## resolve the dependencies of pyproject.toml anew into requirements/
	@test -x $(BIN)/uv || $(MAKE) setup
	@$(LOCK) --extra server --extra simulator --output-file requirements/runtime.txt
	@$(LOCK) --extra server --extra simulator --group dev --constraint requirements/runtime.txt --output-file requirements/dev.txt
	@$(filter-out pyproject.toml,$(LOCK)) --group peers --output-file requirements/peers.txt

sbom: setup ## the list of everything that is installed with ours, as CycloneDX: build/novitai.cdx.json
	@mkdir -p build
	@PYTHONWARNINGS=ignore $(BIN)/cyclonedx-py requirements requirements/runtime.txt --pyproject pyproject.toml \
		--output-reproducible --output-format JSON --output-file build/novitai.cdx.json
	@echo build/novitai.cdx.json

clean: ## remove the environments and all that tools left behind; data and .env stay
	@rm -rf .venv .peers build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

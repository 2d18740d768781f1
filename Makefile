# Each target does all its set-up by itself. `make help` lists them.
SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
BOOT := $(or $(PYTHON),python3)
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes

.PHONY: help demo test check setup dev frontend docs bench-crawl peers lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: setup  ## archive a small site, break the crawl, heal, search, replay: a table of assertions
	@$(VENV)/bin/healtharchive demo

test: dev peers check  ## lint, types, import contract, then every test
	@$(PY) -m pytest

check: dev  ## ruff, mypy strict, import contract
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-logo

setup: $(VENV)/.runtime frontend  ## .venv with .venv/bin/healtharchive in it

dev: $(VENV)/.dev frontend  ## the same with everything that the tests need

$(VENV)/bin/python:
	@$(BOOT) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || \
	  { echo "HealthArchive needs Python 3.11 to 3.13, found: $$($(BOOT) --version 2>&1). Debian: apt-get install python3. Another one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(BOOT) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing. Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(BOOT) -m venv $(VENV)

$(VENV)/.runtime: $(VENV)/bin/python requirements/runtime.txt requirements/build.txt pyproject.toml
	@echo "Installing into $(VENV) (once) ..."
	@$(PIP) -r requirements/build.txt
	@$(PIP) --no-build-isolation --use-pep517 -r requirements/runtime.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	@$(PIP) --no-build-isolation --use-pep517 -r requirements/dev.txt
	@touch $@

# Replay's service worker comes by npm. Without npm the set-up goes on, and replay shows pages without JavaScript.
frontend: $(VENV)/.runtime
	@$(PY) -m healtharchive.web.assets

docs: dev  ## the documentation as a site, in site/
	@$(PY) -m mkdocs build --strict --quiet

peers: .cache/peers/.done  ## the judges and rivals of drills and benchmarks (pywb, Scrapy)

.cache/peers/.done: requirements/peers.txt
	@mkdir -p .cache
	@$(BOOT) -m venv .cache/peers
	@.cache/peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/peers.txt
	@touch $@

bench-crawl: dev peers  ## pages/s, CPU and memory beside wget and Scrapy on the same site
	@$(PY) benchmarks/crawl.py

lock: $(VENV)/.dev  ## compile requirements/*.in again (needs uv: pip install uv)
	@for name in runtime dev build peers; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    requirements/$$name.in --output-file requirements/$$name.txt; done

clean:  ## remove everything that make made
	@rm -rf $(VENV) .cache site dist build test-output .pytest_cache .mypy_cache .ruff_cache .hypothesis

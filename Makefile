# Everything a fresh Debian 12 machine needs is installed by these targets (as root, or with sudo).
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PACKAGES := samba samba-common-bin samba-ad-provision samba-dsdb-modules samba-vfs-modules python3-samba python3-venv python3-dev \
	ldb-tools ldap-utils krb5-user libkrb5-dev chromium gcc make systemd

SOAK_KILLS ?= 5000

.PHONY: help setup packages demo test soak check lint types contracts schemas lock clean

help: ## Show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: packages $(VENV)/.installed ## Install Debian packages and the virtual environment

packages:
	@missing=$$(for p in $(PACKAGES); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'install ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
		$(SUDO) apt-get update -q && \
		DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -q -y --no-install-recommends $$missing; \
	fi

$(VENV)/.installed: requirements.lock pyproject.toml | packages
	/usr/bin/python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --require-hashes -r requirements.lock
	$(PYTHON) -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## Run the main job on the lab, from nothing to everything put back
	$(PYTHON) -m tests.demo

test: setup check ## Run every check and every test
	$(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

soak: setup ## Run the long versions, for hours: kills (SOAK_KILLS), schedules, power cuts, examples
	RECONCILE_SOAK=1 RECONCILE_KILLS=$(SOAK_KILLS) $(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -s --timeout 0 \
		tests/crash tests/watch tests/resources tests/core tests/engine tests/edge tests/lab/test_kill_nine.py tests/lab/test_losses.py

check: lint types contracts schemas ## Run every check

lint:
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types:
	$(VENV)/bin/mypy

contracts:
	$(VENV)/bin/lint-imports --no-logo 2>/dev/null || $(VENV)/bin/lint-imports

schemas: ## Check that the committed schemas are current
	@dir=$$(mktemp -d) && $(VENV)/bin/reconcile schema --write $$dir 2>/dev/null && diff -r schemas $$dir && rm -r $$dir

lock: ## Write requirements.lock anew
	$(PYTHON) -m pip install --quiet pip-tools
	$(VENV)/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--all-extras --output-file requirements.lock pyproject.toml

clean: ## Remove what was built
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

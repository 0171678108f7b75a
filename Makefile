# make run: start the app. make test: everything that is checked before a change lands.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp-setup
DEV_STAMP := $(VENV)/.stamp-dev

.DEFAULT_GOAL := help
.PHONY: help setup dev run test lint unit browser bench train clean

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

# torch first: the packages after it then find it there and do not fetch another build.
$(STAMP): requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install "$$(grep '^torch==' requirements.txt)"
	$(BIN)/python -m pip install -r requirements.txt
	touch $@

$(DEV_STAMP): requirements-dev.txt requirements-oracles.txt $(STAMP)
	$(BIN)/python -m pip install -r requirements-dev.txt
	$(BIN)/python -m pip install --no-deps -r requirements-oracles.txt
	touch $@

## make setup    build .venv with what the app needs
setup: $(STAMP)

## make dev      ... and what the tests need
dev: $(DEV_STAMP)

## make run      start the app on http://127.0.0.1:7860 and open it
run: setup
	OPEN_BROWSER=1 $(BIN)/python app.py

## make test     lint, types, tests, and the pages in a real browser
test: lint unit

lint: dev
	$(BIN)/ruff check .
	$(BIN)/mypy

unit: dev browser
	$(BIN)/python -m pytest

browser:
	@command -v chromium >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; \
	  else \
	    echo "The browser tests need Chromium: install it (Debian: apt-get install chromium) and run again."; exit 1; \
	  fi; }

## make bench    time engines, prefill, training, decoding, the page and induction on this machine
bench: dev browser
	@for kind in engines prefill train decode page induction; do $(BIN)/python -m playground.bench $$kind || exit 1; done

## make train    train every tiny model (hours on a CPU)
train: setup
	$(BIN)/python -m models.training --all

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache

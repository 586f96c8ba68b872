# Two commands on a fresh machine: `make demo` and `make test`. Nothing is needed but Python, its venv module and make.
PYTHON ?= python3
VENV ?= .venv
CUDA ?= 13
ifeq ($(shell uname -s),Linux)
EXTRAS := dev,cuda$(CUDA)
else
EXTRAS := dev
endif
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed-$(EXTRAS)

.PHONY: install demo test lint types check docs clean
install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[$(EXTRAS)]"
	touch "$@"

demo: install
	$(BIN)/tonearm demo

test: install
	$(BIN)/python -m pytest $(TESTS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

check: lint types test

# docs/augmentations.md and its pictures, of the docstrings and the effects
docs: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[docs]"
	$(BIN)/python -m docs.make_augmentations

clean:
	rm -rf $(VENV) build *.egg-info

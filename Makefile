# Every target sets up what it needs, with nothing but Python 3.11 or later and the package index.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help demo test fuzz chaos check terraform-check scan bench audit archive docs lock outdated format clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile

$(BIN)/uv:
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or later is needed and was not found; install it, or say make PYTHON=/path/to/python3.12' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.runtime: requirements.txt | $(BIN)/uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.tools: requirements-dev.txt $(VENV)/.runtime
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.txt
	@touch $@

demo: $(VENV)/.runtime ## Play the whole story on a Google Cloud and a Slack that run on this machine
	@$(BIN)/python -m sandbox demo $(if $(EXIT),--exit)

test: $(VENV)/.tools ## Run all tests, with branch coverage
	@$(BIN)/python -m pytest -n auto --cov --cov-report=term --cov-fail-under=100

fuzz: $(VENV)/.tools ## Try every input from outside with what nobody should send, for some minutes: make fuzz EXAMPLES=20000
	@EXAMPLES=$(or $(EXAMPLES),4000) $(BIN)/python -m pytest tests/fuzz -n auto --timeout=0

check: $(VENV)/.tools ## Lint, types, layers, format, known vulnerabilities, Terraform
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m tests.advisories
	@$(BIN)/python -m terraform.check
	@$(SCAN)
	@$(BANDIT)

chaos: $(VENV)/.tools ## Let everything go wrong at random, with real processes: make chaos SEED=1 SCHEDULES=100 JOBS=2
	@$(BIN)/python -m tests.chaos --seed $(or $(SEED),1) --schedules $(or $(SCHEDULES),100) --jobs $(or $(JOBS),1) $(ARGS)

terraform-check: $(VENV)/.tools ## Format, arguments and tests of what is deployed with Terraform
	@$(BIN)/python -m terraform.check

# In an environment of its own: what it needs does not go together with what the functions need.
SCAN := $(BIN)/uv tool run --quiet --from checkov==3.3.30 checkov --directory terraform --framework terraform --quiet --compact --skip-download

BANDIT := $(BIN)/uv tool run --quiet bandit@1.9.4 --quiet --recursive functions shared main.py

scan: $(BIN)/uv ## Look for insecure settings in what is deployed with Terraform, and insecure code in what runs
	@$(SCAN)
	@$(BANDIT)

bench: $(VENV)/.tools ## Measure, each figure beside a baseline
	@$(BIN)/python -m tests.bench

audit: $(VENV)/.runtime ## Look at a real project, read-only: make audit PROJECT=acme-ml-staging
	@test -n "$(PROJECT)" || { echo 'Say which project: make audit PROJECT=acme-ml-staging' >&2; exit 3; }
	@$(BIN)/python -m functions audit --project $(PROJECT) $(ARGS)

archive: ## Build terraform/.build/source.zip, from which the functions are deployed
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or later is needed and was not found; say make archive PYTHON=/path/to/python3.12' >&2; exit 1; }
	@$(PYTHON) terraform/archive.py

docs: $(VENV)/.runtime ## Write anew what is generated: docs/permissions.md
	@$(BIN)/python -m terraform.permissions_page

format: $(VENV)/.tools ## Put the code into its format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url

lock: $(BIN)/uv ## Compile the pinned requirements anew; with UPGRADE=1 what they need is raised, too
	@$(COMPILE) --generate-hashes $(if $(UPGRADE),--upgrade) requirements.in -o requirements.txt
	@$(COMPILE) --generate-hashes $(if $(UPGRADE),--upgrade) requirements-dev.in -o requirements-dev.txt

outdated: $(BIN)/uv ## Say which requirements of the functions could be raised, and fail if there are any
	@grep -oE '^[A-Za-z0-9._-]+==[^ ]+' requirements.txt >$(VENV)/.pinned
	@sed 's/==.*//' requirements.in | $(COMPILE) --no-annotate - | grep -oE '^[A-Za-z0-9._-]+==[^ ]+' >$(VENV)/.newest
	@diff --unchanged-line-format= --old-line-format='%L' --new-line-format='  could be  %L' $(VENV)/.pinned $(VENV)/.newest || \
		{ echo 'Raise them in requirements.in, then: make lock UPGRADE=1 check test' >&2; exit 1; }

clean: ## Remove what the targets made
	@rm -rf $(VENV) terraform/.build .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

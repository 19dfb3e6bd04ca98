# Everything that is done to Socle from a checkout. `make` alone lists it. Each target sets up what it needs.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
OIDC := tests/oidc/node_modules/.package-lock.json
ROOMS := api cli nomenclatures registry

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
# Some machines set it: each start would then compile two hundred modules anew, which takes longer than all the rest.
unexport PYTHONDONTWRITEBYTECODE

# uv does it in a quarter of pip's time; where only pip was told how to reach the packages, pip does it.
install = $(BIN)/uv pip install --quiet --python $(BIN)/python $(1) 2>/dev/null || \
	$(BIN)/python -m pip install -qq --no-compile $(1)

.DEFAULT_GOAL := help
ifndef AT_ONCE
.NOTPARALLEL:
endif
.DELETE_ON_ERROR:
.PHONY: help run test check format bench relevance vocabularies faults fuzz openrefine wheel-check lock clean \
	programs downloads debian
MAKEFLAGS += --no-print-directory

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(STAMP) ## Set up, publish the shipped nomenclatures if absent, and serve on http://127.0.0.1:8000/
	@exec $(BIN)/socle serve --init

test: programs check ## Set up what the tests need, run every check, then all tests on both databases
	@$(BIN)/python -m pytest -n 3 --dist worksteal -m "not openrefine"

check: $(STAMP) ## Format, lint, types and import contracts
	@echo "Checking format, lint, types and import contracts"
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(STAMP) ## Rewrite the code in the house format, with the lint fixes that are safe
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

bench: $(STAMP) ## Measure time and memory at size
	@$(BIN)/python -m benchmarks

relevance: $(STAMP) ## Measure how good search and candidates are, part by part, and list what fails
	@$(BIN)/python -m benchmarks.relevance

vocabularies: $(STAMP) ## Try the import on a folder of vocabularies, DIR=…: a line each, imported or refused and why; OPTIONS=--errors, …
	@$(BIN)/python -m benchmarks.vocabularies "$(DIR)" $(OPTIONS)

faults: programs ## The fault tests at full length: kills and failing writes, hundreds of times
	@SOCLE_FAULTS=full $(BIN)/python -m pytest -m faults -n 2 --dist worksteal

fuzz: programs ## The property and API tests at full length
	@SOCLE_FUZZ=full $(BIN)/python -m pytest -m fuzz -n 2 --dist worksteal

openrefine: $(STAMP) ## Reconcile a table in OpenRefine itself, which is installed for it: it brings a hundred packages
	@$(BIN)/python -m tests.openrefine >/dev/null 2>&1 || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "Installing OpenRefine"; \
			export DEBIAN_FRONTEND=noninteractive; \
			apt-get -qq update; \
			apt-get -qq install -y --no-install-recommends openrefine >/dev/null; \
		fi; \
		$(BIN)/python -m tests.openrefine; } >/dev/null
	@$(BIN)/python -m pytest -m openrefine

# The wheel is compared, file by file, with the folders that it is made of: what was forgotten and what an old build/
# left in it both show. It is then installed without the checkout, with the locked versions, and used from elsewhere.
wheel-check: $(STAMP) ## Build the wheel from clean, compare it with the checkout, install it alone and use it
	@set -eu; work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; mkdir "$$work/elsewhere"; \
	rm -rf build ./*.egg-info; \
	echo "Building the wheel"; \
	$(BIN)/python -m build --wheel --no-isolation --outdir "$$work" . >"$$work/log" 2>&1 || { cat "$$work/log"; exit 1; }; \
	rm -rf build ./*.egg-info; \
	find $(ROOMS) -type f ! -path '*/__pycache__/*' | LC_ALL=C sort >"$$work/checkout"; \
	$(BIN)/python -c 'import sys, zipfile; print(*zipfile.ZipFile(sys.argv[1]).namelist(), sep="\n")' "$$work"/*.whl \
		| grep -v '\.dist-info/' | LC_ALL=C sort >"$$work/wheel"; \
	diff "$$work/checkout" "$$work/wheel" || { echo "The wheel (>) is not what the checkout (<) holds: see above."; exit 1; }; \
	for kind in 'nomenclatures/.*[.]csv' 'nomenclatures/.*[.]ttl' 'nomenclatures/.*[.]json' 'registry/migrations/versions/.*[.]py'; do \
		grep -q "^$$kind$$" "$$work/wheel" || { echo "The wheel holds no $$kind"; exit 1; }; done; \
	echo "Installing it alone"; \
	sed -e '/^ *--hash/d' -e 's/ *\\$$//' requirements.lock >"$$work/constraints"; \
	$(PYTHON) -m venv "$$work/venv"; \
	"$$work/venv/bin/python" -m pip install -qq --constraint "$$work/constraints" "$$work"/*.whl; \
	cd "$$work/elsewhere"; \
	export SOCLE_DATA_DIR="$$work/elsewhere/data"; \
	"$$work/venv/bin/socle" --version; \
	"$$work/venv/bin/socle" init; \
	"$$work/venv/bin/socle" nomenclatures; \
	echo "The wheel holds all of the checkout's $$(wc -l <"$$work/wheel") files and works without it."

lock: $(STAMP) ## Pin what setup.cfg asks for, with hashes, in requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-header --extra test -o requirements.lock setup.cfg

clean: ## Remove what was built, the caches and the virtual environment; your data (var/, .env) stays
	@rm -rf build dist ./*.egg-info .venv tests/oidc/node_modules .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .schemathesis
	@find $(ROOMS) benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.lock tests/shapes.lock setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Socle needs Python 3.11 or later, and $(PYTHON) is not: say which one is, as in make PYTHON=/usr/bin/python3.12"; exit 1; }
	@echo "Setting up the virtual environment in .venv"
	@$(PYTHON) -m venv .venv
	@echo "Installing the locked dependencies (half a minute the first time)"
	@awk '/^uv==/ { on = 1 } on { print } on && !/\\$$/ { exit }' requirements.lock >.venv/uv.lock
	@$(BIN)/python -m pip install -qq --require-hashes -r .venv/uv.lock
	@$(call install,--require-hashes -r requirements.lock)
	@$(call install,--no-deps --require-hashes -r tests/shapes.lock)
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation -e .
	@# On all cores, but for what is large and little used; examples in packages need not compile.
	@$(BIN)/python -m compileall -qq -j 0 -x '/(fhir|mypyc?|pip|setuptools|tests)/' .venv/lib $(ROOMS) || true
	@touch $@

# The tests of signing in run a real OpenID provider, which is written for Node.
$(OIDC): tests/oidc/package-lock.json | debian
	@{ command -v npm && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; } >/dev/null || { \
		echo "The tests of signing in need npm and Node 20 or later"; exit 1; }
	@echo "Installing the OpenID provider of the tests"
	@npm ci --prefix tests/oidc --silent --no-audit --no-fund --ignore-scripts
	@touch $@

# The tests run a PostgreSQL server and a browser of their own, fail system calls with strace, and verify archives with
# Node too; only the programs have to be there.
programs: downloads
	@$(BIN)/python -m tests.postgres && $(BIN)/python -m tests.browser && \
		{ command -v strace >/dev/null || { echo "strace is missing (Debian package strace)"; exit 1; }; } && \
		{ command -v node >/dev/null || { echo "Node is missing (Debian package nodejs, 20 or later)"; exit 1; }; }

# What the tests need comes from several places, which are asked at the same time.
downloads:
	@$(MAKE) --jobs=3 AT_ONCE=yes debian $(STAMP) $(OIDC)

debian:
	@missing=""; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || missing="$$missing postgresql"; \
	command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
		missing="$$missing chromium fonts-liberation"; \
	command -v strace >/dev/null || missing="$$missing strace"; \
	command -v node >/dev/null || missing="$$missing nodejs"; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing what the tests need and this machine lacks:$$missing"; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get -qq update; \
		apt-get -qq install -y --no-install-recommends $$missing >/dev/null; \
	fi

# Two commands: `make demo` and `make test`. Everything lands inside this folder: .venv, rust/target, engines/node_modules,
# tests/oracles/build.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ENGINES := engines
ORACLES := tests/oracles
PEERS := benches/peers
# 1.17.9 and later need a module (attestantio/go-eth2-client 0.30.1) that not every module proxy has.
GETH := v1.17.8
SUITE ?= core

.DEFAULT_GOAL := help
.PHONY: help demo test lint build native contracts engines oracles rivals bench fuzz clean lock

help: ## This list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# need(tool, remedy): one line, then stop
need = @command -v $(1) >/dev/null 2>&1 || { echo "dougong needs $(1): $(2)" >&2; exit 1; }

$(VENV)/.installed: requirements.lock
	$(call need,$(PYTHON),install Python 3.11 or newer)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "dougong needs Python 3.11 or newer: set PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(call need,git,install git)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

native: $(VENV)/.native ## Build the Rust core into the environment

$(VENV)/.native: $(VENV)/.installed pyproject.toml $(shell find rust -name target -prune -o \( -name '*.rs' -o -name 'Cargo.*' \) -print)
	$(call need,cargo,install Rust (https://rustup.rs) 1.94 or newer)
	$(call need,cc,install a C compiler such as gcc)
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --quiet --locked >/dev/null
	@touch $@

contracts: $(VENV)/.installed ## Compile the Vyper contracts (only what changed)
	@$(BIN)/python -m dougong.contracts

build: native contracts ## Everything the package needs

engines: ## Install the pinned engines that the tests use
	$(call need,npm,install Node.js 20 or newer)
	@npm ci --prefix $(ENGINES) --silent

oracles: $(ORACLES)/build/oracles $(ORACLES)/build/client ## Build the programs that use Celestia's Go libraries, which the tests compare with

$(ORACLES)/build/oracles: $(wildcard $(ORACLES)/*.go $(ORACLES)/go.*)
	$(call need,go,install Go 1.25 or newer (https://go.dev/dl))
	cd $(ORACLES) && go build -o build/oracles .
	@touch $@

$(ORACLES)/build/client: $(wildcard $(ORACLES)/client/*.go $(ORACLES)/client/go.*)
	$(call need,go,install Go 1.25 or newer (https://go.dev/dl))
	cd $(ORACLES)/client && go build -o ../build/client .
	@touch $@

demo: build ## Run the main job
	@$(BIN)/dougong demo

lint: build
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cargo fmt --manifest-path rust/Cargo.toml --all --check
	cargo clippy --manifest-path rust/Cargo.toml --release --locked --all-targets --quiet -- -D warnings
	$(call need,go,install Go 1.25 or newer (https://go.dev/dl))
	@test -z "$$(gofmt -l $(ORACLES) $(PEERS))" || { gofmt -d $(ORACLES) $(PEERS); exit 1; }
	cd $(ORACLES) && go vet ./...
	cd $(ORACLES)/client && go vet ./...
	cd $(PEERS) && go vet ./...

test: build engines oracles lint ## Every test and linter
	cargo test --manifest-path rust/Cargo.toml --locked --workspace --exclude dougong-native --quiet
	$(BIN)/pytest
	@$(MAKE) --no-print-directory fuzz

rivals: $(PEERS)/build/geth-$(GETH) ## Build geth, which `make bench SUITE=evm` runs beside ours

$(PEERS)/build/geth-$(GETH):
	$(call need,go,install Go 1.25 or newer (https://go.dev/dl))
	@mkdir -p $(PEERS)/build
	GOBIN=$(abspath $(PEERS)/build) go install github.com/ethereum/go-ethereum/cmd/geth@$(GETH)
	@mv $(PEERS)/build/geth $@

bench: build ## make bench SUITE=core: one JSON object a line
	@$(BIN)/python -m benches $(SUITE)

$(VENV)/.fuzz: fuzz/requirements.lock $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r fuzz/requirements.lock
	@touch $@

fuzz: build $(VENV)/.fuzz ## Fuzz every decoder for about a minute; where the engine has no wheel, say so
	@$(BIN)/python -m fuzz || test $$? -eq 3

lock: ## Resolve the Python lock file anew (needs uv)
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --all-extras pyproject.toml -o requirements.lock
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 fuzz/requirements.in -o fuzz/requirements.lock

clean: ## Remove everything that was built
	rm -rf $(VENV) rust/target $(ENGINES)/node_modules src/dougong/contracts/build src/dougong/*.so $(ORACLES)/build $(PEERS)/build

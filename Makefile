# make quickstart   set-up, build, and the main job: a net teaches itself countdown (nine to twelve minutes on two cores)
# make test         set-up, formatting, lints, and every test (fetches a small model server and sympy once, 140 MB)
# make results      the README's full table: three seeds, resumable
# make bench        criterion benchmarks
# make check-concurrency   the tree under loom, ThreadSanitizer and Miri (Miri needs a nightly toolchain)
# make clean        removes what was built (not libtorch, not peers and not runs)

SHELL := /bin/sh
FOLDER := $(CURDIR)/.libtorch
# Read once, and only here: the crate tch is built against exactly this libtorch.
ifeq ($(LIBTORCH_USE_PYTORCH),)
export LIBTORCH ?= $(FOLDER)
# Documentation tests are linked without the build scripts' run path.
export LD_LIBRARY_PATH := $(LIBTORCH)/lib$(if $(LD_LIBRARY_PATH),:$(LD_LIBRARY_PATH))
endif

CARGO ?= cargo
ESPALIER := target/release/espalier
SEEDS := 1 2 3

.PHONY: quickstart test build set-up peers results bench check-concurrency clean

quickstart: build
	$(ESPALIER) run

build: set-up
	$(CARGO) build --release --locked

set-up:
	@training/libtorch.sh $(FOLDER)

peers:
	@tests/peers.sh $(CURDIR)/.peers

test: set-up peers
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	$(CARGO) test --release --locked --workspace
	search/checks/loom.sh

check-concurrency:
	search/checks/loom.sh
	search/checks/tsan.sh
	search/checks/miri.sh

bench: build
	$(CARGO) bench --locked --workspace

results: build
	for seed in $(SEEDS); do $(ESPALIER) run --seed $$seed || exit 1; done
	$(ESPALIER) report $(foreach seed,$(SEEDS),runs/countdown-s$(seed))

clean:
	$(CARGO) clean

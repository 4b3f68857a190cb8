# Every target does its own set-up on a Debian 12 that has a Swift toolchain (6.2 or later); deploy/setup says what it installs.
#   make demo      three cities on this machine, real data, told as a story
#   make test      all tests, and the checks by foreign tools
#   make check     format lint, a build with warnings as errors, all tests: run it before a commit
#   make simulate  seeded histories of the exchange, with faults: SEEDS=5000 WORLD=mixed; simulate-bugs: how soon seeded bugs are found
#   make fuzz      libFuzzer at every decoder: SECONDS_EACH=60 for each target, TARGETS="frame json"
#   make build | release | format | bench | clean
SHELL := /bin/bash
SOURCES := Sources Tests Package.swift

.PHONY: demo test check build release simulate simulate-bugs fuzz format lint bench clean
.DEFAULT_GOAL := build

demo:
	deploy/setup build demo
	deploy/demo

test:
	deploy/setup build checks demo
	Tests/run

check: export HANSA_STRICT = 1
check: lint test

build:
	deploy/setup build
	swift build

release:
	deploy/setup build
	swift build --configuration release --product hansa

SEEDS ?= 5000
WORLD ?= mixed
SEED ?= 1
JOBS ?= $(shell nproc)

simulate:
	deploy/setup build
	swift build --configuration release --product hansa-simulator
	.build/release/hansa-simulator --seed $(SEED) --seeds $(SEEDS) --world $(WORLD) --jobs $(JOBS)

# A build of its own: no other binary carries the bugs.
simulate-bugs: export HANSA_SEEDED_BUGS = 1
simulate-bugs:
	deploy/setup build
	swift build --configuration release --product hansa-simulator --scratch-path .build/seeded-bugs
	.build/seeded-bugs/release/hansa-simulator --bugs

# A build of its own, with coverage and the address sanitizer. Every test run reads the corpus without them (FuzzCorpusTests).
fuzz:
	deploy/setup build
	Tests/Fuzz/run $(TARGETS)

lint:
	swift format lint --strict --recursive --parallel --configuration .swift-format $(SOURCES)

format:
	swift format --in-place --recursive --parallel --configuration .swift-format $(SOURCES)

bench: release
	@if [ -x Benchmarks/run ]; then Benchmarks/run; else echo "make bench: there are no benchmarks in this version" >&2; exit 1; fi

clean:
	rm -rf .build

# Everything works with nothing but Go and make. The checkers are Go programs at
# pinned versions, which the Go toolchain fetches, builds and verifies.

GO          ?= go
BIN         := bin
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
DEADCODE    := golang.org/x/tools/cmd/deadcode@v0.52.0
INTERNAL    := actormesh/(quorum|ring|local|transport|mesh/core|cmd|chaos|bench)

# Tests which start real processes are run without the race detector: they
# watch the clock, and the processes are what is tested.
E2E   := ./chaos/e2e ./chaos/local ./chaos/netns
# Searches and simulations have one goroutine at a time, and nothing to race.
SEARCHES := ./chaos/explore ./chaos/sim
UNITS  = $(filter-out %/chaos/local %/chaos/netns %/chaos/e2e %/chaos/e2e/% %/chaos/explore %/chaos/sim,$(shell $(GO) list ./...))

# The race detector needs cgo and a C compiler; without them the tests run all
# the same, and say what they lack.
RACE := $(shell test "$$($(GO) env CGO_ENABLED)" = 1 && command -v "$$($(GO) env CC | cut -d' ' -f1)" >/dev/null && echo -race)

.PHONY: build test check demo bench bench-peers bench-failover bench-join bench-recovery bench-scale peers failover explore unit searches e2e fmt vet lint dead arch tidy clean-tree sim sim-long

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/ ./cmd/meshnode

# demo is the main job: three processes, a file of transfers, and kill -9.
demo: build
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/ ./examples/ledger
	./$(BIN)/ledger --meshnode ./$(BIN)/meshnode --data ./examples/ledger

test: unit searches e2e

unit:
	@test -n "$(RACE)" || echo "WARNING: no C compiler or CGO_ENABLED=0: tests run WITHOUT the race detector (install gcc or clang)"
	$(GO) test $(RACE) -tags invariants -timeout 10m $(UNITS)

searches:
	$(GO) test -timeout 10m $(SEARCHES)

e2e: chaos-some
	$(GO) test -count=1 -timeout 10m $(E2E)

# chaos runs every script that real processes can be hurt by without root, in less
# than 20 minutes; chaos-some runs one of each sort, in less than three.
# JOBS are as many runs at a time: each has five processes or so, mostly idle.
SOME := minority-with-owner loss kill-owner pause-beyond-lease rolling-restart bit-flip

.PHONY: chaos chaos-some
chaos: build
	./$(BIN)/meshnode chaos run all --on local --jobs $(or $(JOBS),2) --report $(BIN)/chaos

chaos-some: build
	./$(BIN)/meshnode chaos run $(SOME) --on local --jobs $(or $(JOBS),2) --report $(BIN)/chaos-some

# chaos-netns runs the scripts that take more than processes on loopback: disks that
# lose power, are full or fail, and links of the kernel's, in a quarter of an hour. It
# takes root on Linux, and says what else is missing before it begins.
BELOW := power-loss-one power-loss-all full-disk eio-on-fsync slow-fsync narrow-links one-way \
	bridge pause-beyond-lease halves minority-with-owner

.PHONY: chaos-netns
chaos-netns: build
	./$(BIN)/meshnode chaos run $(BELOW) --on netns --jobs $(or $(JOBS),1) --report $(BIN)/chaos-netns

# failover prints how long the actors of a killed owner are away; bench-failover
# does so beside etcd.
failover: build
	./$(BIN)/meshnode bench failover

# explore searches the protocols exhaustively, in about ten minutes, and then
# finds the planted bugs; the tests search the beginning only. NAMES="..." picks
# configurations, STATES=n their bound, DOC=docs/explorer.md is written to.
explore:
	$(GO) run ./chaos/explore/cmd $(if $(STATES),--states $(STATES)) $(if $(DOC),--doc $(DOC)) $(NAMES)
	$(if $(NAMES),,$(GO) run ./chaos/explore/cmd --mutants)

# sim runs wild meshes in virtual time for 5 minutes, each seed twice; sim-long
# goes on until it is interrupted, and is none the worse for it.
sim: build
	./$(BIN)/meshnode chaos hunt --for 5m --twice --save chaos/sim/testdata

sim-long: build
	./$(BIN)/meshnode chaos hunt --save chaos/sim/testdata

bench: build
	./$(BIN)/meshnode bench

# bench-baseline keeps a run of this commit; bench-compare runs again, later or of
# other code, and compares. Both are of one machine: the files are no source. Each
# is a run of calls with BENCHFLAGS, and one of each of BENCHSTUDIES with its flags.
BENCHSTAT    := golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
BENCHFLAGS   ?= --clients 1,64 --reps 6 --seconds 2
BENCHSTUDIES ?= failover join recovery rest scale
failoverFLAGS ?= --reps 6 --via go
joinFLAGS     ?= --reps 6
recoveryFLAGS ?= --reps 6 --records 20000
restFLAGS     ?= --reps 6 --actors 0,20000 --settle 2s --window 2s
scaleFLAGS    ?= --reps 6 --actors 1000,50000

# benchrun makes them, and leaves what it has found in one file.
define benchrun
	@mkdir -p $(BIN)/bench
	./$(BIN)/meshnode bench $(BENCHFLAGS) --benchstat $(BIN)/bench/calls.txt
	$(foreach s,$(BENCHSTUDIES),./$(BIN)/meshnode bench $(s) $($(s)FLAGS) --benchstat $(BIN)/bench/$(s).txt && ) true
	cat $(BIN)/bench/calls.txt $(BENCHSTUDIES:%=$(BIN)/bench/%.txt) > $(1)
endef

.PHONY: bench-baseline bench-compare bench-rest bench-docs
bench-baseline: build
	$(call benchrun,$(BIN)/bench-baseline.txt)

bench-compare: build
	@test -f $(BIN)/bench-baseline.txt || { echo "no baseline: make bench-baseline first"; exit 1; }
	$(call benchrun,$(BIN)/bench-now.txt)
	$(GO) run $(BENCHSTAT) $(BIN)/bench-baseline.txt $(BIN)/bench-now.txt

# What is no steady load: what a mesh takes while nobody calls it, a node that joins
# under load, nodes that were killed and start again, many slots and many actors.
bench-rest bench-join bench-recovery bench-scale: bench-%: build
	./$(BIN)/meshnode bench $* $(STUDYFLAGS)

# bench-peers measures etcd, hashicorp/raft, JetStream and bare limits beside the
# mesh, in the same run; bench-failover kills owners and leaders. It is a module of
# its own, so that what the peers depend on stays out of the product.
peers: build
	cd bench/peers && CGO_ENABLED=0 $(GO) build -trimpath -o ../../$(BIN)/peers .

bench-peers: peers
	./$(BIN)/peers --meshnode ./$(BIN)/meshnode $(PEERFLAGS)

bench-failover: peers
	./$(BIN)/peers failover --meshnode ./$(BIN)/meshnode $(FAILOVERFLAGS)

# bench-docs is the runs of docs/bench.md, in about a quarter of an hour.
bench-docs: DOC := --doc docs/bench.md
bench-docs: WINDOWS := --seconds 1.5 --warmup-seconds 0.4
bench-docs: OTHERS := counter.add,counter.hot,counter.zipf,counter.get,counter.wake,kv.large,account.transfer
bench-docs: peers
	./$(BIN)/peers --meshnode ./$(BIN)/meshnode --clients 1,16,64,256 $(WINDOWS) --plots docs/bench $(DOC)
	./$(BIN)/meshnode bench --systems mesh,mesh-asleep --workloads $(OTHERS) --clients 64 --via go $(WINDOWS) $(DOC)
	./$(BIN)/peers failover --meshnode ./$(BIN)/meshnode $(DOC)
	./$(BIN)/meshnode bench join $(DOC)
	./$(BIN)/meshnode bench recovery --records 10000,100000,1000000 $(DOC)
	./$(BIN)/meshnode bench rest --actors 0,100000 $(DOC)
	./$(BIN)/meshnode bench scale $(DOC)

check: fmt vet lint dead arch tidy clean-tree

fmt:
	@out=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .); \
	test -z "$$out" || { echo "not formatted; run gofmt -w on:"; echo "$$out"; exit 1; }

vet:
	$(GO) vet ./...
	$(GO) vet -tags invariants ./...

lint:
	$(GO) run $(STATICCHECK) -checks inherit,ST1000,ST1005,ST1016,ST1020,ST1021,ST1022 ./...

# A function that no program and no test reaches is dead. Below the public API
# one that only tests reach is dead as well: a guard that nobody calls. TAGS are
# build tags, for the mutant that is such a guard.
dead:
	@out=$$($(GO) run $(DEADCODE) -tags '$(TAGS)' -test ./...) || exit 1; \
	unused=$$($(GO) run $(DEADCODE) -tags '$(TAGS)' -filter '^$(INTERNAL)' ./...) || exit 1; \
	test -z "$$out$$unused" || { echo "dead code:"; echo "$$out"; echo "$$unused"; exit 1; }

arch:
	$(GO) test -count=1 .

tidy:
	$(GO) mod tidy -diff

clean-tree:
	@.ci/clean-tree

# mutants plants every bug of quorum/mutant in turn, and fails if one is caught by
# nobody. mutants-write also puts who caught them into docs/HAZARDS.md.
.PHONY: mutants mutants-write

mutants:
	$(GO) vet -tags mutant ./...
	$(GO) run ./chaos/mutants

mutants-write:
	$(GO) run ./chaos/mutants -write

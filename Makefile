# make help lists what there is to do. Everything runs on a bare Debian with Go
# and Node; what else the tests need, make deps installs.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS   = -s -w -X main.version=$(VERSION)
STATICCHECK = go tool -modfile=tools/go.mod staticcheck
NPM       = npm --prefix client-js --silent
FUZZTIME ?= 60s
SOAKTIME ?= 30m
TORTURETIME ?= 10m

.PHONY: help
help: ## print this
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## install what the tests need: Debian packages and npm modules
	@scripts/deps.sh install

.PHONY: ready
ready:
	@scripts/deps.sh check || scripts/deps.sh install

.PHONY: build
build: ## build bin/shaveet
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/shaveet ./cmd/shaveet

.PHONY: test
test: ready ## check everything in its quick form, about ten minutes on two cores
	@$(MAKE) -j2 --output-sync=target lint test-client # one computes, the other waits for browsers
	@$(MAKE) test-go

.PHONY: lint
lint: ## gofmt, go vet, staticcheck
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l); \
	  test -z "$$unformatted" || { echo "gofmt would change: $$unformatted"; exit 1; }
	go vet ./...
	go vet -C tools ./...
	$(STATICCHECK) ./...

# The program that the black-box tests start, with the race detector in it.
.PHONY: race-bin
race-bin:
	@go build -race -o bin/shaveet-race ./cmd/shaveet

# Prints a line for each package, all that a failed test said, and the counts.
.PHONY: testsummary
testsummary:
	@go build -C tools -o $(CURDIR)/bin/testsummary ./testsummary

# Without vet, which lint has called for all of it. Three packages at once, since
# those with a browser or a server beside them wait for most of the time; and these
# first, since they take longest.
.PHONY: test-go
test-go: race-bin testsummary
	go test -C tools -count 1 ./... # deploytest reads files that are not of its module, whose changes go does not see
	SHAVEET_BIN=$(CURDIR)/bin/shaveet-race go test -race -vet=off -p 3 -timeout 9m -json ./tests/... ./cmd/... ./deploy/... ./examples/... ./... | bin/testsummary

.PHONY: test-client
test-client: race-bin
	$(NPM) run check
	$(NPM) test
	SHAVEET_BIN=$(CURDIR)/bin/shaveet-race $(NPM) run test:browser

.PHONY: test-long
test-long: ready lint race-bin testsummary ## the full counts, every fuzz target, concurrent tests and all promises of transports fifty times; some hours
	$(MAKE) test-client fuzz
	SHAVEET_BIN=$(CURDIR)/bin/shaveet-race go test -race -timeout 60m -run Concurrent -count 50 ./...
	go test -race -timeout 60m -run 'Promises|Moves' -count 50 ./server/transport/... ./tests/transports
	SHAVEET_LONG=1 SHAVEET_BIN=$(CURDIR)/bin/shaveet-race go test -race -timeout 60m -json ./... | bin/testsummary

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (60s)
	@scripts/fuzz.sh $(FUZZTIME)

# Everything that docs/performance.md tells. Nothing else should run meanwhile.
# Flags for less: make bench BENCH='--quick' takes a minute and writes nothing.
BENCH ?=
.PHONY: bench
bench: build ## measure all workloads, write docs/performance.md and say what has changed; 20 minutes
	@scripts/deps.sh check bench || scripts/deps.sh install bench || true # what cannot be measured is told
	go run ./bench/report --shaveet bin/shaveet $(BENCH)

.PHONY: bench-peers
bench-peers: build ## measure side by side with Nchan and Socket.IO, write docs/peers.md; 15 minutes
	@scripts/deps.sh check peers || scripts/deps.sh install peers
	go run ./bench/report --shaveet bin/shaveet --peers $(BENCH)

.PHONY: bench-cluster
bench-cluster: ready build ## measure nodes on one Redis, for docs/scaling.md; 10 minutes
	SHAVEET_BIN=$(CURDIR)/bin/shaveet go test -run '^$$' -bench . -benchtime 1x -timeout 1h ./bench/cluster

# No server runs, so whatever else runs does not matter.
.PHONY: storm
storm: ## simulate reconnect storms, and write docs/storm.md with its plots; two minutes
	go run ./bench/storm/run

# Not with the race detector: it is the server as it is that is measured.
.PHONY: soak
soak: build ## hold 10,000 readers that come and go for SOAKTIME (30m), and write docs/soak.md
	SHAVEET_SOAK=$(SOAKTIME) SHAVEET_SOAK_RESULT=$(CURDIR)/docs/soak.md SHAVEET_BIN=$(CURDIR)/bin/shaveet go test -count 1 -run Soak -timeout 12h -v ./tests/edges

# Not with the race detector either: three nodes, Redis and eight thousand readers
# share the machine. SHAVEET_SEED=n has other things happen.
.PHONY: torture
torture: ready build ## let happen to three nodes on one Redis what can, for TORTURETIME (10m), and write docs/torture.md
	SHAVEET_TORTURE=$(TORTURETIME) SHAVEET_TORTURE_RESULT=$(CURDIR)/docs/torture.md SHAVEET_BIN=$(CURDIR)/bin/shaveet go test -count 1 -run Torture -timeout 12h -v ./tests/torture/cluster

# How to read the figures: times are of this machine at this moment, so compare
# two versions by running them in turn (benchstat does the sums); allocs/op and
# B/op are the same everywhere. What each benchmark measures, and the metrics
# of its own that it prints, is said where it is written.
.PHONY: bench-go
bench-go: ## run the Go benchmarks
	go test -run '^$$' -bench . -benchmem -timeout 30m $$(git grep -l --untracked '^func Benchmark' -- '*_test.go' ':!bench/cluster' | xargs -n1 dirname | sort -u | sed 's|^|./|')

.PHONY: cover
cover: ## measure what the Go tests cover
	go test -coverpkg=./... -coverprofile=coverage.out ./...
	go tool cover -func=coverage.out | tail -1

.PHONY: client
client: ## build client-js/dist
	$(NPM) run build

.PHONY: docker
docker: ## build the container image
	docker build --build-arg VERSION=$(VERSION) -t shaveet:$(VERSION) .

.PHONY: clean
clean: ## remove what building leaves behind
	rm -rf bin coverage.out

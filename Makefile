# playnode: what a person types. Everything a target needs it installs or
# builds itself; what outlives a clone is kept in $PLAYNODE_CACHE
# (default ~/.cache/playnode) and in Go's own caches.

SHELL := /bin/bash
GO ?= go
FUZZTIME ?= 60s
SOAK ?= 24h
CHANNEL ?= 12h
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)

.DEFAULT_GOAL := help
.PHONY: help run build test check interop fuzz vectors arm bench soak channel testnet swarm music dist clean

help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## hear it: a DJ, a venue and an archivist on this machine (FILES="a.mp3 b.flac" for your own)
	bin/playnode demo $(FILES)

build: ## bin/playnode
	CGO_ENABLED=0 GOEXPERIMENT=runtimesecret $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/playnode ./cmd/playnode

test: build ## every test of ours, raced where things happen at once; installs what it needs
	@scripts/test

check: ## formatting, vet, staticcheck, walls, package docs, cross builds
	@scripts/check

interop: build ## our bytes in the hands of stock Kubo, IPFS Cluster, age and npm readers
	@scripts/interop

fuzz: ## every fuzz target, FUZZTIME each (60s), eight a core at once
	@scripts/fuzz $(FUZZTIME)

vectors: ## the ISO conformance streams of mp3 (MP3_VECTORS=DIR holds them)
	@scripts/vectors

arm: ## the tests of internal/audio as arm64 and arm, under qemu
	@scripts/arm

bench: build ## measures this machine against Kubo, age and HTTP: BENCH.md (SECTION=leases,import,on-air for those alone)
	@scripts/bench $(SECTION)

soak: ## a day of playing with faults thrown in, and seven days offline, on a fast clock (SOAK=24h)
	PLAYNODE_SOAK=$(SOAK) $(GO) test ./player -run 'TestSoak|TestWeekOffline' -v -count=1 -timeout 3h

channel: ## channels that roll for twelve hours on a virtual clock: memory and disks of a DJ, a venue and an archivist (CHANNEL=12h)
	PLAYNODE_CHANNEL=$(CHANNEL) $(GO) test ./daemon -run TestAChannelRolls -v -count=1 -timeout 3h

testnet: ## the lived scenarios (SCENARIO="name ..." for some), by a build whose clock can be set
	CGO_ENABLED=0 $(GO) build -trimpath -tags testclock -ldflags '$(LDFLAGS)' -o bin/playnode-testclock ./cmd/playnode
	bin/playnode-testclock testnet run $(SCENARIO)

swarm: build ## swarms and sets on air on a virtual clock, up to 1,000 venues, into BENCH.md, and some simulated beside real programs (SWARM='{"Venues":50}', LIVE=...)
	@scripts/swarm

music: ## renders the demo's tracks anew
	@scripts/need lame flac
	$(GO) generate ./testnet/music

dist: ## stripped binaries for every platform, with checksums, in dist/
	@LDFLAGS='$(LDFLAGS)' scripts/dist

clean: ## removes what was built here
	rm -rf bin dist

# Everything here needs Go and, but for build, lint and bench, root. Nothing else
# has to be installed: what a target needs beyond that it installs or builds.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  = -s -w -X github.com/xlvs/xlvs/control.Version=$(VERSION)

.PHONY: help build demo test race lint fuzz bench flood profile generate vm-test clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the static binary ./xlvs
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o xlvs ./cmd/xlvs

demo: build ## show the director at work on real traffic, between namespaces (root, under 40 s)
	./xlvs demo

test: ## run all tests (root, under 3 minutes); FLAGS=-v tells of each
	$(GO) test $(FLAGS) ./...

race: ## run all tests under the race detector (root)
	$(GO) test -race $(FLAGS) ./...

lint: ## gofmt, vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not gofmt'ed: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

FUZZTIME ?= 30s
fuzz: ## run each fuzz target for FUZZTIME (30s)
	@$(GO) list ./... | while read -r package; do \
	  $(GO) test -list '^Fuzz' $$package | grep '^Fuzz' | while read -r target; do \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
	  done || exit 1; \
	done

bench: ## what the balancer's own work costs, ns per packet
	$(GO) test -run '^$$' -bench '^BenchmarkForward$$' ./dataplane

flood: build ## spoofed floods of a minute beside real clients (root, half an hour)
	./xlvs bench flood --kinds syn,syn-ack,udp-2,syn-6,syn-ack-6 --rates 10000,100000,0 --links own,shared --duration 1m
	./xlvs bench flood --kinds revisit --rates 0 --duration 1m

profile: ## record the profile that the compiler optimises the packet path by (a minute, on a quiet machine)
	$(GO) test -run '^$$' -bench 'Forward/.*ipv4' -benchtime 3000000x -cpuprofile $(CURDIR)/cmd/xlvs/default.pgo -o /dev/null ./dataplane

generate: ## rebuild the BPF objects (installs clang from Debian if it is missing)
	.ci/install-clang
	$(GO) generate ./bpf ./perf/wire

vm-test: ## tests in a virtual machine with a newer kernel, IPVS and zero-copy NICs (minutes)
	internal/vm/run

clean: ## remove what was built and downloaded
	rm -rf xlvs .cache

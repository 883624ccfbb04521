# Corbie: `make run` to look at it, `make test` to check it. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help

GOLANGCI := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
DEADCODE := go run golang.org/x/tools/cmd/deadcode@v0.52.0
FUZZTIME ?= 10s
PREFIX ?= /usr/local

.PHONY: help build install run demo test lint bench fuzz peers clean golden

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

build: ## build bin/corbie (the master), bin/corbie-node (the agent, static) and bin/corbie-fleet (simulated nodes)
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o bin/corbie-node ./cmd/corbie-node
	go build -trimpath -o bin/corbie ./cmd/corbie
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o bin/corbie-fleet ./cmd/corbie-fleet

install: ## put what make build made below PREFIX (/usr/local), with units, plugins and /etc/corbie; DESTDIR goes in front
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' ./.ci/install

run: build ## build, then run a node and a master on loopback with this machine's graphs
	@./.ci/try

demo: build ## build, then serve thirty made-up hosts with a year of history at 127.0.0.1:8080 (PORT=18080 for another port)
	@mkdir -p var
	@exec bin/corbie demo --dir var/demo --listen 127.0.0.1:$${PORT:-8080}

peers: ## install the programs that tests talk to (as root, by apt)
	@./.ci/peers

test: peers ## run every test
	go test -race -timeout 20m ./...

lint: ## formatting, vet, linters, dead code, tidy modules
	go mod tidy -diff
	$(GOLANGCI) run --config .ci/golangci.yml ./...
	@dead=$$($(DEADCODE) -test ./...); if [ -n "$$dead" ]; then echo "$$dead"; exit 1; fi

bench: build peers ## print the figures that the documentation claims, side by side with the peers
	go test -run '^$$' -bench . -benchtime 1x -timeout 60m ./cmd/...
	go test -run '^$$' -bench . -benchtime 1s -timeout 30m ./storage/...
	go test -run '^$$' -bench . -benchtime 20x -timeout 30m ./ui
	go test -run '^$$' -bench . -benchtime 1x -timeout 30m ./ui/chart/paint

fuzz: ## run every fuzz target for FUZZTIME (10s)
	@./.ci/fuzz $(FUZZTIME)

golden: ## rewrite the expected outputs; read the diff before you commit it
	go test ./plugins ./ui/chart ./ui/report ./alerts ./master/config -update

clean: ## remove what was built and the data of make run
	rm -rf bin var

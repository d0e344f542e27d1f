# A few words to type; each prints what it does. The work is in ci/.

.DEFAULT_GOAL := help
.PHONY: help demo cluster test test-kernels lint bench sim-check ci clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Install what is missing, build, run a thousand nodes, say where the report is
	@ci/setup
	@ci/demo

cluster: ## Build agent, plugin and terway-e2e, start three nodes on this machine's kernel (root)
	@ci/setup
	@ci/cluster

test: ## All tests, the vendor's SDK, the shipped plugin, the deliberate bugs that must be caught, the corpus
	@bash .ci/run 00 40 42 45 50 70

test-kernels: ## The eBPF programs on Debian's kernels 6.1 and 6.12, in virtual machines
	@bash .ci/run 00 48

lint: ## Format, lints, documentation, licences
	@bash .ci/run 00 10 20 25 30

sim-check: ## Same seed, same trace; corpus; forty seeds; a thousand nodes
	@bash .ci/run 00 60 70 80 90

bench: ## Benches of the agent, the planner, the cloud client and the endpoint
	@ci/setup
	@bash -c 'source ci/lib.sh && cargo bench --locked -p terway-benches'

ci: ## Everything, as a change is judged
	@bash .ci/run

clean: ## Remove what was built, reports included
	@bash -c 'source ci/lib.sh && cargo clean && rm -rf target'

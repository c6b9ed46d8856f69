# Directions: make help lists what there is.  Everything installs what it needs first (install.sh).

NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))
FIGURES   := 1a 2a
PRESET    := quick
DATA      := mnist
NBTEST    := .venv/bin/python kernels/nbtest.py

.DEFAULT_GOAL := help
.PHONY: help install demo test lint lab notebooks figures bench clean uninstall FORCE

help: ## list the targets
	@awk -F ':.*## ' '/^[^\t ]+:.*## / { printf "make %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## set up this clone: tools, Jupyter, XLA (./install.sh --help)
	@./install.sh

demo: install ## train, ablate and draw on the embedded digits, then run the first notebook; minutes
	.bin/directions demo
	@$(NBTEST) -o out -t 600 notebooks/00_start_here.ipynb
	@echo && echo "Pictures and the executed notebook, in out/:" && ls out/*.png out/*.ipynb

test: install ## every test; make test SKIP="notebooks race" leaves stages out
	@SKIP="$(SKIP)" .ci/test.sh

lint: install ## formatting, vet and staticcheck only
	@.ci/test.sh format vet staticcheck scripts

lab: install ## JupyterLab on 127.0.0.1 with the kernel "Directions (Go)"
	@kernels/lab.sh

notebooks: install ## execute all notebooks in place
	$(NBTEST) -o notebooks -t 7200 $(NOTEBOOKS)

notebooks/%.ipynb: install FORCE ## execute one notebook in place
	$(NBTEST) -o notebooks -t 7200 $@

figures: install ## compute and draw the paper's figures; make figures FIGURES=1a PRESET=smoke
	for figure in $(FIGURES); do .bin/directions figure $$figure --preset $(PRESET) --data $(DATA) || exit; done

bench: install $(if $(PEER_PYTHON),,bench/.venv/.stamp) ## side by side with PyTorch and Captum; make bench ONLY=1,2 or QUICK=1
	PATH="$(CURDIR)/.bin:$$PATH" go run ./bench $(if $(QUICK),-quick) $(if $(ONLY),-only $(ONLY)) \
		$(if $(PEER_PYTHON),-python $(PEER_PYTHON)) $(ARGS)

bench/.venv/.stamp: bench/requirements.txt
	rm -rf bench/.venv
	$(or $(PYTHON),python3) -m venv bench/.venv
	bench/.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r $<
	touch $@

clean: ## remove what runs left in this clone; not data, runs or results
	rm -rf out executed notebooks/*.log notebooks/*.failed.ipynb notebooks/.ipynb_checkpoints kernels/__pycache__

uninstall: ## remove .bin, .venv and XLA; not data, runs or results
	@./install.sh --uninstall

PYTHON ?= python3
BIN := .venv/bin

.PHONY: install test check fix images image first manifests docs rules-page rules-report bench bench-growth fuzz properties clean

install: .venv/complete  ## leakscan and all that its tests need, in .venv

.venv/complete: pyproject.toml
	$(PYTHON) -m venv .venv && $(BIN)/pip install --quiet --editable '.[dev]' && touch $@

test: install  ## the whole suite; tests of a real engine need root and Debian's docker.io
	$(BIN)/python -m pytest --numprocesses 2

check: install  ## lint, types, and the floors of docs/architecture.md
	$(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/python -m pytest --quiet tests/test_floors.py

fix: install  ## what the linter can mend by itself
	$(BIN)/ruff check --fix .

images: install  ## build every case of testimages with the engine of DOCKER_HOST
	$(BIN)/python -m testimages.build

image: install  ## leakscan's own image, leakscan:own, with the engine of DOCKER_HOST
	$(BIN)/python -m testimages.own_image

first: install  ## make the image of README's first command anew
	$(BIN)/python testimages/first/make.py

rules-page: install  ## docs/rules.md from the rule pack
	$(BIN)/leakscan rules list --format markdown > docs/rules.md.new && mv docs/rules.md.new docs/rules.md

rules-report: install  ## what each rule costs the first pass, and how often it fires, on SAMPLE=image.tar or a directory
	$(BIN)/python -m bench.rules_report $(SAMPLE)

manifests:  ## deploy/kubernetes from the chart; needs helm
	helm template leakscan deploy/helm/leakscan --namespace leakscan --values deploy/kubernetes/values.yaml \
	  --set webhook.enabled=false > deploy/kubernetes/leakscan.yaml
	helm template leakscan deploy/helm/leakscan --namespace leakscan --values deploy/kubernetes/values.yaml \
	  --show-only templates/webhook.yaml > deploy/kubernetes/webhook.yaml

docs: install  ## docs/options.md and the manual page, from --help
	$(BIN)/python docs/make_reference.py

bench: install  ## stages of a scan of ARCHIVE=image.tar, then whole processes as ratios; MORE="--image NAME --kingfisher"
	@test -n "$(ARCHIVE)" || { echo "say which: make bench ARCHIVE=image.tar"; exit 2; }
	$(BIN)/python -m bench.stages $(ARCHIVE) --save
	$(BIN)/python -m bench.compare $(ARCHIVE) --cached --save $(MORE)

bench-growth: install  ## cost by bytes and by members, with a plot
	$(BIN)/python -m bench.growth --save

fuzz: install  ## ten minutes of mutants; failures are kept in build/fuzz
	$(BIN)/python -m bench.fuzz

properties: install  ## the properties of the suite with examples drawn anew, five times as many
	$(BIN)/python -m pytest --quiet --numprocesses 2 --hypothesis-profile drawn $$(grep --files-with-matches "^from hypothesis import.* given" tests/*.py)

clean:  ## what the targets above leave behind
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info

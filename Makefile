# Everything runs in .venv; nothing is needed beforehand but Python >= 3.11 and a C compiler.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ../shared/data
FUZZ_SECONDS ?= 20
SOAK_SECONDS ?= 300
# Tests of one file run in one process, files beside each other.
PYTEST := $(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: demo test lean wheel soak lint asan tsan fuzz clean

demo: $(VENV)/ready
	@mkdir -p out
	@$(BIN)/python -c "from skimage import data; from PIL import Image; \
	    Image.fromarray(data.astronaut()).save('out/photo.png')"
	$(BIN)/dcn encode --force --json --metrics out/photo.png out/photo.dcn
	$(BIN)/dcn decode --force out/photo.dcn out/photo-decoded.png
	$(BIN)/dcn info out/photo.dcn

test: $(VENV)/ready
	$(MAKE) --jobs 2 --output-sync=target lint asan tsan fuzz
	$(MAKE) lean
	$(PYTEST)

# What works without the extras, with torch kept away.
lean: $(VENV)/ready
	DCN_TESTS_WITHOUT_TORCH=1 $(PYTEST) tests/cli tests/dcncodec tests/formats

# What `pip install` installs, and what it builds the C cores from.
wheel: $(VENV)/ready
	rm -rf build/lib* build/bdist*
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .
	$(BIN)/python -c "from setuptools import build_meta; build_meta.build_sdist('dist')"
	$(BIN)/python packaging/forensics_wheel.py dist

# What takes longer than a minute, before a release; tests with a time of their own get
# SOAK_SECONDS.
soak: $(VENV)/ready
	SOAK_SECONDS=$(SOAK_SECONDS) $(BIN)/python -m pytest -m soak --timeout 1800

# mypy does not follow editable installs: give it the package as it looks when installed.
lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@rm -rf build/house && mkdir -p build/house/dcncodec
	@ln -s $(CURDIR)/dcncodec/* build/house/dcncodec/
	@ln -s $(CURDIR)/formats $(CURDIR)/models $(CURDIR)/cli $(CURDIR)/bench build/house/dcncodec/
	MYPYPATH=build/house $(BIN)/mypy -p dcncodec
	$(BIN)/clang-format --dry-run --Werror csrc/*/*.c csrc/*/*.h csrc/*.h

# The C cores on mutated input under AddressSanitizer and UBSan.
asan:
	$(MAKE) -C csrc/fse asan SECONDS=$(FUZZ_SECONDS)
	$(MAKE) -C csrc/context asan SECONDS=$(FUZZ_SECONDS)
	$(MAKE) -C csrc/jpeg asan SECONDS=$(FUZZ_SECONDS)
	$(MAKE) -C csrc/net asan SECONDS=$(FUZZ_SECONDS)
	$(MAKE) -C csrc/png asan SECONDS=$(FUZZ_SECONDS)
	$(MAKE) -C csrc/ssim asan SECONDS=$(FUZZ_SECONDS)

# Those that have threads, under ThreadSanitizer.
tsan:
	$(MAKE) -C csrc/fse tsan SECONDS=$(FUZZ_SECONDS)
	$(MAKE) -C csrc/context tsan SECONDS=$(FUZZ_SECONDS)
	$(MAKE) -C csrc/net tsan SECONDS=$(FUZZ_SECONDS)

# Coverage-guided, where clang is installed.
fuzz:
	@if command -v clang >/dev/null; then \
	    $(MAKE) -C csrc/fse fuzz SECONDS=$(FUZZ_SECONDS) && \
	    $(MAKE) -C csrc/context fuzz SECONDS=$(FUZZ_SECONDS) && \
	    $(MAKE) -C csrc/jpeg fuzz SECONDS=$(FUZZ_SECONDS) && \
	    $(MAKE) -C csrc/net fuzz SECONDS=$(FUZZ_SECONDS) && \
	    $(MAKE) -C csrc/png fuzz SECONDS=$(FUZZ_SECONDS) && \
	    $(MAKE) -C csrc/ssim fuzz SECONDS=$(FUZZ_SECONDS); \
	else \
	    echo "fuzz: clang is not installed, skipped"; \
	fi

$(VENV)/ready: pyproject.toml setup.py constraints.txt $(wildcard csrc/*/*.[ch] csrc/*/*.py)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build out *.egg-info dcncodec/_*.so
	rm -f $(foreach core,fse context jpeg net png ssim,dcncodec/_$(core).c)
	find . -name __pycache__ -prune -exec rm -rf {} +

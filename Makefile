# The commands of the project. `make demo` and `make test` need a Debian 12 machine with rustup; see README.md.

MODEL ?= tests/models/real_crepe_tiny.dyn.pt2
WAV ?=
PT2C := target/release/pt2c
PYTHON ?= python3


.PHONY: setup build demo test valgrind test-models test-python wheel conformance roundtrip bless bench bench-peers fuzz clean

setup:
	@scripts/setup.sh

build: setup
	cargo build --release --package pt2c

# A trained pitch tracker becomes a library, is linked into a C program and hears a tone (or WAV=file.wav).
demo: build
	$(PT2C) compile $(MODEL) --name crepe -o out
	cc -O2 -std=c99 -Wall -Wextra -Iout demo/pitch.c out/libcrepe.a -lm -lpthread -o out/pitch
	out/pitch $(WAV)

test: setup
	cargo test --release --workspace

# Every recorded program with dynamic sizes under valgrind, at 1, odd sizes and the bounds: no invalid read or write.
valgrind: setup
	PT2C_VALGRIND=all cargo test --release --package pt2c --test library valgrind

# The checks of the recorded programs over any folder: PT2C_MODELS=DIR make test-models
test-models: setup
	cargo test --release --package pt2c --test models

# The Python package with the command in it: python/dist/*.whl. Needs Python with `build` (PyPI).
wheel: build
	mkdir -p python/pt2c/bin
	strip $(PT2C) -o python/pt2c/bin/pt2c
	rm -rf python/dist
	$(PYTHON) -m build --wheel --outdir python/dist python

# The package's tests and the examples of docs/python.md, with the wheel installed into an environment of their own (PyTorch
# and NumPy come from PyPI).
PYTHON_VENV ?= target/python
test-python:
	test -d $(PYTHON_VENV) || { $(PYTHON) -m venv $(PYTHON_VENV) && \
		$(PYTHON_VENV)/bin/pip install -q build numpy torch pytest safetensors onnxruntime; }
	$(MAKE) wheel PYTHON=$(abspath $(PYTHON_VENV))/bin/python
	$(PYTHON_VENV)/bin/pip install -q --force-reinstall --no-deps python/dist/*.whl
	$(PYTHON_VENV)/bin/python -m pytest -q python/tests

# PyTorch's whole operator database, exported, compiled, compared; rewrites docs/conformance.md. Needs Python with torch and
# safetensors (see tests/conformance/README.md); exports are kept in CACHE, N samples for each operator and dtype.
CACHE ?= target/conformance
N ?= 8
conformance: build
	$(PYTHON) tests/conformance/run.py --pt2c $(PT2C) --cache $(CACHE) --max-samples-per-op-dtype $(N) \
		--table docs/conformance.md

# The operator database with every dimension dynamic (`Dim.AUTO`), each program called at its sizes, 1, 2, 7, one more, twice and
# one more, and the recorded bounds: float32, three samples an operator; rewrites docs/conformance_shapes.md.
conformance-shapes: build
	$(PYTHON) tests/conformance/run.py --pt2c $(PT2C) --cache $(CACHE) --max-samples-per-op-dtype 3 --dtypes f32 --dynamic \
		--table docs/conformance_shapes.md

# Architectures of torchvision, timm, transformers, audio and graph networks, static and dynamic; rewrites docs/zoo.md. Needs
# Python with torch, torchvision, timm, transformers and safetensors; exports stay in ZOO.
ZOO ?= target/zoo
zoo: build
	test -d $(ZOO) || $(PYTHON) tests/models/export_zoo.py $(ZOO)
	$(PYTHON) tests/models/zoo_table.py $(ZOO) --pt2c $(PT2C) --only '^(tv|timm|hf|graph|audio|series|detect|rank|image)_' \
		--table docs/zoo.md

# Writes every program of the folders and compares, in PyTorch, with the original: exact as it is, close when functional and
# when decomposed; then programs made in Rust. Needs Python with torch and safetensors (PYTHON=...). Any other folders of
# programs: make roundtrip FOLDERS="zoo models".
FOLDERS ?= tests/models $(addprefix tests/models/,dynamic effects examples modules versions)
ROUNDTRIP = $(PYTHON) tests/export_roundtrip/roundtrip.py
roundtrip: build
	$(ROUNDTRIP) $(FOLDERS) --convert "$(PT2C) convert"
	$(ROUNDTRIP) $(FOLDERS) --convert "$(PT2C) convert" --args=--functional --tolerance 1e-5
	$(ROUNDTRIP) $(FOLDERS) --convert "$(PT2C) convert" --args=--decompose --tolerance 1e-4
	cargo run --release --package pt2c-pt2 --example build_programs target/built
	$(ROUNDTRIP) target/built --recorded --tolerance 1e-5

# Rewrites the expected output of golden tests; review the difference before you commit it.
bless: setup
	PT2C_BLESS=1 cargo test --release --package pt2c-lit --package pt2c-pt2
	PT2C_BLESS=1 cargo test --release --package pt2c-passes --test support

# Random programs beyond those of `make test`: text form, fusion and lowering. A failure prints its seed (PT2C_SEED=…).
fuzz: setup
	PT2C_FUZZ=$${PT2C_FUZZ:-20000} cargo test --release --package pt2c-ir --test text -- --nocapture
	PT2C_FUZZ=$${PT2C_FUZZ:-20000} PT2C_SEED=$${PT2C_SEED:-$$(date +%s)} \
		cargo test --release --package pt2c-kernel --test random -- --nocapture

# The table of README.md; needs Python with torch and onnxruntime (see bench/README.md).
bench: build
	python3 bench/compare.py tests/models --pt2c $(PT2C)

# Installs the other runtimes (PyPI, about 8 GB), exports the benchmark's programs and measures everything interleaved,
# into target/bench. PEERS and PROGRAMS (a regular expression) choose; THREADS=1,2 for several counts.
BENCH := target/bench
PEERS ?= aotinductor,onnxruntime,openvino,executorch
PROGRAMS ?= ^bench_(mlp|mobilenet_v2|resnet50|bert_base|gpt2|gpt2_decode|vit_b_16)$$
THREADS ?= 1
bench-peers: build
	test -d $(BENCH)/venv || { python3 -m venv $(BENCH)/venv && $(BENCH)/venv/bin/pip install -q torch torchvision \
		timm transformers onnx onnxscript onnxruntime openvino safetensors; }
	case ,$(PEERS), in *,executorch,*) test -d $(BENCH)/executorch || { python3 -m venv $(BENCH)/executorch && \
		$(BENCH)/executorch/bin/pip install -q executorch torchvision transformers safetensors; };; esac
	$(BENCH)/venv/bin/python tests/models/export_zoo.py $(BENCH)/models --large --only '$(PROGRAMS)'
	$(BENCH)/venv/bin/python bench/compare.py $(BENCH)/models --only '$(PROGRAMS)' --peers $(PEERS) --threads $(THREADS) \
		--executorch-python $(BENCH)/executorch/bin/python --cache $(BENCH)/converted --pt2c $(PT2C) \
		--json $(BENCH)/peers.json --svg $(BENCH)/peers.svg | tee $(BENCH)/peers.md

clean:
	rm -rf out target

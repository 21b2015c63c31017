# The commands of the project. Each is one line; logic is Python in tools/.

bin := justfile_directory() / ".venv/bin"
export PATH := bin + ":" + env("PATH")

# Show the recipes.
default:
    @just --list

# Everything quick: style, types, contracts, unit and interaction tests.
check:
    @python tools/run_tests.py format lint types contracts unit interaction

# All stages, or those named.
test *STAGES:
    @./run-tests {{STAGES}}

# The simulator: all seeds of the suite, or one seed again.
sim SEED="":
    @{{ if SEED == "" { "pytest -q tests/simulation -n 2" } else { "python -m twofold.testing " + SEED } }}

# One conformance suite by name, or all.
conformance NAME="":
    @pytest -q tests/conformance -k "{{NAME}}"

# One system test by name, or all.
system NAME="":
    @pytest -q tests/system -k "{{NAME}}"

# One benchmark.
bench NAME *ARGUMENTS:
    @python -m bench.{{NAME}} {{ARGUMENTS}}

# Build the Go peers (etcd, kube-apiserver, ...), or one of them.
peers *NAME:
    @python tools/build_peers.py {{NAME}}

# Check that the docs' links, tables and lengths are true.
docs:
    @pytest -q tests/unit/tools/test_docs.py

# Regenerate the expected text of the interaction scripts; review the diff.
rewrite:
    @TWOFOLD_REWRITE=1 pytest -q tests/interaction

# Format and mend what can be mended.
format:
    @ruff format . && ruff check --fix .

# Write requirements.lock anew from pyproject.toml (needs uv).
lock:
    @uv export --all-groups --all-extras --no-hashes --no-annotate --no-header --no-emit-project -q -o requirements.lock

# Start a decision record.
decision +TITLE:
    @python tools/new_decision.py {{TITLE}}

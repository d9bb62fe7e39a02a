# Every recipe, for people, CI and docs alike. `./dev NAME` finds or installs what a recipe needs and runs it.

set positional-arguments

export RUST_BACKTRACE := env("RUST_BACKTRACE", "1")

# List the recipes
default:
    @just --list --unsorted

# Talk with Clara in this terminal; arguments go to `clara chat`
chat *args:
    @scripts/build-clara
    @target/debug/clara chat "$@"

# Run any clara command: `./dev clara doctor`
clara *args:
    @scripts/build-clara
    @target/debug/clara "$@"

# Every test, on real servers; arguments go to cargo test
test *args:
    scripts/test "$@"

# Kill, freeze, cut off and flood her, and count: exactly one answer each? `./dev chaos --help`
chaos *args:
    @cargo build --quiet --workspace --bins --features tool-runner/chaos
    @target/debug/chaos "$@"

# Plant three bugs that the chaos suite must find; fails if one goes unnoticed
mutations:
    scripts/mutations

# Measure her against the bus she runs on; optimised build. `./dev bench --help`
bench *args:
    @cargo build --quiet --release --workspace --bins
    @target/release/bench "$@"

# How much of what was said does she find? A file of LoCoMo's form; `./dev eval-memory --help`
eval-memory *args:
    @scripts/eval-memory "$@"

# How often is the tool that is needed among the first? JSON lines; `./dev eval-tools --help`
eval-tools *args:
    @scripts/eval-tools "$@"

# How long does she need to find what she remembers? Optimised build. `./dev bench-memory --help`
bench-memory *args:
    @cargo build --quiet --release -p memory -p integration-tests --bin memory --bin bench-memory
    @target/release/bench-memory "$@"

# What does a call of a tool cost over the bare call? Optimised build. `./dev bench-tools --help`
bench-tools *args:
    @cargo build --quiet --release -p tool-runner -p integration-tests --bin tool-runner --bin bench-tools
    @CLARA_TEST_MCP_FOLDER=$(scripts/mcp-servers) target/release/bench-tools "$@"

# Format, lints, tests, docs: green before a change lands
check: fmt-check lint test doc

# Format the code
fmt:
    cargo fmt --all

fmt-check:
    cargo fmt --all --check

lint:
    cargo clippy --workspace --all-targets --quiet -- --deny warnings

doc:
    RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --quiet

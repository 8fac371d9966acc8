#!/usr/bin/env bash
# What takes a GPU: builds and runs it. Every layout and size of element on random data, each way that bytes can take; several streams; two
# processes and one cache; a memory checker, where it is installed; the crossover; a table of what is moved how fast.
#
#   tests/gpu.sh            on a machine with a GPU and its driver
#   tests/gpu.sh --smoke    on the fake driver of the tests: that the script and its programs work. No figure is printed.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never

smoke=
profile=(--release)
if [ "${1:-}" = --smoke ]; then
  smoke=1
  profile=(--profile dev)
  fake=$(mktemp -d)
  trap 'rm -rf "$fake"' EXIT
  c++ -std=c++17 -O1 -shared -fPIC -pthread -o "$fake/libcuda.so" tests/device/fake_driver/*.cpp
fi

# The path of the program that cargo builds for a target. It builds the command line, too, and says so in any order.
program() {
  cargo "$@" --no-run --message-format=json | grep -F "\"kind\":[\"$1\"]" | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
}

# Runs tests and shows how they ended: all that was said where one failed, and where there was none of that name.
run_tests() {
  local said
  if ! said=$("$@" 2>&1) || ! grep -q '^test result: ok\. [1-9]' <<<"$said"; then
    printf '%s\n%s\n' "$said" "failed, or no test was run: $*" >&2
    exit 1
  fi
  grep -E '^test result|ERROR SUMMARY' <<<"$said"
}

tests=$(program test "${profile[@]}" --test device)
bench=$(program bench "${profile[@]/--release/--profile=bench}" --bench device)

if [ -n "$smoke" ]; then
  export LD_LIBRARY_PATH=$fake
else
  nvidia-smi --query-gpu=name,driver_version,pcie.link.gen.current,pcie.link.width.current --format=csv
fi
# From here on, no device is a failure.
export LMCACHE_GPU=1

for mode in mixed engine kernel "engine, unregistered" "kernel, unregistered" "kernel, in two parts"; do
  echo "== every layout: $mode"
  for theme in reference lmcache planes; do
    run_tests env LMCACHE_FAKE_MODE="$mode" "$tests" --test-threads=1 "$theme::"
  done
done
echo "== streams, two processes"
"$bench" check ipc
if [ -n "$smoke" ]; then
  echo "== memory checker: not of the fake driver, which checks memory itself"
elif command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck; do
    echo "== memory checker: $tool"
    for theme in lmcache planes; do
      run_tests env LMCACHE_FAKE_MODE=kernel compute-sanitizer --tool "$tool" --error-exitcode 1 \
        "$tests" --test-threads=1 "$theme::"
    done
    compute-sanitizer --tool "$tool" --error-exitcode 1 "$bench" --test check | tail -n 3
  done
else
  echo "== memory checker: compute-sanitizer is not installed, so nothing was checked"
fi
echo "== crossover and table"
"$bench" calibrate table

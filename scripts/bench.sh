#!/bin/bash
# Builds and runs the benchmarks of the host store and of the locks: scripts/bench.sh --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh
source scripts/build.sh

if [[ ${1:-} == --help ]]; then
  cat <<'TEXT'
usage: scripts/bench.sh [--help | OPTION...]

Builds optimised and runs the benchmarks of the host store beside memcpy, the kernel's page cache and
fio; then, unless --only chooses rows, those of the gate. Prints a table; the JSON goes to
out/bench.json unless --json names another file, and to out/gate.json. Needs fio for the rows of
misses, and the right to make a memory cgroup for the passes. About ten minutes, on a machine with
nothing else to do.

The options go to quire_bench:
TEXT
fi

build release quire_bench gate_bench
program=$(build_dir release)/bin/quire_bench
if [[ ${1:-} == --help ]]; then
  exec "$program" --help
fi
mkdir -p out
json=(--json out/bench.json)
gate=yes
for option in "$@"; do
  case $option in
    --json*) json=() ;;
    --only*) gate=no ;;
  esac
done
"$program" "${json[@]}" "$@"
((${#json[@]} == 0)) || echo "JSON: ${json[1]}"
if [[ $gate == yes ]]; then
  printf '\nThe gate: an add pair at 1 thread shall take at most 15 ns.\n'
  "$(build_dir release)/bin/gate_bench" --benchmark_out=out/gate.json
fi

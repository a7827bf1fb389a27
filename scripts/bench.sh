#!/bin/bash
# Builds and runs the benchmarks of the host store, of the mount, of the locks and of the strategies that use
# them: scripts/bench.sh --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/common.sh
source scripts/build.sh

if [[ ${1:-} == --help ]]; then
  cat <<'TEXT'
usage: scripts/bench.sh [--help | [--halt-poll NS] [host | mount | gate | locking | mapping] [OPTION...]]

Builds optimised and runs, in this order, unless one of them is named:
  host   the host store beside memcpy, the kernel's page cache and fio
  mount  a mounted directory beside one that a do-nothing daemon serves, and beside the disk's own file
         system; where libfuse3 is installed
  gate   the locks; not if --only chooses rows
  locking  the four locking strategies of a cache; not if --only chooses rows, unless it is named. Draws
         out/locking.svg
  mapping  page faults of mapped files, and sweeps over them, beside the kernel's mmap

Prints a table; the JSON goes to out/bench.json, out/mount_bench.json, out/locking.json and out/mapping.json unless --json
names another file, and to out/gate.json. Needs fio for the rows of misses, the right to make a memory cgroup for the passes and sweeps,
and root or fusermount3 for the mount. About twenty minutes, on a machine with nothing else to do.

  --halt-poll NS  let the processors of a virtual machine look for work for NS nanoseconds before they halt
         (guest_halt_poll_ns of the kernel's module haltpoll; Linux's own default is 200000), and put back at the
         end what was there. Where it is 0, to wake a processor costs more than most of what is measured. Root only

The options go to all but gate:
TEXT
fi

if [[ ${1:-} == --halt-poll ]]; then
  halt_poll=/sys/module/haltpoll/parameters/guest_halt_poll_ns
  [[ ${2:-} =~ ^[0-9]+$ ]] || {
    echo "scripts/bench.sh: --halt-poll takes nanoseconds, such as 200000" >&2
    exit 2
  }
  halt_poll_before=$(cat "$halt_poll" 2>/dev/null) || {
    echo "scripts/bench.sh: --halt-poll: this kernel has no haltpoll; leave the option out" >&2
    exit 1
  }
  trap 'echo "$halt_poll_before" >"$halt_poll"' EXIT
  if ! echo "$2" 2>/dev/null >"$halt_poll"; then
    trap - EXIT
    echo "scripts/bench.sh: --halt-poll: cannot be set by this user: run as root, or leave the option out" >&2
    exit 1
  fi
  shift 2
fi

sections=(host mount gate locking mapping)
case ${1:-} in
  host | mount | gate | locking | mapping)
    sections=("$1")
    shift
    ;;
esac
json=yes
for option in "$@"; do
  case $option in
    --json*) json=no ;;
    --only*) ((${#sections[@]} == 1)) || sections=(host mount) ;;
  esac
done

# table PROGRAM JSON OPTION...: runs one of the two that print tables.
table() {
  local program=$1 file=$2
  shift 2
  if [[ $json == yes ]]; then
    "$(build_dir release)/bin/$program" --json "$file" "$@"
    echo "JSON: $file"
  else
    "$(build_dir release)/bin/$program" "$@"
  fi
}

# gate_verdict FILE: whether the add pair reached its target and, if not, what limits it: a signed counter
# takes the same two locked instructions on one cache line, and does nothing else.
gate_verdict() {
  awk -F'[:,]' '
    /^ *"name": / {name = $0}
    /^ *"real_time": / && name ~ /one_side<GateLock, kAdd>\/threads:1"/ {gate = $2}
    /^ *"real_time": / && name ~ /one_side<SignedCounter, kAdd>\/threads:1"/ {counter = $2}
    /^ *"real_time": / && name ~ /one_side<StripedGate, kAdd>\/threads:1"/ {striped = $2}
    /^ *"cpu_time": / && name ~ /one_side<StripedGate, kAdd>\/threads:2"/ {striped_2 = $2}
    END {
      if (!gate || !counter) {print "gate: the rows of the add pair are not in the file"; exit 1}
      printf "gate add pair at 1 thread: %.1f ns, target 15: ", gate
      if (gate <= 15) print "reached"
      else printf "SHORT; two locked instructions on one cache line take %.1f ns here, the rest is %.1f\n", \
        counter, gate - counter
      printf "with stripes, as a file gets them when many add at once: %.1f ns at 1 thread, ", striped
      printf "%.1f at 2, target 20: %s\n", striped_2, striped_2 <= 20 ? "reached" : "SHORT"
    }' "$1"
}

if [[ ${1:-} == --help ]]; then
  build release quire_bench
  exec "$(build_dir release)/bin/quire_bench" --help
fi
mkdir -p out
for section in "${sections[@]}"; do
  case $section in
    host)
      build release quire_bench
      table quire_bench out/bench.json "$@"
      ;;
    mount)
      if build release quire_mount_bench; then
        printf '\nThe mount: a 4 KiB request shall take at most 1.1 x what the do-nothing daemon takes.\n'
        table quire_mount_bench out/mount_bench.json "$@"
      else
        echo "The mount: not built; that needs libfuse3-dev."
      fi
      ;;
    gate)
      build release gate_bench
      printf '\nThe gate: an add pair at 1 thread shall take at most 15 ns.\n'
      "$(build_dir release)/bin/gate_bench" --benchmark_out=out/gate.json
      gate_verdict out/gate.json
      ;;
    locking)
      build release quire_locking_bench
      printf '\nThe locking strategies.\n'
      table quire_locking_bench out/locking.json --chart out/locking.svg "$@"
      ;;
    mapping)
      build release quire_mapping_bench
      printf '\nMappings of files.\n'
      table quire_mapping_bench out/mapping.json "$@"
      ;;
  esac
done

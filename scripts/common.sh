# Sourced by ./run and ./test: headings, the tally of what passed and failed, and the options of the
# sanitizers. Nothing here runs by itself.

# heading TEXT
heading() {
  printf '\n== %s\n' "$1"
}

# die TEXT: a mistake of whoever called.
die() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  exit 2
}

passed=0
failed=0
skipped=0
failures=()  # what failed, by name

# passes [COUNT], fails NAME, skips NAME: adds to the tally.
passes() {
  passed=$((passed + ${1:-1}))
}
fails() {
  failed=$((failed + 1))
  failures+=("$1")
  printf 'FAILED: %s\n' "$1"
}
# On a machine that runs the tests for everybody a test that does not run is a failure.
skips() {
  if [[ -n ${CI:-} ]]; then
    fails "$1 (skipped)"
  else
    skipped=$((skipped + 1))
    printf 'skipped: %s\n' "$1"
  fi
}

# step NAME COMMAND...: runs a command that counts as one test; shows its output if it fails.
step() {
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then
    passes
    printf '  ok  %s\n' "$name"
  else
    printf '%s\n' "$output"
    fails "$name"
  fi
}

export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
export ASAN_OPTIONS=detect_leaks=1
export UBSAN_OPTIONS=print_stacktrace=1

# Programs under ThreadSanitizer of GCC 12 and clang 14 cannot start where the kernel scatters
# mappings over more than 28 bits. `${steady[@]}` before a command turns that off for it alone.
steady=()
if [[ $(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 28) -gt 28 ]] &&
  setarch -R true 2>/dev/null; then
  steady=(setarch -R)
fi

#!/bin/sh
# Checks the Spin models beside this script: each must hold, and each of its planted bugs (the numbers
# after "BUGS:" in its head) must be found. Needs spin and gcc. Usage: run_models.sh [model ...]
set -eu

models=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

passed=0
failed=0

# verify NAME BUG: leaves pan's report in $work/report. True if pan searched to the end, error or not.
verify() {
  rm -rf "$work/pan"
  mkdir "$work/pan"
  (
    cd "$work/pan"
    spin -a -DBUG="$2" "$models/$1.pml"
    gcc -O1 -w -DSAFETY -DCOLLAPSE -DMEMLIM=1024 -DVECTORSZ=2048 -o pan pan.c
    # -b: reaching the depth limit is an error, not a silently smaller search.
    ./pan -b -m20000 -n -w22
  ) >"$work/report" 2>&1
}

states() { sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$work/report"; }
complaint() { sed -n 's/^pan:1: \(.*\) (at depth.*/\1/p' "$work/report"; }

result() {  # result ok|FAILED TEXT
  printf '%-6s %s\n' "$1" "$2"
  if [ "$1" = ok ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

if [ $# -eq 0 ]; then
  set -- $(cd "$models" && ls ./*.pml | sed 's,^\./,,; s,\.pml$,,')
fi

for name; do
  if verify "$name" 0 && grep -q 'errors: 0$' "$work/report" &&
      ! grep -q 'Search not completed' "$work/report"; then
    result ok "$name: holds in $(states) states"
  else
    result FAILED "$name: $(complaint)"
    cat "$work/report"
  fi
  for bug in $(sed -n 's/^.*BUGS: *\([0-9 ]*\).*/\1/p' "$models/$name.pml"); do
    # pan's exit status is 0 also when it finds an error; anything else means that it did not run.
    if verify "$name" "$bug" && grep -q 'errors: [1-9]' "$work/report" &&
        ! grep -q 'max search depth too small' "$work/report"; then
      result ok "$name with bug $bug: found: $(complaint)"
    else
      result FAILED "$name with bug $bug: not found"
    fi
  done
done

echo "models: $passed passed, $failed failed"
[ "$failed" -eq 0 ]

#!/bin/bash
# expect.sh STATUS LAST_LINE PROGRAM ARGUMENT...: the program must end with this status and print a
# last line that matches, and leave nothing behind in its scratch directory.
set -u
status=$1 last_line=$2
shift 2
scratch=$(mktemp -d "${TMPDIR:-/var/tmp}/expect.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
output=$(TMPDIR=$scratch "$@" 2>&1)
got=$?
printf '%s\n' "$output"
if ((got != status)); then
  echo "exit status $got instead of $status"
  exit 1
fi
if [[ -n $last_line && ! $(tail -n 1 <<<"$output") =~ $last_line ]]; then
  echo "the last line does not match $last_line"
  exit 1
fi
if [[ -n $(ls -A "$scratch") ]]; then
  echo "left behind: $(ls -A "$scratch")"
  exit 1
fi

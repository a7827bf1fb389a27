#!/bin/bash
# mappings_section.sh MAPPED_FILE [--small | --forget-a-store | --change-a-byte]: runs examples/mapped_file, four
# threads that map one file through a cache smaller than it, store into it, write it directly and cut it up, in a
# directory of its own. --small: less of it, for a test; the other two: a small one with a mistake in it, which must
# be found. The last line is "mappings section: ok", "mappings section: FAILED (what)", or, where userfaultfd(2) is
# refused and the rest is well, "mappings section: not possible here"; the exit status is 1 only for FAILED.
set -uo pipefail

program=$(realpath "$1")
arguments=(64 5000)
case ${2:-} in
  --small) arguments=(16 500) ;;
  --forget-a-store) arguments=(16 50 store) ;;
  --change-a-byte) arguments=(16 50 byte) ;;
esac

job=0
scratch=$(mktemp -d "${TMPDIR:-/var/tmp}/quire-mapped.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# failed WHAT
failed() {
  echo "mappings section: FAILED ($1)"
  exit 1
}
interrupted() {
  trap '' INT TERM HUP
  ((job == 0)) || { kill -s TERM "$job" 2>/dev/null; wait "$job"; }
  failed interrupted
}
for signal in INT TERM HUP; do
  trap interrupted "$signal"
done

mkdir "$scratch/files"
# In the background, so that a signal is seen while it runs.
"$program" "$scratch/files" "${arguments[@]}" >"$scratch/log" 2>&1 &
job=$!
status=0
wait "$job" || status=$?
job=0
last=$(tail -n 1 "$scratch/log")
grep -v '^mapped_file: ' "$scratch/log"
((status <= 128)) || failed "killed by SIG$(kill -l $((status - 128)))"
if ((status != 0)); then
  [[ $last =~ ^"mapped_file: FAILED ("(.*)")"$ ]] && failed "${BASH_REMATCH[1]}"
  failed "exit status $status"
fi
[[ $last == "mapped_file: ok" ]] || failed "it did not say that it is well"
if grep -q 'by reads and writes alone' "$scratch/log"; then
  echo "  Nothing can be mapped here; what is above says how to allow it. The rest is well."
  echo "mappings section: not possible here"
else
  echo "mappings section: ok"
fi

#!/bin/bash
# `quire doctor` says the same as text and as JSON, its exit status agrees, and it leaves nothing behind.
#   doctor.sh QUIRE
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
quire=$1
mkdir "$work/directory"

# answers FILE: each line's answer and check, without what was found, from the text.
answers() {
  sed -nE 's/^(yes|no|unknown) +([^:]*).*/\1 \2/p' "$1"
}
for directory in "" "$work/directory" /proc /nowhere; do
  text_status=0 json_status=0
  "$quire" doctor $directory >"$work/text" || text_status=$?
  "$quire" doctor $directory --json >"$work/json" || json_status=$?
  [[ $text_status == "$json_status" && $text_status -le 1 ]] ||
    wrong "doctor $directory: exit $text_status as text, $json_status as JSON"
  # The keys of a check stand in lines of their own.
  sed -nE 's/^ *"check": "([^:"]*).*",$/\1/p' "$work/json" | sed 's/\\//g' >"$work/names"
  sed -nE 's/^ *"answer": "(.*)",$/\1/p' "$work/json" | paste -d' ' - "$work/names" >"$work/from_json"
  answers "$work/text" | sed 's/\\//g' >"$work/from_text"
  [[ -s $work/from_text ]] || wrong "doctor $directory says nothing"
  diff "$work/from_text" "$work/from_json" || wrong "doctor $directory: text and JSON differ"
  would=$(sed -nE 's/^ *"mount_would_work": (.*),$/\1/p' "$work/json")
  [[ $would == true ]] && wanted=0 || wanted=1
  [[ $text_status == "$wanted" ]] || wrong "doctor $directory: exit $text_status, JSON says $would"
  # Every no comes with what happens instead and how to have it.
  nos=$(grep -c '^no ' "$work/text" || true)
  for line in instead "to have it"; do
    [[ $(grep -c "^         $line: ." "$work/text" || true) == "$nos" ]] ||
      wrong "doctor $directory: a no without '$line'"
  done
done
[[ -z $(ls -A "$work/directory") ]] || wrong "doctor left files behind"
[[ $text_status == 1 ]] || wrong "a directory that is not there can be mounted"

#!/bin/bash
# interrupt.sh NAME MARK PROGRAM ARGUMENT...: a signal while the job is at work, which a line that contains
# MARK shows, ends it, with its last line and its status, and its files are gone.
set -u
name=$1 mark=$2
shift 2
scratch=$(mktemp -d "${TMPDIR:-/var/tmp}/interrupt.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/files"
coproc job { TMPDIR=$scratch/files exec "$@" 2>&1; }
process=$job_PID
exec {output}<&"${job[0]}"  # bash closes its own when the job has ended
last=
signalled=no
while IFS= read -r line <&"$output"; do
  printf '%s\n' "$line"
  last=$line
  if [[ $signalled == no && $line == *"$mark"* ]]; then
    signalled=yes
    kill -INT "$process"
  fi
done
wait "$process"
status=$?
if [[ $signalled == no || $status -ne 1 || $last != "$name: FAILED (interrupted)" ]]; then
  echo "signalled: $signalled, exit status $status"
  exit 1
fi
if [[ -n $(ls -A "$scratch/files") ]]; then
  echo "left behind: $(ls -A "$scratch/files")"
  exit 1
fi

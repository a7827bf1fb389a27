#!/bin/bash
# Wrong arguments: exit 2 and one line that says what is wrong and what to do. Help and version: exit 0
# and nothing on standard error.
#   arguments.sh QUIRE VERSION
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
quire=$1 version=$2

# refused PART ARGUMENT...: the line contains PART.
refused() {
  local part=$1
  shift
  run 2 "$quire" "$@"
  [[ -z $out ]] || wrong "'$*' printed $out"
  [[ $(wc -l <"$work/err") == 1 && $err == "quire: "* ]] || wrong "'$*' said more than a line: $err"
  contains "$err" "$part" "'$*'"
  contains "$err" "--help" "'$*'"
}
refused "subcommand"
refused "no command 'fly'" fly
refused "SOURCE" mount
refused "MOUNTPOINT" mount a
refused "'c'" mount a b c
refused "'--fast'" mount a b --fast
refused "'lots' is no size" mount a b --memory lots
refused "out of range" mount a b --memory 1K
refused "half of --memory" mount a b --memory 64M --dirty 33M
refused "'magic'" mount a b --io magic
refused "'magic'" mount a b --locking magic
refused "MOUNTPOINT" unmount
refused "MOUNTPOINT" stats
refused "--watch" stats a --json --watch
refused "'b'" doctor a b
refused "'x'" version x

for command in "" mount unmount stats doctor version; do
  # Unquoted: no argument at all for the command itself.
  run 0 "$quire" $command --help
  [[ -z $err ]] || wrong "'$command --help' said $err"
  contains "$out" "Example" "'$command --help'"
  contains "$out" "--help" "'$command --help'"
done
for argument in version --version; do
  run 0 "$quire" "$argument"
  [[ $out == "quire $version" && -z $err ]] || wrong "'$argument' printed '$out' '$err'"
done

# What cannot be printed is an error.
if "$quire" version >/dev/full 2>"$work/err"; then wrong "a full disk was not noticed"; fi
contains "$(<"$work/err")" "cannot write" "quire on a full disk"

#!/bin/bash
# The manual page is well formed, and its section of each subcommand has the options that --help shows,
# no more and no less.
#   manual_page.sh QUIRE PAGE VERSION
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
quire=$1 page=$2 version=$3

if command -v groff >/dev/null; then
  said=$(groff -man -ww -z "$page" 2>&1)
  [[ -z $said ]] || wrong "groff says: $said"
fi
head -n 1 "$page" | grep -q "Quire $version" || wrong "the page is not of version $version"

options() {
  grep -oE -- '--[a-z][a-z-]*' | sort -u
}
for command in mount unmount stats doctor version; do
  # Options that are described: the line after .TP. A section ends where the next one begins.
  awk -v start="^[.]SS quire $command( |$)" '
    /^[.]S[SH] / {inside = $0 ~ start}
    inside && after_tp {print}
    {after_tp = $0 == ".TP"}' "$page" | sed 's/\\-/-/g' | options >"$work/page"
  "$quire" $command --help | sed '/^Examples\?:/,$d' | grep -E '^  +-' | sed -E 's/^( +-[^ ]+).*/\1/' |
    options >"$work/help"
  [[ -s $work/help ]] || wrong "$command --help shows no options"
  diff "$work/help" "$work/page" || wrong "$command: --help (<) and the manual page (>) differ"
  # ... and all of them in the synopsis, but --help.
  awk '/^[.]SH/ {inside = /SYNOPSIS/} inside' "$page" | sed 's/\\-/-/g' >"$work/synopsis"
  while read -r option; do
    grep -q -- "$option" "$work/synopsis" || wrong "the synopsis lacks $option"
  done <"$work/help"
done

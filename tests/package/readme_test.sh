#!/bin/bash
# The C++ examples of the README are, line by line, parts of examples/*.cc, which other tests compile and run.
#   readme_test.sh README EXAMPLES_DIR
set -euo pipefail
readme=$1 examples=$2

# in_an_example TEXT: prints which one.
in_an_example() {
  local source
  for source in "$examples"/*.cc; do
    [[ $(<"$source") == *"$1"* ]] && echo "${source##*/}" && return
  done
  return 1
}

blocks=$(grep -c '^```cpp$' "$readme") || { echo "the README has no C++ example"; exit 1; }
for ((block = 1; block <= blocks; block++)); do
  text=$(awk -v wanted="$block" '
    /^```cpp$/ {inside = ++block == wanted; next} /^```$/ {inside = 0} inside' "$readme")
  [[ -n $text ]] || { echo "example $block of the README is empty"; exit 1; }
  in_an_example "$text" || { echo "in no example:"; echo "$text"; exit 1; }
done

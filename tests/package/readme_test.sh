#!/bin/bash
# The C++ example of the README is, line by line, a part of examples/hello.cc, which other tests
# compile and run.
#   readme_test.sh README HELLO_CC
set -euo pipefail
example=$(awk '/^```cpp$/ {inside = 1; next} /^```$/ {inside = 0} inside' "$1")
[[ -n $example ]] || { echo "the README has no C++ example"; exit 1; }
[[ $(<"$2") == *"$example"* ]] || { echo "the README's example is not in $2:"; echo "$example"; exit 1; }

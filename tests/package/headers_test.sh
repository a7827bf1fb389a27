#!/bin/bash
# Every public header compiles alone, with all warnings, seeing nothing but the public headers and
# the standard library.
#   headers_test.sh INCLUDE_DIR COMPILER
set -euo pipefail
include=$1 compiler=$2
status=0 count=0

for header in "$include"/quire/*.h; do
  name=quire/${header##*/}
  count=$((count + 1))
  # Twice, so that the guard is tested too.
  printf '#include <%s>\n#include <%s>\n' "$name" "$name" |
    "$compiler" -std=c++20 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I "$include" -x c++ - ||
    { echo "does not compile alone: $name"; status=1; }
  # Standard headers have neither a suffix nor a slash.
  if foreign=$(grep -nE '^ *# *include' "$header" | grep -vE '"quire/[a-z_]+\.h"|<[a-z_]+>'); then
    echo "$name includes what is neither Quire nor the standard library: $foreign"
    status=1
  fi
done

echo "$count headers"
((count > 0)) && exit $status

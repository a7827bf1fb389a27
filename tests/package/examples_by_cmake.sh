#!/bin/bash
# The examples as a project of their own that finds Quire with find_package().
#   examples_by_cmake.sh PACKAGE_DIR EXAMPLES_DIR COMPILER LINKAGE
set -euo pipefail
package=$1 examples=$2 compiler=$3
source "${BASH_SOURCE%/*}/check_examples.sh"

work=$package/by_cmake
rm -rf "$work"
cmake -S "$examples" -B "$work" -G Ninja -DCMAKE_CXX_COMPILER="$compiler" \
  -DCMAKE_PREFIX_PATH="$package/prefix" -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF
cmake --build "$work"
check_examples "$work"

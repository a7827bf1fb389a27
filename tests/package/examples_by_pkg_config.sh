#!/bin/bash
# The examples built by the bare compiler with the flags of pkg-config.
#   examples_by_pkg_config.sh PACKAGE_DIR EXAMPLES_DIR COMPILER LINKAGE
set -euo pipefail
package=$1 examples=$2 compiler=$3 linkage=$4
source "${BASH_SOURCE%/*}/check_examples.sh"

work=$package/by_pkg_config
rm -rf "$work"
mkdir -p "$work"
PKG_CONFIG_PATH=$(dirname "$(find "$package/prefix" -name quire.pc)")
export PKG_CONFIG_PATH
libdir=$(pkg-config --variable=libdir quire)
options=(--cflags --libs)
[[ $linkage == static ]] && options+=(--static)
read -ra flags < <(pkg-config "${options[@]}" quire)

for source in "$examples"/*.cc; do
  "$compiler" -std=c++20 -Wall -Wextra -Wpedantic -Werror "$source" "${flags[@]}" \
    -Wl,-rpath,"$libdir" -o "$work/$(basename "$source" .cc)"
done
# The program needs libquire by its SOVERSION, or, linked statically, not at all.
needs=$(objdump -p "$work/hello" | awk '$1 == "NEEDED" && $2 ~ /quire/ {print $2}')
case $linkage in
  shared) [[ $needs == libquire.so.0 ]] || fail "hello needs '$needs', not libquire.so.0" ;;
  static) [[ -z $needs ]] || fail "hello needs $needs though linked statically" ;;
esac
check_examples "$work"

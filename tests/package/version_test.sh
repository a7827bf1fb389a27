#!/bin/bash
# find_package(quire VERSION) accepts this minor version and refuses others: before 1.0 each minor
# release may change the interface. pkg-config tells the same version.
#   version_test.sh PACKAGE_DIR VERSION
set -euo pipefail
package=$1 version=$2
IFS=. read -r major minor patch <<<"$version"
work=$package/version
rm -rf "$work"
mkdir -p "$work"
cat >"$work/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.21)
project(version_probe LANGUAGES CXX)
find_package(quire ${wanted} REQUIRED)
CMAKE

accepts() {
  rm -rf "$work/build"
  cmake -S "$work" -B "$work/build" -G Ninja -Dwanted="$1" -DCMAKE_PREFIX_PATH="$package/prefix" \
    >"$work/log" 2>&1
}
accepts "$version" || { cat "$work/log"; echo "refuses $version, its own version"; exit 1; }
accepts "$major.$minor" || { echo "refuses $major.$minor"; exit 1; }
for other in "$major.$((minor + 1))" "$major.$minor.$((patch + 1))" "$((major + 1)).0"; do
  if accepts "$other"; then echo "is $version but accepts a request for $other"; exit 1; fi
done

PKG_CONFIG_PATH=$(dirname "$(find "$package/prefix" -name quire.pc)")
export PKG_CONFIG_PATH
[[ $(pkg-config --modversion quire) == "$version" ]] || { echo "quire.pc tells another version"; exit 1; }

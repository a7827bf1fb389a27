#!/bin/bash
# Installs the build into a fresh prefix, and moves it: an installed Quire works wherever it lies.
#   install.sh BUILD_DIR PACKAGE_DIR
set -euo pipefail
build=$1 package=$2
rm -rf "$package"
cmake --install "$build" --prefix "$package/before" >"$build/install.log"
mv "$package/before" "$package/prefix"

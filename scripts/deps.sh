# Sourced by ./run and ./test: what must be installed, by the names of Debian 12's packages.

packages_to_build=(
  cmake ninja-build g++ pkg-config
  libfmt-dev liburing-dev                                # the library
  libfuse3-dev fuse3                                     # the mount
  libgtest-dev libgmock-dev libbenchmark-dev             # its tests and benchmarks
  libcli11-dev nlohmann-json3-dev libxxhash-dev          # the command, programs of tests/ and bench/
  libexpected-dev
)
packages_to_run=(fuse3 git sqlite3 fio tar)               # programs that work on the mount
packages_to_test=(
  libboost-context-dev                                   # the simulation
  spin gcc                                               # models
  clang-14 lld-14 libclang-rt-14-dev clang-format-14 clang-tidy-14
  fio e2fsprogs util-linux                               # disks to fill, programs to compare with
)

# install_missing PACKAGE...: installs what is not there. Without the right to do so it names the
# packages and the command, and returns 1.
install_missing() {
  local package missing=()
  if ! command -v dpkg-query >/dev/null; then
    printf 'Not a Debian system: the packages below must be there under their local names.\n  %s\n' "$*"
    return 0
  fi
  for package in "$@"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
      missing+=("$package")
  done
  ((${#missing[@]} == 0)) && return 0

  local install=(apt-get install -y --no-install-recommends "${missing[@]}")
  if ((EUID != 0)); then
    printf 'Missing packages: %s\nInstall them with:\n  sudo %s\n' "${missing[*]}" "${install[*]}"
    return 1
  fi
  heading "Installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # The package lists may be missing or out of date.
  "${install[@]}" || { apt-get update && "${install[@]}"; } || {
    printf 'Could not install: %s\n' "${missing[*]}"
    return 1
  }
}

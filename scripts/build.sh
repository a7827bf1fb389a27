# Sourced by ./run and ./test: configuring and building a preset.

jobs=$(nproc)

# Precompiled headers, and sources compiled together, save GCC much; a compiler cache saves more, and
# cannot see through them.
precompiled=ON
[[ -z ${CMAKE_CXX_COMPILER_LAUNCHER:-} && ${CXX:-g++} != *clang* ]] || precompiled=OFF

# build_dir PRESET: one directory for each preset and compiler.
build_dir() {
  local compiler=${CXX:-g++}
  compiler=${compiler##*/}
  if [[ $compiler == g++ ]]; then
    printf 'build/%s' "$1"
  else
    printf 'build/%s-%s' "$1" "$compiler"
  fi
}

# build PRESET [TARGET...]: everything, or only the targets. Configures again each time: that is
# quick, and notices new files.
build() {
  local preset=$1 dir
  shift
  dir=$(build_dir "$preset")
  configure "$dir" --preset "$preset" -DQUIRE_PRECOMPILED="$precompiled" \
    -DQUIRE_UNITY="$precompiled" && compile "$dir" "$@"
}

# What clang compiles in no other part (asan's tests are compiled with it, warnings and thread-safety
# analysis included): the benchmarks; and a static libquire without sanitizers.
build_clang() {
  configure build/clang --preset release -DCMAKE_CXX_COMPILER=clang++-14 -DCMAKE_BUILD_TYPE=None \
    -DBUILD_SHARED_LIBS=OFF -DQUIRE_UNITY=ON && compile build/clang quire quire_command benchmarks
}
# Only to read how each source is compiled.
configure_tidy() {
  configure build/clang-files --preset release -DCMAKE_CXX_COMPILER=clang++-14 &&
    configure build/clang-sim --preset sim -DCMAKE_CXX_COMPILER=clang++-14
}

# configure DIR ARGUMENT...: says nothing unless it fails.
configure() {
  local dir=$1 output
  shift
  output=$("${steady[@]}" cmake "$@" -B "$dir" 2>&1) || { printf '%s\n' "$output"; return 1; }
}

# compile DIR [TARGET...]: shows progress to a person and only failures to a log.
compile() {
  local dir=$1 options=()
  shift
  (($# == 0)) || options=(--target "$@")
  [[ -t 1 ]] || options+=(-- --quiet)
  "${steady[@]}" cmake --build "$dir" -j "$jobs" "${options[@]}"
}

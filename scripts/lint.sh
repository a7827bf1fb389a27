# Sourced by ./test: form and rules. Each step counts as one test. Needs scripts/common.sh and
# scripts/build.sh, and for clang-tidy what configure_clang and configure_clang_sim leave.
source scripts/tidy.sh

# Says in one line for each place what `clang-format-14 -i` would change.
formatted() {
  local bad
  bad=$(sources | xargs clang-format-14 --dry-run 2>&1 |
          grep -oE '^[^ :]+:[0-9]+:[0-9]+: (warning|error)' | cut -d: -f1,2 | sort -u || true)
  report "$bad"
}

lint() {
  local rule
  step "clang-format" formatted
  for rule in "${tidy_rules[@]}"; do
    step "$rule" "$rule"
  done
  clang_tidy
}

# compiled_in FILE: where it stands how clang compiles the file.
compiled_in() {
  case $1 in
    src/sync/sim/*) printf 'build/clang-sim' ;;
    *) printf 'build/clang' ;;
  esac
}

# One step for each source of the library, as many at once as there are processors.
clang_tidy() {
  local results file
  results=$(mktemp -d)
  files 'src/*.cc' | grep -vE '_(test|bench)\.cc$' >"$results/files"
  export -f compiled_in
  xargs -P "$jobs" -I FILE bash -c '
    out=$2/$(tr / - <<<"$1")
    clang-tidy-14 --quiet -p "$(compiled_in "$1")" "$1" >"$out.log" 2>"$out.noise" && touch "$out.ok"
    exit 0' clang_tidy FILE "$results" <"$results/files"
  while read -r file; do
    step "clang-tidy $file" tidied "$results/$(tr / - <<<"$file")" "$file"
  done <"$results/files"
  rm -rf "$results"
}

# tidied RESULT FILE: what clang-tidy said of a file; one that is in no build says nothing of use.
tidied() {
  local file=$2
  grep -q "/$file\"" "$(compiled_in "$file")/compile_commands.json" || { echo "$file is in no build"; return 1; }
  [[ -f $1.ok ]] || { cat "$1.log"; grep -v 'warnings generated' "$1.noise"; return 1; }
}

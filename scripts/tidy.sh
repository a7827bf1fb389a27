# Sourced by scripts/lint.sh: rules about the repository itself, each a function that prints what
# breaks it and then returns 1. The rules themselves are explained in CONTRIBUTING.md.

# The files that git knows, or would if they were added.
files() {
  git ls-files --cached --others --exclude-standard -- "$@" | sort -u |
    while read -r file; do [[ -f $file ]] && printf '%s\n' "$file"; done
}
headers() { files 'include/*.h' 'src/*.h' 'tests/*.h' 'bench/*.h'; }
sources() { files '*.cc' '*.h'; }
# What is linked into the library.
library_sources() { files 'src/*.cc' 'src/*.h' | grep -vE '(_test|_bench)\.(cc|h)$|/test_[a-z_]+\.h$'; }

# The lines of the files on standard input that match REGEX outside comments and string literals, as
# FILE:LINE: text. Returns 1 if there are any.
none_match() {
  local regex=$1 file found=0
  while read -r file; do
    sed -e 's|"[^"]*"|""|g' -e 's|//.*||' "$file" | grep -nE "$regex" | sed "s|^|$file:|" && found=1
  done
  return $found
}

# report LINES...: fails if there is anything to report.
report() {
  [[ -z $* ]] || { printf '%s\n' "$@"; return 1; }
}

every_header_opens_with_what_it_is() {
  local file bad=()
  while read -r file; do
    [[ $(head -n 1 "$file") == '// '* ]] || bad+=("$file")
  done < <(headers)
  report "${bad[@]}"
}

every_guard_is_named_after_its_path() {
  local file guard bad=()
  while read -r file; do
    guard=${file#include/}
    guard=${guard#src/}
    [[ $guard == quire/* ]] || guard=quire/$guard
    guard=${guard^^}
    guard=${guard//[^A-Z0-9]/_}_
    grep -qx "#ifndef $guard" "$file" && grep -qx "#define $guard" "$file" &&
      [[ $(tail -n 1 "$file") == "#endif  // $guard" ]] || bad+=("$file: expected $guard")
  done < <(headers)
  report "${bad[@]}"
}

# Or is listed, with the reason, in scripts/tested_elsewhere.txt.
every_source_has_its_test() {
  local file bad=()
  while read -r file; do
    if [[ -f ${file%.cc}_test.cc ]]; then
      ! grep -q "^$file:" scripts/tested_elsewhere.txt || bad+=("$file: listed, but has a test")
    else
      grep -qE "^$file: .+" scripts/tested_elsewhere.txt || bad+=("$file: no ${file%.cc}_test.cc")
    fi
  done < <(library_sources | grep '\.cc$')
  while IFS=: read -r file _; do
    [[ -f $file ]] || bad+=("$file: listed, but not there")
  done < <(grep -v '^#' scripts/tested_elsewhere.txt)
  report "${bad[@]}"
}

no_file_is_longer_than_600_lines() {
  local file lines bad=()
  while read -r file; do
    lines=$(wc -l <"$file")
    ((lines <= 600)) || bad+=("$file: $lines lines")
  done < <(files ':!LICENSE')
  report "${bad[@]}"
}

# store/ knows only sync/ and fault/, and so on up.
floors_know_only_those_below() {
  local floor below file bad=()
  while read -r floor below; do
    while read -r file; do
      bad+=("$file")
    done < <(files "src/$floor/*" | xargs -r grep -nE '#include "[a-z_]+/' |
               grep -vE "\"(quire|gtest|gmock|benchmark|fmt|$floor|$below)/")
  done <<'FLOORS'
sync fault
fault sync
store sync|fault
cache sync|fault|store
map sync
file sync|fault|store|cache|map
mount sync|fault|store|cache|file
tool sync|fault|store|cache|map|file|mount
mount sync|fault|store|cache|file
tool sync|store|map|mount
FLOORS
  report "${bad[@]}"
}

# Whatever waits, is shared or comes from outside goes through sync/, or the simulation cannot see it.
all_waiting_goes_through_the_seam() {
  library_sources | grep -v '^src/sync/' | none_match \
    'std::(recursive_|shared_|timed_)*(mutex|thread|jthread|atomic|condition_variable|latch|barrier|counting_semaphore|future|async|random_device|lock_guard|unique_lock|scoped_lock)\b|\bthread_local\b|std::this_thread|(steady|system|high_resolution)_clock::now|\bpthread_(create|mutex|cond|rwlock)'
}

the_library_neither_prints_nor_exits() {
  library_sources | grep -vE '^src/(sync/(check\.cc|sim/)|tool/)' | none_match \
    'std::(cout|cerr|clog)|\b(printf|fprintf|puts|fputs|perror)\(|fmt::print|(^|[^_[:alnum:]])_?exit\(|\babort\(|\b(secure_)?getenv\('
}

# clang-tidy reads units, which do.
no_source_is_included() {
  local bad
  bad=$(sources | xargs grep -nE '^ *# *include .*\.cc[">]' || true)
  report "$bad"
}

# A using-declaration or an alias of a source, save a constructor's, is for a name that the rest of the
# source says.
every_using_is_used() {
  local file line name bad=()
  while IFS=: read -r file line name; do
    name=$(sed -E 's/^.*(using .*::|namespace )([A-Za-z0-9_]+)( =.*|;.*)/\2/' <<<"$name")
    sed -e "${line}d" -e 's|"[^"]*"|""|g' -e 's|//.*||' "$file" |
      grep -P "(?<![\\w:.>])$name\\b" >/dev/null || bad+=("$file:$line: $name is not used")
  done < <(files '*.cc' |
             xargs grep -nE '^ *(using [A-Za-z0-9_:]+::[A-Za-z0-9_]+;|namespace [A-Za-z0-9_]+ = )' |
             grep -vE '([A-Za-z0-9_]+)::\1;')
  report "${bad[@]}"
}

tests_never_sleep() {
  files '*_test.cc' 'tests/*.cc' 'tests/*.h' | grep -v '^tests/main_job/' |
    none_match '\b(sleep_for|sleep_until|usleep|nanosleep|sleep)\('
}

public_headers_include_only_the_standard_library() {
  local bad
  bad=$(files 'include/*.h' | xargs grep -nE '^ *# *include' |
          grep -vE '"quire/[a-z_]+\.h"|<[a-z_]+>' || true)
  report "$bad"
}

# The words are written so that this file does not hold them.
nothing_is_left_for_later() {
  local bad
  bad=$(files ':!LICENSE' | xargs grep -nE 'TO[D]O|FI[X]ME|\bXX[X]\b|NO[L]INT|no[s]anitize|no_[s]anitize' || true)
  report "$bad"
}

no_machine_is_named() {
  local bad
  bad=$(files | xargs grep -nE '(^|[^[:alnum:]_])/(wor[k]|roo[t]|hom[e])/[a-z]' || true)
  report "$bad"
}

text_ends_in_one_newline_without_trailing_blanks() {
  local file bad=()
  while read -r file; do
    [[ -s $file ]] || { bad+=("$file: empty"); continue; }
    [[ -z $(tail -c 1 "$file") && -n $(tail -n 1 "$file") ]] || bad+=("$file: end of file")
    ! grep -qE '[[:blank:]]$' "$file" || bad+=("$file: trailing blanks")
    [[ $file == LICENSE ]] || ! grep -qP '\t' "$file" || bad+=("$file: tabs")
  done < <(files ':!*.png')
  report "${bad[@]}"
}

scripts_parse_and_refuse_unset_variables() {
  local file bad=()
  while read -r file; do
    bash -n "$file" || bad+=("$file: does not parse")
    [[ $(head -n 1 "$file") != '#!'* ]] || grep -qxE 'set -e?u(o pipefail)?' "$file" ||
      bad+=("$file: no 'set -u'")
  done < <(files run test .ci/run '*.sh')
  report "${bad[@]}"
}

# The lock order is written down once for people, docs/architecture.md, and once for the checker.
lock_order_in_code_and_docs_agree() {
  local order
  order=$(awk '/^enum class Rank/ {inside = 1; next} /^};/ {inside = 0} inside' src/sync/lock_rank.h |
            sed -E 's|//.*||' | grep -oE 'k[A-Za-z]+' |
            sed -E 's/^k//; s/([a-z])([A-Z])/\1 \2/g' | tr '[:upper:]' '[:lower:]' | paste -sd'|')
  [[ $order == *'|'* ]] || { echo "no ranks found in src/sync/lock_rank.h"; return 1; }
  # Not -q: who stops reading at the first match ends the pipe with an error.
  tr '[:upper:]' '[:lower:]' <docs/architecture.md | grep -E "${order//|/.*→.*}" >/dev/null ||
    { echo "docs/architecture.md has no line: ${order//|/ → }"; return 1; }
}

# As lines NAME FAULT: the races of tests/races, and those that docs/races.md has a section of.
races_in_code() {
  files 'tests/races/*.cc' | xargs sed -nE 's/^RACE\(([A-Za-z]+), (k[A-Za-z]+).*/\1 \2/p' |
    sed -E ':again; s/^([A-Za-z-]*[a-z])([A-Z])/\1-\2/; t again'
}
races_in_docs() {
  awk '/^### / {race = $2} /^- Prevented by/ {print race, $NF}' docs/races.md |
    sed -E 's/`([A-Za-z]+)`\.$/\1/'
}
every_race_is_in_the_docs() {
  local bad
  [[ -n $(races_in_code) ]] || { echo "no races found in tests/races"; return 1; }
  bad=$(diff <(races_in_code | tr '[:upper:]' '[:lower:]' | sort) \
    <(races_in_docs | tr '[:upper:]' '[:lower:]' | sort) | grep '^[<>]' |
    sed 's/^</tests\/races has, and docs\/races.md has not:/; s/^>/docs\/races.md has, and tests\/races has not:/' || true)
  report "$bad"
}

# In the comment above it: "Fails with kFault", the one that the table plants.
every_race_says_what_breaks_it() {
  local bad
  bad=$(files 'tests/races/*.cc' | xargs awk '
    /^\/\// {comment = comment substr($0, 3); next}
    /^RACE\(/ {
      match($0, /, k[A-Za-z]+/)
      fault = substr($0, RSTART + 2, RLENGTH - 2)
      if (index(comment, "Fails with " fault) == 0) print FILENAME ":" FNR ": no \"Fails with " fault "\""
    }
    {comment = ""}')
  report "$bad"
}

tidy_rules=(
  every_header_opens_with_what_it_is
  every_guard_is_named_after_its_path
  every_source_has_its_test
  no_file_is_longer_than_600_lines
  floors_know_only_those_below
  all_waiting_goes_through_the_seam
  the_library_neither_prints_nor_exits
  no_source_is_included
  every_using_is_used
  tests_never_sleep
  public_headers_include_only_the_standard_library
  nothing_is_left_for_later
  no_machine_is_named
  text_ends_in_one_newline_without_trailing_blanks
  scripts_parse_and_refuse_unset_variables
  lock_order_in_code_and_docs_agree
  every_race_is_in_the_docs
  every_race_says_what_breaks_it
)

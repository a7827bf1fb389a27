# Sourced by ./test: form and rules. Each step counts as one test. Needs scripts/common.sh and
# scripts/build.sh, and for clang-tidy what configure_tidy leaves.
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

# clang-tidy reads the library's sources in units: one for each directory (and set of options to
# compile with, should they differ), a file in build/tidy that includes the sources. Most of the time
# goes into what the sources include, which is then read once a unit. To take them for code, not for
# headers, clang's path-sensitive checks want a unit's name to begin as it does.
#
# Two checks look at the unit itself only; sources that have something to show them are read again,
# alone, with these.
tidy_alone=misc-unused-alias-decls,misc-unused-using-decls
tidy_alone_where='^ *(using [[:alnum:]_:]+::[[:alnum:]_]+;|namespace [[:alnum:]_]+ = )'

# compile_options: a line FILE<tab>DIRECTORY<tab>COMMAND for each source that clang compiles; in the
# command @ stands for the source. Those of the simulation from its own build.
compile_options() {
  local database
  for database in build/clang-sim build/clang-files; do
    awk -v database="$database" -v root="$PWD/" '
      /^ *"directory": / {sub(/^ *"directory": "/, ""); sub(/",?$/, ""); directory = $0}
      /^ *"command": / {sub(/^ *"command": "/, ""); sub(/",?$/, ""); command = $0}
      /^ *"file": / {
        sub(/^ *"file": "/, ""); sub(/",?$/, "")
        file = substr($0, length(root) + 1)
        if (index($0, root) != 1 || seen[file]++) next
        if ((file ~ /^src\/sync\/sim\//) != (database == "build/clang-sim")) next
        sub(/ -o [^ ]+ -c .*/, " -c @", command)
        print file "\t" directory "\t" command
      }' "$database/compile_commands.json"
  done
}

# make_units: writes the units and their compile_commands.json; prints for each a line UNIT FILE...,
# those with most to read first, and for each source that no build compiles a line "-" FILE.
make_units() {
  rm -rf build/tidy
  mkdir -p build/tidy
  files 'src/*.cc' | grep -vE '_(test|bench)\.cc$' | xargs wc -c | grep -v ' total$' |
    awk -v root="$PWD/" '
      NR == FNR {split($0, part, "\t"); options[part[1]] = part[2] "\t" part[3]; next}
      !($2 in options) {print 0, "-", $2; next}
      {
        floor = $2; sub(/\/[^\/]*$/, "", floor); gsub(/\//, "-", floor)
        key = floor "\t" options[$2]
        if (!(key in unit)) {
          unit[key] = "build/tidy/UnifiedSource-" floor (count[floor]++ ? "-" count[floor] : "") ".cc"
          split(key, part, "\t")
          sub(/@$/, root unit[key], part[3])
          entries = entries (entries ? ",\n" : "") "{\n\"directory\": \"" part[2] "\",\n\"command\": \"" \
            part[3] "\",\n\"file\": \"" root unit[key] "\"\n}"
        }
        print "#include \"" root $2 "\"" >unit[key]
        bytes[key] += $1
        names[key] = names[key] " " $2
      }
      END {
        for (key in unit) print bytes[key], unit[key] names[key]
        print "[\n" entries "\n]" >"build/tidy/compile_commands.json"
      }' <(compile_options) - | sort -rn | cut -d' ' -f2-
}

# One step for each unit, as many at once as there are processors. clang's path-sensitive checks give up
# on a function after that many states of it; with their own limit they would take four fifths of
# the time of all checks together.
clang_tidy() {
  local results unit sources source states=30000
  [[ ${long:-no} == no ]] || states=225000
  results=$(mktemp -d)
  make_units >"$results/units"
  {
    grep -v '^-' "$results/units" | cut -d' ' -f1 | sed 's/$/ build\/tidy -bugprone-suspicious-include/'
    files 'src/*.cc' | grep -vE '_(test|bench)\.cc$' | xargs grep -lE "$tidy_alone_where" |
      while read -r source; do
        printf '%s %s -*,%s\n' "$source" "$(compiled_in "$source")" "$tidy_alone"
      done
  } >"$results/jobs"
  xargs -P "$jobs" -L 1 bash -c '
    out=$1/$(tr / - <<<"$3")
    clang-tidy-14 --quiet -p "$4" --checks="$5" --extra-arg=-Xclang --extra-arg=-analyzer-config \
      --extra-arg=-Xclang --extra-arg=max-nodes="$2" "$3" >"$out.log" 2>"$out.noise" &&
      touch "$out.ok"
    exit 0' clang_tidy "$results" "$states" <"$results/jobs"
  while read -r unit sources; do
    if [[ $unit == - ]]; then
      step "clang-tidy $sources" report "$sources is in no build"
    else
      step "clang-tidy of $(wc -w <<<"$sources") in $(dirname "${sources%% *}")" tidied "$results" "$unit"
    fi
  done <"$results/units"
  while read -r source _; do
    [[ $source == build/* ]] || step "clang-tidy $source alone" tidied "$results" "$source"
  done <"$results/jobs"
  rm -rf "$results"
}

# compiled_in FILE: where it stands how clang compiles the file.
compiled_in() {
  case $1 in
    src/sync/sim/*) printf 'build/clang-sim' ;;
    *) printf 'build/clang-files' ;;
  esac
}

# tidied RESULTS NAME: what clang-tidy said of a unit or a source.
tidied() {
  local out
  out=$1/$(tr / - <<<"$2")
  [[ -f $out.ok ]] || { cat "$out.log"; grep -v 'warnings generated' "$out.noise"; return 1; }
}

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
# goes into what the sources include, which is then read once a unit; so the small directories go with
# the command. Floors that call each other all the time do not go together: the path-sensitive checks
# would follow the calls down, which takes longer, and take threads' agreements for mistakes. To take them for code, not for headers, clang's path-sensitive checks want
# a unit's name to begin as it does.

# compile_options: a line FILE<tab>DIRECTORY<tab>COMMAND for each source that clang compiles; in the
# command @ stands for the source. Those of the simulation from its own build. Without what only the
# code generator reads: levels of optimisation, and whether it is for a program or for a library.
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
        gsub(/ -(O[0-3s]|fPIC|fPIE)/, "", command)
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
        if (floor == "src" || floor == "src-map") floor = "src-tool"
        key = options[$2] "\t" floor
        if (!(key in unit)) {
          unit[key] = "build/tidy/UnifiedSource-" floor (count[floor]++ ? "-" count[floor] : "") ".cc"
          split(key, part, "\t")
          sub(/@$/, root unit[key], part[2])
          entries = entries (entries ? ",\n" : "") "{\n\"directory\": \"" part[1] "\",\n\"command\": \"" \
            part[2] "\",\n\"file\": \"" root unit[key] "\"\n}"
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
  local results unit sources states=30000
  [[ ${long:-no} == no ]] || states=225000
  results=$(mktemp -d)
  make_units >"$results/units"
  grep -v '^-' "$results/units" | cut -d' ' -f1 | xargs -P "$jobs" -I UNIT bash -c '
    out=$1/$(basename "$3")
    clang-tidy-14 --quiet -p build/tidy --checks=-bugprone-suspicious-include \
      --extra-arg=-Xclang --extra-arg=-analyzer-config \
      --extra-arg=-Xclang --extra-arg=max-nodes="$2" "$3" >"$out.log" 2>"$out.noise" &&
      touch "$out.ok"
    exit 0' clang_tidy "$results" "$states" UNIT
  while read -r unit sources; do
    if [[ $unit == - ]]; then
      step "clang-tidy $sources" report "$sources is in no build"
    else
      step "clang-tidy of $(wc -w <<<"$sources") in $(floors_of $sources)" tidied "$results/$(basename "$unit")"
    fi
  done <"$results/units"
  rm -rf "$results"
}

# floors_of FILE...: their directories, each once.
floors_of() {
  dirname "$@" | sort -u | paste -sd' '
}

# tidied OUT: what clang-tidy said of a unit.
tidied() {
  [[ -f $1.ok ]] || { cat "$1.log"; grep -v 'warnings generated' "$1.noise"; return 1; }
}

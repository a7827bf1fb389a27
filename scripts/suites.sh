# Sourced by ./test: the parts. Each builds what it needs, runs it and adds to the tally; a part that
# cannot be built counts as one failure.

part_release() { ctest_part release; }
part_debug() { ctest_part debug; }
part_asan() { ctest_part asan; }
part_tsan() { ctest_part tsan; }

# ctest_part PRESET: builds everything and runs its tests.
ctest_part() {
  local filter=()
  build "$1" || { fails "$1: build"; return 0; }
  if [[ -n $case_name ]]; then
    filter=(-R "$(regex_quoted "$case_name")")
  elif [[ $long == no ]]; then
    filter=(-LE '^long$')
  fi
  run_ctest "$1" "$(build_dir "$1")" "${filter[@]}"
}

# Reads ctest's log; prints the cases that a program skipped which ctest counts as one test that ran.
skipped_inside() {
  awk '
    / Testing: / {count = 0}
    /^\[  SKIPPED \] .* \([0-9]+ ms\)$/ {names[count++] = $4}
    /^Test Passed\./ {for (i = 0; i < count; i++) print names[i]}'
}

# run_ctest PART DIR FILTER...: the tests of a build that the filter lets through. What ctest reports
# is checked against what it was to run: a test that did not run is a failure, or was skipped by its
# own decision.
run_ctest() {
  local part=$1 dir=$2 listed reported name status on_machine=()
  shift 2
  [[ ${no_uffd:-no} == no ]] || on_machine=("$dir/bin/without_userfaultfd")
  listed=$(ctest --test-dir "$dir" -N "$@" | sed -n 's/^Total Tests: //p')
  [[ -n $case_name || ${listed:-0} -gt 0 ]] || { fails "$part: no tests found"; return 0; }
  ((${listed:-0} > 0)) || return 0

  rm -f "$dir/results.xml"
  # One more at once than there are processors: the longest tests mostly wait.
  "${steady[@]}" "${on_machine[@]}" ctest --test-dir "$dir" -j $((jobs + 1)) --output-on-failure --no-tests=error \
    --output-junit results.xml "$@" >"$dir/ctest.log" 2>&1 || show_failures "$dir/ctest.log"
  [[ -f $dir/results.xml ]] || { fails "$part: ctest"; return 0; }

  reported=0
  while IFS=$'\t' read -r status name; do
    reported=$((reported + 1))
    case $status in
      run) passes ;;
      notrun) skips "$part: $name" ;;
      *) fails "$part: $name" ;;
    esac
  done < <(ctest_results "$dir/results.xml")
  while read -r name; do
    skips "$part: $name"
  done < <(skipped_inside <"$dir/Testing/Temporary/LastTest.log")
  ((reported == listed)) || fails "$part: ctest reported $reported of $listed tests"
}

# ctest_results FILE: a line STATUS<tab>NAME for each test of a JUnit file: run, fail, disabled, or
# notrun for a test that said itself that it cannot run here. A program that is not there is a fail.
ctest_results() {
  awk -v RS='<testcase ' 'NR > 1 {
    match($0, /name="[^"]*"/); name = substr($0, RSTART + 6, RLENGTH - 7)
    match($0, /status="[^"]*"/); status = substr($0, RSTART + 8, RLENGTH - 9)
    if (status == "notrun" && $0 !~ /<skipped message="SKIP_/) status = "fail"
    print status "\t" name
  }' "$1"
}

# What ctest printed of the tests that failed, without those that passed.
show_failures() {
  grep -vE '^ *[0-9]+/[0-9]+ Test +#[0-9]+: .* (Passed|\.+ +Passed) ' "$1" |
    grep -vE '^ +Start +[0-9]+: ' || true
}

regex_quoted() {
  sed 's/[][\.*^$+?(){}|/]/\\&/g' <<<"$1"
}

# Every test of the simulation in a process of its own, as many at once as there are processors.
part_sim() {
  local tests=()
  build sim || { fails "sim: build"; return 0; }
  mapfile -t tests < <("$(build_dir sim)/bin/sim_suite" --gtest_list_tests |
    awk '/^[^ ]/ {suite = $1} /^ / {print suite $1}' | grep -F -- "$case_name")
  ((${#tests[@]} > 0)) || { [[ -n $case_name ]] || fails "sim: no tests found"; return 0; }
  run_sim sim "$seeds" "${tests[@]}"
}

# run_sim PART SEEDS TEST...: these tests of the simulation, with so many seeds unless one was asked for.
run_sim() {
  local part=$1 seeds=$2 program results test log options=("${sim_options[@]}")
  shift 2
  program=$(build_dir sim)/bin/sim_suite
  [[ " ${options[*]} " == *" --seed "* ]] || options+=(--seeds "$seeds")
  results=$(mktemp -d)
  printf '%s\n' "$@" | xargs -P "$jobs" -I TEST bash -c '
    test=$1 results=$2 program=$3
    shift 3
    log=$results/$(tr / - <<<"$test")
    timeout 1200 "$program" "--gtest_filter=$test" "$@" >"$log" 2>&1 && touch "$log.ok"
    exit 0' run_sim TEST "$results" "$program" "${options[@]}"
  for test in "$@"; do
    log=$results/$(tr / - <<<"$test")
    if [[ ! -f $log.ok ]] || ! grep -qE '^\[  (PASSED|SKIPPED) *\] [1-9]' "$log"; then
      cat "$log"
      fails "$part: $test"
    elif grep -q '^\[  SKIPPED \] ' "$log"; then
      skips "$part: $test"
    else
      grep 'trace hash' "$log" || true
      passes
    fi
  done
  rm -rf "$results"
}

part_races() {
  build sim sim_suite || { fails "races: build"; return 0; }
  race_table
  other_races
}

# The races of the table, each under each strategy, with the code as it is and with the race's planted fault: a test
# each.
race_table() {
  local output line status=0
  output=$("$(build_dir sim)/bin/sim_suite" --seeds "$race_seeds" --races "$case_name" 2>&1) || status=$?
  [[ -z $case_name || $output != *$'\n'"races: 0 passed, 0 failed" ]] || return 0
  printf '%s\n' "$output"
  if [[ $output =~ "races: "([0-9]+)" passed, "([0-9]+)" failed"$ ]] &&
    (((status == 0) == (BASH_REMATCH[1] > 0 && BASH_REMATCH[2] == 0))); then
    passes "${BASH_REMATCH[1]}"
    while read -r line; do
      [[ $line != "FAILED: "* ]] || fails "races: ${line#FAILED: }"
    done <<<"$output"
  else
    fails "races: sim_suite --races ended with status $status and did not count what it did"
  fi
}

# Those that are not in it (docs/races.md, "Beside the table"): tests of the simulation, and tests of release by
# the kernel's own faults.
other_races_in_sim=(MappedSim.DioSelfBuffer MappedSim.DioOntoItself MappedSim.DioAbba MappedSim.BufferedSelfBuffer
  MappedSim.DioBufferReadaheadIntoRange MappedSim.PartialDioFault)
other_races_by_faults=(mapping_test.Strategies/MappingWait.PunchVsFault mapping_test.Strategies/MappingWait.MapMidFill
  mapping_test.Strategies/MappingWait.UnlinkWhileMapped mapping.planted-faults
  mount_test.MappingTest.MountedWriteVsMappedStore mount_test.CutsTest.MountedShiftVsFault)

other_races() {
  local tests=() test before=$((passed + failed + skipped))
  mapfile -t tests < <(printf '%s\n' "${other_races_in_sim[@]}" | grep -F -- "$case_name")
  ((${#tests[@]} == 0)) || run_sim races "$race_seeds" "${tests[@]}"
  mapfile -t tests < <(printf '%s\n' "${other_races_by_faults[@]}" | grep -F -- "$case_name")
  if ((${#tests[@]} > 0)); then
    build release mapping_test mapping_faults mount_test || { fails "races: build of release"; return 0; }
    for test in "${tests[@]}"; do
      run_ctest races "$(build_dir release)" -R "^$(regex_quoted "$test")(/|\$)"
    done
  fi
  printf 'races beside the table: %d tests\n' $((passed + failed + skipped - before))
}

# The models print a line for each property, "ok WHAT" or "FAILED WHAT", and count them at the end. As
# many at once as there are processors.
part_spin() {
  local results model
  results=$(mktemp -d)
  for model in models/*.pml; do basename "$model" .pml; done |
    xargs -P "$jobs" -I MODEL bash -c '
      models/run_models.sh "$1" >"$2/$1" 2>&1
      echo $? >"$2/$1.status"' part_spin MODEL "$results"
  for model in models/*.pml; do
    model=$(basename "$model" .pml)
    count_model "$model" "$results/$model"
  done
  rm -rf "$results"
}

# count_model NAME RESULT: adds what was found of one model to the tally.
count_model() {
  local output status line before=$((passed + failed))
  output=$(cat "$2") status=$(cat "$2.status")
  while read -r line; do
    case $line in
      ok\ *) passes ;;
      FAILED\ *) fails "spin: ${line#FAILED }" ;;
    esac
  done <<<"$output"
  printf '%s\n' "$output"
  local counted=$((passed + failed - before))
  [[ $counted -gt 0 && $output =~ "models: "([0-9]+)" passed, "([0-9]+)" failed"$ ]] &&
    ((BASH_REMATCH[1] + BASH_REMATCH[2] == counted && (status == 0) == (BASH_REMATCH[2] == 0))) ||
    fails "spin: models/run_models.sh $1 ended with status $status and did not count what it did"
}

part_clang() {
  build_clang || { fails "clang: build"; return 0; }
  passes
  run_ctest clang build/clang -L '^package$'
}

part_lint() {
  # clang-tidy reads how clang compiles each file.
  configure_tidy || { fails "lint: configure"; return 0; }
  lint
}

# Sourced: runs the example programs of a directory and checks what they say and do.
#   check_examples BIN_DIR
check_examples() {
  local bin=$1 data output
  data=$(mktemp -d "$bin/data.XXXXXX")
  trap "rm -rf '$data'" EXIT

  output=$("$bin/hello" "$data")
  [[ $output == "quire "*" read back: hello, page cache" ]] || fail "hello said: $output"
  [[ $(<"$data/hello.txt") == "hello, page cache" ]] || fail "hello.txt is not what was written"
  # A mistake is reported with what was being done, and by the exit status.
  if output=$("$bin/hello" "$data/absent" 2>&1); then fail "hello accepted a missing directory"; fi
  [[ $output == *absent*"No such file"* ]] || fail "hello does not name the problem: $output"

  # The machine may refuse to map: then it says so.
  if output=$("$bin/map" "$data" 2>&1); then
    [[ $output == "hello, mapping (and gone)" ]] || fail "map said: $output"
  else
    [[ $output == "map: "*userfaultfd* ]] || fail "map failed: $output"
  fi
  output=$("$bin/mapped_file" "$data" 16 200) || fail "mapped_file failed: $output"
  [[ $(tail -n 1 <<<"$output") == "mapped_file: ok" ]] || fail "mapped_file said: $output"
  if output=$("$bin/mapped_file" "$data" 16 20 store) && [[ $output != *"reads and writes alone"* ]]; then
    fail "mapped_file does not notice that a store is left out"
  fi
  if "$bin/mapped_file" "$data" 1 2>/dev/null; then fail "mapped_file accepted 1 MiB"; fi

  output=$("$bin/hundred_line_store") || fail "hundred_line_store failed: $output"
  echo "$output"
}

fail() {
  echo "$1"
  exit 1
}

# Sourced by the tests beside it: runs a command and compares what it did with what it should.

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# run STATUS COMMAND...: fails unless it ends with STATUS. What it printed is in $out and $err.
run() {
  local wanted=$1 status=0
  shift
  timeout 60 "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
  out=$(<"$work/out") err=$(<"$work/err")
  [[ $status == "$wanted" ]] || wrong "'$*' ended with $status, not $wanted: $out $err"
}

wrong() {
  printf '%s\n' "$1"
  exit 1
}

# contains TEXT PART WHAT
contains() {
  [[ $1 == *"$2"* ]] || wrong "$3 does not say '$2': $1"
}

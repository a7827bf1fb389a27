#!/bin/bash
# command.sh CASE QUIRE MAP_STORE: the command over real mounts, as a user runs it. Exit status 77: this machine cannot,
# and why.
set -uo pipefail
case=$1 quire=$(realpath "$2") map_store=$(realpath "$3")

work=$(mktemp -d "${TMPDIR:-$PWD}/quire-command.XXXXXX")
chmod 755 "$work"
src=$work/source mnt=$work/mounted
mkdir "$src" "$mnt"
mounts=("$mnt")  # what must be gone at the end, the last made first

clean_up() {
  trap - EXIT
  kill "$watcher" 2>/dev/null
  local place
  for place in "${mounts[@]}"; do
    ! mountpoint -q "$place" || umount -l "$place" 2>/dev/null || fusermount3 -uz "$place" 2>/dev/null
  done
  rm -rf "$work"
}
trap clean_up EXIT

# A mount that hangs is aborted, and what waits for it wakes: the kernel's own control file system does that.
limit_s=100
[[ $case != wide-tree ]] || limit_s=580
(
  sleep "$limit_s" &
  trap "kill $!; exit" TERM
  wait $!
  device=$(awk -v place="$mnt" '$5 == place {split($3, d, ":"); print d[2]}' /proc/self/mountinfo)
  [[ -d /sys/fs/fuse/connections/$device ]] || mount -t fusectl fusectl /sys/fs/fuse/connections 2>/dev/null
  echo "FAILED: not done in $limit_s s; aborting"
  echo 1 >"/sys/fs/fuse/connections/$device/abort"
) &
watcher=$!

fails() {
  echo "FAILED: $*"
  exit 1
}
cannot() {
  echo "skipped: $*"
  exit 77
}
# expect STATUS COMMAND...: its output goes to $out.
expect() {
  local status=0 wanted=$1
  shift
  out=$("$@" 2>&1) || status=$?
  ((status == wanted)) || fails "$*: exit status $status instead of $wanted: $out"
}
# has TEXT: the last output contains it.
has() {
  [[ $out == *"$1"* ]] || fails "'$1' is not in: $out"
}
daemon_pid() {
  "$quire" stats "$mnt" --json | sed -n 's/.*"daemon_pid": *\([0-9]*\).*/\1/p'
}
# ended PID: a child of nobody who waits stays as a zombie.
ended() {
  [[ ! -d /proc/$1 || $(awk '{print $3}' "/proc/$1/stat") == Z ]]
}
# eventually COMMAND...: within a minute.
eventually() {
  local i
  for ((i = 0; i < 600; ++i)); do
    ! "$@" || return 0
    sleep 0.1
  done
  fails "still not after a minute: $*"
}
# Somebody who is not root, with a /dev/fuse that he may open, in a mount namespace of his own.
become_user() {
  ((EUID == 0)) || return 0
  [[ -n ${QUIRE_TEST_USER:-} ]] && return 0
  unshare -m true 2>/dev/null || cannot "needs a mount namespace of its own (CAP_SYS_ADMIN)"
  chown -R 65534:65534 "$work"
  env QUIRE_TEST_USER=1 unshare -m --propagation private bash -c '
    node=$1/fuse
    mknod "$node" c 10 229 && chmod 666 "$node" && mount --bind "$node" /dev/fuse || exit 77
    shift
    cd "$1" && exec setpriv --reuid 65534 --regid 65534 --clear-groups bash "${@:2}"
  ' become_user "$work" "$work" "$(realpath "$0")" "$case" "$quire"
  exit
}

case $case in
  life)
    expect 0 "$quire" mount "$src" "$mnt" --memory 16M
    has "is mounted on"
    echo text >"$mnt/file" || fails "writing"
    [[ -s $src/file ]] && fails "a closed file was written to the source at once"
    expect 0 "$quire" stats "$mnt"
    has "hit rate"
    expect 0 "$quire" stats "$mnt" --json
    has '"dirty_bytes"'
    expect 0 "$quire" stats "$mnt" --prometheus
    has "# TYPE"
    exec 9<"$mnt/file"
    expect 1 "$quire" unmount "$mnt"
    has "use"
    mountpoint -q "$mnt" || fails "a busy mount was unmounted"
    exec 9<&-
    pid=$(daemon_pid)
    expect 0 "$quire" unmount "$mnt"
    [[ $(cat "$src/file") == text ]] || fails "unmounting wrote nothing back"
    ! mountpoint -q "$mnt" || fails "still mounted"
    ended "$pid" || fails "the command returned while the daemon lives"
    expect 1 "$quire" unmount "$mnt"
    expect 1 "$quire" stats "$mnt"
    ;;

  fallocate)
    expect 0 "$quire" mount "$src" "$mnt"
    pages() { local p; for p in "$@"; do head -c 4096 /dev/zero | tr '\0' "$p"; done; }
    pages a b c d >"$mnt/file"
    pages a '\0' c d >"$work/expected"
    expect 0 "$quire" fallocate "$mnt/file" --punch 4K 4096
    cmp "$mnt/file" "$work/expected" || fails "other bytes after --punch"
    expect 0 "$quire" fallocate "$mnt/file" --zero --keep-size 12K 8K
    expect 0 "$quire" fallocate "$mnt/file" --zero 16K 4K
    pages a '\0' c '\0' '\0' >"$work/expected"
    cmp "$mnt/file" "$work/expected" || fails "other bytes after --zero"
    expect 2 "$quire" fallocate "$mnt/file" --zero --punch 0 4K
    expect 2 "$quire" fallocate "$mnt/file" --insert 0
    expect 1 "$quire" fallocate "$mnt/none" --insert 0 4K
    has "No such file"
    expect 1 "$quire" fallocate "$work/expected" --insert 0 4K
    has "does not lie in a mount of Quire"
    pages a b >"$src.probe"
    if fallocate --insert-range --offset 0 --length 4096 "$src.probe" 2>/dev/null; then
      expect 0 "$quire" fallocate "$mnt/file" --insert 8K 4K
      expect 0 "$quire" fallocate "$mnt/file" --collapse 0 4K
      pages '\0' '\0' c '\0' '\0' >"$work/expected"
      expect 1 "$quire" fallocate "$mnt/file" --collapse 0 20K
      has "before the end of the file, which has 20480 bytes"
      expect 1 "$quire" fallocate "$mnt/file" --insert 1 4K
      has "multiples of 4096"
    else
      expect 1 "$quire" fallocate "$mnt/file" --insert 8K 4K
      has "nothing was changed"
    fi
    cmp "$mnt/file" "$work/expected" || fails "other bytes after --insert and --collapse"
    expect 0 "$quire" unmount "$mnt"
    cmp "$src/file" "$work/expected" || fails "other bytes on the source"
    ;;

  foreground)
    "$quire" mount "$src" "$mnt" --foreground 2>"$work/said" &
    pid=$!
    eventually mountpoint -q "$mnt"
    echo text >"$mnt/file"
    kill -INT "$pid"
    status=0
    wait "$pid" || status=$?
    ((status == 0)) || fails "exit status $status after SIGINT: $(cat "$work/said")"
    [[ $(cat "$src/file") == text ]] || fails "SIGINT wrote nothing back"
    ! mountpoint -q "$mnt" || fails "still mounted"
    ;;

  refusals)
    expect 1 "$quire" mount "$src" "$work/gone"
    has "No such file"
    mkdir "$src/below"
    expect 1 "$quire" mount "$src" "$src/below"
    has "outside"
    expect 2 "$quire" mount "$src" "$mnt" --memory nonsense
    expect 2 "$quire" mount "$src" "$mnt" --memory 1M
    expect 0 "$quire" mount "$src" "$mnt"
    other=$(mktemp -d "$work-XXXXXX")
    trap 'rmdir "$other"; clean_up' EXIT
    mounts=("$other" "$mnt")
    for source in "$src" "$src/below" "$work" "$mnt"; do
      expect 1 "$quire" mount "$source" "$other"
      has "unmount"
    done
    expect 0 "$quire" unmount "$mnt"
    ;;

  # What cannot be written: unmounting is refused and says what it is about, until the data is given up.
  full)
    ((EUID == 0)) || cannot "needs root, to mount a small file system"
    mount -t tmpfs -o size=4m tmpfs "$src" 2>/dev/null || cannot "no tmpfs can be mounted here"
    mounts=("$mnt" "$src")
    expect 0 "$quire" mount "$src" "$mnt" --memory 64M
    echo small >"$mnt/small"
    # A full disk shows at the write, and what was taken until then is kept.
    dd if=/dev/zero of="$mnt/written" bs=1M count=8 2>"$work/dd" && fails "8 MiB into 4"
    grep -q "No space left on device" "$work/dd" || fails "dd says: $(cat "$work/dd")"
    sync "$mnt/written" || fails "what was written cannot be synced"
    rm "$mnt/written"
    # Not so stores into mapped memory: nobody can refuse those.
    truncate -s 8M "$mnt/big"
    "$map_store" "$mnt/big" || fails "storing into mapped memory"
    sync "$mnt/big" 2>/dev/null && fails "a sync succeeded on a full disk"
    expect 3 "$quire" unmount "$mnt"
    has "big: No space left on device"
    mountpoint -q "$mnt" || fails "unmounted all the same"
    [[ $(stat -c %s "$mnt/big") == 8388608 ]] || fails "the data is gone"
    # Room was made: everything can be written, and nothing is lost.
    mount -o remount,size=16m "$src"
    expect 0 "$quire" unmount "$mnt"
    [[ $(tr -d '\0' <"$src/big" | wc -c) == 2048 ]] || fails "the data was not written"
    mount -o remount,size=12m "$src"
    expect 0 "$quire" mount "$src" "$mnt" --memory 64M
    truncate -s 8M "$mnt/big2"
    "$map_store" "$mnt/big2" || fails "storing into mapped memory"
    expect 3 "$quire" unmount "$mnt" --discard
    has "big2"
    ! mountpoint -q "$mnt" || fails "still mounted after --discard"
    ;;

  # The kernel's table of a dead daemon's mount must be cleared without one.
  dead-daemon)
    expect 0 "$quire" mount "$src" "$mnt"
    kill -KILL "$(daemon_pid)"
    eventually eval '! ls "$mnt" >/dev/null 2>&1'
    expect 0 "$quire" unmount "$mnt"
    ! mountpoint -q "$mnt" || fails "still mounted"
    ;;

  no-shared-mmap)
    expect 0 "$quire" mount "$src" "$mnt" --no-shared-mmap
    has "cannot be mapped shared"
    cp /bin/true "$mnt/program" && "$mnt/program" || fails "a program on the mount does not run"
    expect 0 "$quire" stats "$mnt" --json
    has '"shared_mmap": false'
    expect 0 "$quire" unmount "$mnt"
    ;;

  threads-engine)
    expect 0 "$quire" mount "$src" "$mnt" --io threads --locking range
    dd if=/dev/urandom of="$work/data" bs=1M count=4 2>/dev/null
    cp "$work/data" "$mnt/data"
    cmp "$work/data" "$mnt/data" || fails "other bytes"
    expect 0 "$quire" unmount "$mnt"
    cmp "$work/data" "$src/data" || fails "other bytes on the source"
    ;;

  user)
    become_user
    [[ -u $(command -v fusermount3) ]] || cannot "fusermount3 is not setuid root"
    [[ -r /dev/fuse && -w /dev/fuse ]] || cannot "/dev/fuse cannot be opened"
    expect 1 "$quire" mount "$src" "$mnt" --allow-other
    has "user_allow_other"
    expect 0 "$quire" mount "$src" "$mnt"
    mkdir "$mnt/d" && echo text >"$mnt/d/f" && mv "$mnt/d" "$mnt/e" || fails "working as a user"
    chmod 400 "$mnt/e/f" && [[ $(cat "$mnt/e/f") == text ]] || fails "reading what is read-only"
    expect 0 "$quire" stats "$mnt"
    expect 0 "$quire" unmount "$mnt"
    [[ $(cat "$src/e/f") == text ]] || fails "nothing was written back"
    ;;

  # 200,000 files, of which the kernel knows all and the daemon has a thousand descriptors.
  wide-tree)
    for ((d = 0; d < 400; ++d)); do
      mkdir "$src/$d"
      (cd "$src/$d" && seq 500 | split -l 1 -a 3 -d - f)
    done
    (ulimit -n 1024 && "$quire" mount "$src" "$mnt") || fails "mounting"
    [[ $(find "$mnt" -type f | wc -l) == 200000 ]] || fails "find"
    [[ $(find "$mnt" -type f -print0 | xargs -0 cat | awk '{s += $1} END {print NR, s}') == "200000 50100000" ]] ||
      fails "reading"
    expect 0 "$quire" unmount "$mnt"
    ;;

  *)
    fails "no such case"
    ;;
esac

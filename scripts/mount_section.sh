#!/bin/bash
# mount_section.sh QUIRE [--small]: lets unmodified programs work on a mounted directory under a small budget
# of memory, and checks on the source, after it was unmounted, what they left. --small: a part of the data,
# for a test. The last line is "mount section: ok", "mount section: FAILED (what)" or "mount section: not
# possible here"; the exit status is 1 only for FAILED.
set -uo pipefail

quire=$(realpath "$1")
small=${2:-}
memory=64M
rows_min=200000
files=(/usr/share/cmake-* /usr/include)
fio_size=64m
if [[ $small == --small ]]; then
  rows_min=5000
  files=(/usr/include/linux)
  fio_size=4m
fi

scratch=$(mktemp -d "${TMPDIR:-/var/tmp}/quire-mounted.XXXXXX")
source=$scratch/source mounted=$scratch/mounted beside=$scratch/beside log=$scratch/log
mkdir "$source" "$mounted" "$beside"

clean_up() {
  trap - EXIT
  if mountpoint -q "$mounted"; then
    umount -l "$mounted" 2>/dev/null || fusermount3 -uz "$mounted" 2>/dev/null
  fi
  rm -rf "$scratch"
}
trap clean_up EXIT
for signal in INT TERM HUP; do
  trap "trap '' $signal; echo 'mount section: FAILED (interrupted)'; exit 1" "$signal"
done

failed() {
  tail -n 20 "$log"
  echo "mount section: FAILED ($1)"
  exit 1
}

# check WHAT COMMAND...: a line with the time that it took.
check() {
  local what=$1 began
  shift
  began=$(date +%s%N)
  "$@" >"$log" 2>&1 || failed "$what"
  printf '  %-60s %6.1f s\n' "$what" "$((($(date +%s%N) - began) / 100000000))e-1"
}

# (a) A repository of thousands of objects, cloned in packed form, taken apart again, and committed to.
git_identity=(-c user.name=main-job -c user.email=main-job@localhost -c init.defaultBranch=main
  -c safe.directory='*' -c gc.auto=0)
g() { git "${git_identity[@]}" "$@"; }
git_prepare() {
  g init -q "$beside/origin" && cp -rL --no-preserve=ownership "${files[0]}" "$beside/origin/" &&
    g -C "$beside/origin" add -A && g -C "$beside/origin" commit -q -m everything &&
    g -C "$beside/origin" repack -adq || return 1
  objects=$(g -C "$beside/origin" count-objects -v | awk '$1 == "in-pack:" {print $2}')
}
git_work() {
  local repository=$1
  g clone -q --no-hardlinks "$beside/origin" "$repository" &&
    mv "$repository"/.git/objects/pack "$beside/pack" && mkdir "$repository/.git/objects/pack" &&
    cat "$beside"/pack/*.pack | g -C "$repository" unpack-objects -q &&
    g -C "$repository" mv "$(basename "${files[0]}")" moved &&
    g -C "$repository" commit -q -m moved &&
    git_check "$repository"
}
git_check() {
  local changed
  g -C "$1" fsck --full --strict --no-dangling && changed=$(g -C "$1" status --porcelain) &&
    [[ -z $changed ]] || { echo "fsck failed, or status: ${changed:-}"; return 1; }
}

# (b) A database of real text, line by line, in both journal modes.
sqlite_prepare() {
  find "${files[@]}" -type f -print0 | sort -z |
    xargs -0 awk '{gsub(/[\t"]/, " "); print FILENAME "\t" FNR "\t" $0}' | head -n $((2 * rows_min)) \
    >"$beside/rows"
  rows=$(wc -l <"$beside/rows")
  ((rows >= rows_min)) || { echo "only $rows lines of text"; return 1; }
}
sqlite_work() {
  local mode=$1
  sqlite3 -bail "$mounted/$mode.db" >"$beside/$mode.out" <<SQL || return 1
PRAGMA journal_mode=$mode;
CREATE TABLE line(file TEXT, number INTEGER, text TEXT);
.mode tabs
.import $beside/rows line
CREATE INDEX by_file ON line(file, number);
UPDATE line SET text = text || '!' WHERE number % 7 = 0;
DELETE FROM line WHERE number % 11 = 0;
SQL
  [[ $(head -n 1 "$beside/$mode.out") == "$mode" ]] || { cat "$beside/$mode.out"; return 1; }
  sqlite_check "$mounted/$mode.db"
}
sqlite_check() {
  local sums
  [[ $(sqlite3 "$1" 'PRAGMA integrity_check') == ok ]] || return 1
  sums=$(sqlite3 "$1" 'SELECT count(*), sum(length(CAST(text AS BLOB))) FROM line')
  [[ $sums == "$(LC_ALL=C awk -F '\t' '$2 % 11 {n++; b += length($3) + ($2 % 7 == 0)} END {print n "|" b}' \
    "$beside/rows")" ]] || { echo "count and bytes: $sums"; return 1; }
}

# (c) A tree of thousands of files, compared by contents, modes and time stamps.
tar_prepare() {
  tar -cf "$beside/tree.tar" -h --hard-dereference -C / "${files[@]#/}"
  members=$(tar -tf "$beside/tree.tar" | wc -l)
}
tar_work() {
  mkdir "$mounted/tree" && tar -xpf "$beside/tree.tar" -C "$mounted/tree" && tar_check "$mounted/tree"
}
tar_check() {
  tar -df "$beside/tree.tar" -C "$1"
}

# (d) Random writes, verified, by read(2) and write(2) with and without O_DIRECT, each job on a file of its own.
fio_job() {
  fio --directory="$1" --size=$fio_size --verify=crc32c --verify_fatal=1 --ioengine=psync \
    --randseed=1 --verify_state_save=0 --group_reporting --output="$beside/fio.out" "${@:2}" \
    --name=buffered --rw=randwrite --bs=4k-32k --blockalign=4k --numjobs=2 --direct=0 \
    --name=direct --rw=randwrite --bs=4k-32k --blockalign=4k --numjobs=2 --direct=1 || {
    cat "$beside/fio.out"
    return 1
  }
}
fio_work() {
  mkdir "$mounted/fio" && fio_job "$mounted/fio" --end_fsync=1
}

if ! "$quire" doctor "$source" >"$log" 2>&1; then
  cat "$log"
  echo "Nothing can be mounted here; what is above with a no says how to allow it."
  echo "mount section: not possible here"
  exit 0
fi

check "what the programs will work on" eval 'git_prepare && sqlite_prepare && tar_prepare'
printf '  %s git objects, %s rows, %s members of an archive; %s of memory\n' \
  "$objects" "$rows" "$members" "$memory"
[[ $small == --small ]] || ((objects >= 2000 && members >= 2000)) || failed "too little real data in ${files[*]}"
check "mount" "$quire" mount "$source" "$mounted" --memory "$memory"
check "git: clone, unpack, commit, fsck, status" git_work "$mounted/repository"
shared=yes
"$quire" stats "$mounted" --json | grep '"shared_mmap": *true' >/dev/null || shared=no
if [[ $shared == yes ]]; then
  check "SQLite in WAL mode" sqlite_work wal
else
  echo "  SQLite in WAL mode needs files that can be mapped shared: left out"
fi
check "SQLite with a rollback journal" sqlite_work delete
check "tar: extract, compare contents, modes and stamps" tar_work
check "fio: verified random writes, buffered and direct" fio_work
"$quire" stats "$mounted" || failed "stats"
check "unmount" "$quire" unmount "$mounted"

check "on the source: git fsck, status" git_check "$source/repository"
[[ $shared == no ]] || check "on the source: SQLite, WAL mode" sqlite_check "$source/wal.db"
check "on the source: SQLite, rollback journal" sqlite_check "$source/delete.db"
check "on the source: the tree" tar_check "$source/tree"
check "on the source: fio's files" fio_job "$source/fio" --verify_only
echo "mount section: ok"

#!/bin/bash
# Where nothing of Quire's is mounted, the commands say what is there and change nothing.
#   no_mount.sh QUIRE
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
quire=$1

for command in unmount stats; do
  run 1 "$quire" "$command" "$work"
  contains "$err" "nothing is mounted on $work" "$command"
  run 1 "$quire" "$command" /proc
  contains "$err" "/proc is a mount of type proc" "$command"
  run 1 "$quire" "$command" "$work/none"
  contains "$err" "No such file or directory" "$command"
  [[ $(wc -l <"$work/err") == 1 ]] || wrong "$command said more than a line: $err"
done
[[ -e /proc/self ]] || wrong "/proc is no longer mounted"

for foreground in "" --foreground; do
  run 1 "$quire" mount $foreground "$work/none" "$work"
  contains "$err" "$work/none: No such file or directory" "mount"
  run 1 "$quire" mount $foreground "$work" "$work/none"
  contains "$err" "$work/none: No such file or directory" "mount"
done

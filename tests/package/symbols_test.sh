#!/bin/bash
# libquire.so exports the public interface and nothing else.
#   symbols_test.sh LIBQUIRE_SO
set -euo pipefail
library=$1
symbols=$(nm -DC --defined-only "$library" | cut -d' ' -f2-)

# Public names: functions of namespace quire and members of its exported classes, never a nested
# namespace (those begin with a lower-case letter, as functions do, and are followed by ::), and never
# an Impl class.
public='^[TVWR] (vtable for |typeinfo for |typeinfo name for )?quire::[A-Za-z_]'
internal='quire::(sync|fault|store|cache|file|sim|\(anonymous namespace\))::|Impl\b'

status=0
if others=$(grep -vE "$public" <<<"$symbols"); then
  echo "exported, but not of namespace quire:"; echo "$others"; status=1
fi
if private=$(grep -E "$internal" <<<"$symbols"); then
  echo "exported, but internal:"; echo "$private"; status=1
fi
# The test would pass on an empty list: what a program cannot do without must be there.
for name in 'quire::version\(\)' 'quire::quire_category\(\)' 'quire::Cache::create' \
  'quire::File::read\(' 'quire::open_host_store' 'quire::MemoryStore::create' \
  'typeinfo for quire::Store$'; do
  grep -qE " $name" <<<"$symbols" || { echo "not exported: $name"; status=1; }
done
echo "$(wc -l <<<"$symbols") symbols"
exit $status

#!/bin/bash
# Runs the random tester PROGRAM under all four strategies for QUIRE_SECONDS in all (default 60).
set -euo pipefail
seconds=${QUIRE_SECONDS:-60}
exec "$1" --seconds $(((seconds + 3) / 4))

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Run a KUnit suite, given as its directory in debugfs, once more.
set -eu
echo 1 >"$1/run"
! grep '^ *not ok' "$1/results"
grep -q '^ok' "$1/results" || grep -q '^ *ok' "$1/results"

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# In the guest: the list of commands that could notice a mutant, and the run.
set -eu

# The harness prints fixtures, their variants and their tests in columns, which
# have nothing to do with each other. A test is run in all its variants.
mirror.sh -l 2>/tmp/list >/dev/null || :
awk '
	/^#/ || /^--/ { next }
	substr($0, 1, 1) != " " { fixture = $1 }
	length($0) > 47 { print "mirror.sh -f", fixture, "-t", substr($0, 48) }
' /tmp/list >/tmp/scenarios
for suite in /sys/kernel/debug/kunit/mmu_notifier*; do
	echo "kunit.sh $suite" >>/tmp/scenarios
done
exec run_mutants /tmp/scenarios /bin/equivalent "$@"

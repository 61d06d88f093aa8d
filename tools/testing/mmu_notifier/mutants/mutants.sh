#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# In the guest: the list of commands that could notice a mutant, and the run.
set -eu

# The harness prints fixtures, their variants and their tests in columns, each
# from the top. This also sets up what the tests want to find.
mirror.sh -l 2>/tmp/list >/dev/null || :
awk '
	function flush_fixture(  v, t) {
		for (t = 1; t <= tests; t++)
			for (v = 1; v <= variants; v++)
				print "exec mirror_test -r", fixture "." variant[v] "." test[t]
		variants = tests = 0
	}
	/^#/ || /^--/ { flush_fixture(); next }
	{
		if (substr($0, 1, 1) != " ")
			fixture = $1
		column = substr($0, 22, 25)
		gsub(/ /, "", column)
		if (column != "")
			variant[++variants] = column
		column = substr($0, 48)
		if (column != "")
			test[++tests] = column
	}
	END { flush_fixture() }
' /tmp/list >/tmp/scenarios
for suite in /sys/kernel/debug/kunit/*notifier*; do
	echo "exec kunit.sh $suite" >>/tmp/scenarios
done
exec run_mutants /tmp/scenarios /bin/equivalent "$@"

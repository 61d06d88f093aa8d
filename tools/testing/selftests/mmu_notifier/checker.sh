#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The checker for missing notifications, CONFIG_DEBUG_MMU_NOTIFIER: its users, its
# switch, and its trial. With "off" as an argument: the kernel was booted with
# mmu_notifier_debug.enabled=0.
set -u

file=/sys/kernel/debug/mmu_notifier_debug
switch=/sys/module/mmu_notifier_debug/parameters/enabled
first=${1-on}
n=0 passed=0 failed=0

if [ "$(id -u)" != 0 ] || [ ! -f $file ]; then
	echo "skip: needs root, debugfs and CONFIG_DEBUG_MMU_NOTIFIER"
	exit 4
fi

number() {
	sed -n "s/^$1 //p" $file
}
# The console's log is searched for warnings: these ones are wanted.
kmsg() {
	echo "mmu_notifier_test: $*" >/dev/kmsg
}
warnings() {
	dmesg | grep -c 'WARNING: mmu_notifier: an entry is cleared'
}
# try: have a change made that is not announced
try() {
	_status=0
	kmsg "expecting a warning {"
	echo test 2>/dev/null >$file || _status=1
	kmsg "} end of expected warning"
	return $_status
}
# case_ NAME COMMAND: by its exit status
case_() {
	n=$((n + 1))
	if "$2"; then
		passed=$((passed + 1))
		echo "ok $n $1"
	else
		failed=$((failed + 1))
		echo "not ok $n $1"
	fi
}

boots_as_told() {
	if [ "$first" = off ]; then
		[ "$(cat $switch)" = N ] && [ "$(number enabled)" = 0 ] &&
			[ "$(number changes)" = 0 ] && echo 1 >$switch
	else
		[ "$(cat $switch)" = Y ] && [ "$(number enabled)" = 1 ]
	fi
}
for_root_alone() {
	for _file in $file $switch; do
		[ "$(stat -c '%u %a' "$_file")" = '0 600' ] || return 1
	done
}
finds_nothing_wrong() {
	[ "$(number reports)" = 0 ]
}
# Each time, not only the first.
reports_what_is_asked_for() {
	_before=$(warnings)
	try && try && [ "$(warnings)" = $((_before + 2)) ] &&
		dmesg | grep -q 'asked for through debugfs'
}
counts_no_fault() {
	[ "$(number reports)" = 0 ] && [ "$(number unprinted)" = 0 ]
}
refuses_nonsense() {
	! (echo foo >$file) 2>/dev/null && ! (echo testtesttest >$file) 2>/dev/null
}
judges_what_happens() {
	_before=$(number changes)
	/bin/true
	[ "$(number changes)" -gt "$_before" ]
}
is_silent_when_off() {
	echo 0 >$switch
	_warnings=$(warnings) _changes=$(number changes)
	/bin/true
	! try 2>/dev/null && [ "$(warnings)" = "$_warnings" ] &&
		[ "$(number enabled)" = 0 ] && [ "$(number changes)" = "$_changes" ]
}
works_again_when_on() {
	echo 1 >$switch
	_before=$(warnings)
	try && [ "$(warnings)" = $((_before + 1)) ] && judges_what_happens &&
		counts_no_fault
}

echo "TAP version 13"
echo "1..9"
for name in boots_as_told for_root_alone finds_nothing_wrong reports_what_is_asked_for \
	counts_no_fault refuses_nonsense judges_what_happens is_silent_when_off \
	works_again_when_on; do
	case_ $name $name
done
echo "# Totals: pass:$passed fail:$failed xfail:0 xpass:0 skip:0 error:0"
[ "$failed" = 0 ]

# SPDX-License-Identifier: GPL-2.0
# Sourced by the commands in bin/: paths, messages, packages.
# shellcheck shell=sh disable=SC2034

top=$(cd "$(dirname "$0")/.." && pwd)
build=$top/build
jobs=$(nproc)
# What Debian calls the base.
package=linux-source-6.12
export CCACHE_DIR="${CCACHE_DIR:-$build/ccache}"

say() {
	printf '%s\n' "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Everything is made below build/: can we?
writable_build() {
	mkdir -p "$build" 2>/dev/null && [ -w "$build" ] && [ -x "$build" ] && return
	_owner=$(stat -c %U "$build" 2>/dev/null || stat -c %U "$top")
	die "cannot write to $build: you are $(id -un), it belongs to $_owner. All that is" \
		"fetched and made goes there: run this as $_owner, or in a clone of your own" \
		"(git clone $top)."
}

# need COMMAND:PACKAGE...: install each package whose command (or, with a
# slash in it, file) is missing.
need() {
	_missing=
	for _pair; do
		case ${_pair%%:*} in
		*/*) [ -e "${_pair%%:*}" ] ;;
		*) command -v "${_pair%%:*}" >/dev/null ;;
		esac || _missing="$_missing ${_pair#*:}"
	done
	[ -n "$_missing" ] || return 0
	[ "$(id -u)" = 0 ] ||
		die "missing Debian packages:$_missing. Install them, or run this as root."
	say "installing:$_missing"
	mkdir -p "$build"
	# shellcheck disable=SC2086
	{ apt-get update && DEBIAN_FRONTEND=noninteractive \
		apt-get install -y --no-install-recommends $_missing; } \
		>"$build/apt.log" 2>&1 ||
		die "apt-get could not install$_missing; see $build/apt.log"
}

# kver DIR: the version of the kernel tree in DIR, empty if it is none.
kver() {
	[ ! -f "$1/Makefile" ] || sed -n 's/^\(VERSION\|PATCHLEVEL\|SUBLEVEL\) = \([0-9]*\)$/\2/p' \
		"$1/Makefile" | paste -sd.
}

# The releases that the series was tried with, the newest first.
tried() {
	grep -v -e '^#' -e '^$' "$top/baseline/versions" | sort -rV
}

# Is this a version that the series was tried with?
known_version() {
	grep -qxF "$1" "$top/baseline/versions"
}

# neighbours VERSION: of those tried the next newer and the next older one
neighbours() {
	known_version "$1" || {
		tried
		echo "$1 *"
	} | sort -rV | grep -F -B 1 -A 1 "$1 *" | grep -vF "$1 *" || :
}

# touched VERSION SERIES: make that series, and print the files that it changes or adds
touched() {
	"$top/bin/patches" "$1" "$2"
	patches "$2" | while IFS= read -r _patch; do
		sed -n 's/^+++ b\/\([^[:space:]]*\).*/\1/p' "$top/$_patch"
	done | sort -u
}

# Of Kconfig.fragment, what only the series has: for grep -E.
series_options='^CONFIG_((DEBUG|SAMPLE)_(MMU_NOTIFIER|XPMEM)|MMU_NOTIFIER_|(EMM|EXPORT)_NOTIFIER|XPMEM)'

# patches SERIES: what it, or a part of it, names
patches() {
	sed -e 's/[[:space:]]*#.*//' -e '/^$/d' "$1"
}

# concerned TREE FILES: the files of TREE that the strip reads, and of FILES, those
# that the series changes or adds, the ones that are there
concerned() {
	{
		"$top/baseline/strip" --list "$1"
		cat "$2"
		printf '%s\n' Makefile scripts/unifdef.c mm/Kconfig
	} | sort -u | while IFS= read -r _file; do
		[ ! -e "$1/$_file" ] || printf '%s\n' "$_file"
	done
}

# merge_config TREE OUT FRAGMENT: a .config in OUT.  What does not come true is no error.
merge_config() {
	(cd "$1" && env -u ARCH ./scripts/kconfig/merge_config.sh -n -O "$2" "$3")
}

# quilt for the tree in the current directory, with the series in $series and
# nothing of the user's settings.
series=$build/series
quilt_here() {
	QUILT_PATCHES=$top QUILT_SERIES=$series QUILT_PC=.pc \
		QUILT_PATCH_OPTS=--fuzz=0 QUILT_DIFF_ARGS='' QUILT_REFRESH_ARGS='' \
		quilt --quiltrc - "$@"
}

# number TEXT WORD: the number before WORD in TEXT, 0 if there is none.
number() {
	_number=$(printf ' %s\n' "$1" | sed -n "s/.*[^0-9]\([0-9][0-9]*\) $2.*/\1/p")
	echo "${_number:-0}"
}

# SPDX-License-Identifier: GPL-2.0
# Sourced by the commands in bin/: paths, messages, packages.
# shellcheck shell=sh disable=SC2034

top=$(cd "$(dirname "$0")/.." && pwd)
build=$top/build
jobs=$(nproc)
export CCACHE_DIR="${CCACHE_DIR:-$build/ccache}"

say() {
	printf '%s\n' "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
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

# Is this a version that the series was made for?
known_version() {
	grep -qxF "$1" "$top/baseline/versions"
}

# Of Kconfig.fragment, what only the series has: for grep -E.
series_options='^CONFIG_((DEBUG|SAMPLE)_(MMU_NOTIFIER|XPMEM)|MMU_NOTIFIER_|(EMM|EXPORT)_NOTIFIER|XPMEM)'

# patches SERIES: what it, or a part of it, names
patches() {
	sed -e 's/[[:space:]]*#.*//' -e '/^$/d' "$1"
}

# merge_config TREE OUT FRAGMENT: a .config in OUT.  What does not come true is no error.
merge_config() {
	(cd "$1" && env -u ARCH ./scripts/kconfig/merge_config.sh -n -O "$2" "$3")
}

# quilt for the tree in the current directory, with this repository's series
# and nothing of the user's settings.
quilt_here() {
	QUILT_PATCHES=$top QUILT_SERIES=$top/series QUILT_PC=.pc \
		QUILT_PATCH_OPTS=--fuzz=0 QUILT_DIFF_ARGS='' QUILT_REFRESH_ARGS='' \
		quilt --quiltrc - "$@"
}

# number TEXT WORD: the number before WORD in TEXT, 0 if there is none.
number() {
	_number=$(printf ' %s\n' "$1" | sed -n "s/.*[^0-9]\([0-9][0-9]*\) $2.*/\1/p")
	echo "${_number:-0}"
}

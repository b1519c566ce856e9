# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Sourced by the scripts of this directory: die(), load_target(), sysroot_dir().
cross_dir=$(cd "$(dirname "$0")" && pwd)

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

need() {
	for tool; do
		command -v "$tool" >/dev/null || die "$tool is missing (see ci/packages)"
	done
}

# load_target NAME: sets target_*.
load_target() {
	case $1 in
	*[!a-z0-9_]* | '') die "\"$1\" is no target name" ;;
	esac
	[ -f "$cross_dir/$1.target" ] ||
		die "no target \"$1\" (there are: $(cd "$cross_dir" && echo *.target | sed 's/\.target//g'))"
	# shellcheck source=cross/aarch64.target
	. "$cross_dir/$1.target"
}

# The directory names what is in it, so that a changed list makes a new sysroot.
sysroot_dir() {
	suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-unknown}")
	list=$(sed 's/[ #].*//' "$cross_dir/packages" | cksum | cut -d' ' -f1)
	echo "${TSLAB_CROSS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tslab}/sysroot-$target_debian_arch-$suite-$list"
}

# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Sourced by the scripts of this directory and below, which set cross_dir before: die(), need(),
# load_target(), cache_dir(), sysroot_packages(), sysroot_dir().
: "${cross_dir:?}"

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
	target_debian_suite=
	target_cc=
	case $1 in
	*[!a-z0-9_]* | '') die "\"$1\" is no target name" ;;
	esac
	[ -f "$cross_dir/$1.target" ] ||
		die "no target \"$1\" (there are: $(cd "$cross_dir" && echo *.target | sed 's/\.target//g'))"
	# shellcheck source=cross/aarch64.target
	. "$cross_dir/$1.target"
	: "${target_cc:=$target_host-gcc}"
}

# Sysroots and kernels: what takes long to make and depends on the machine's Debian alone.
cache_dir() {
	echo "${TSLAB_CROSS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tslab}"
}

# The names in cross/packages, without those for another target.
sysroot_packages() {
	sed -e "/\\[$target_debian_arch]/!{/ \\[[a-z0-9]*]/d}" -e 's/[ #].*//' "$cross_dir/packages"
}

# The directory names what is in it, so that a changed list makes a new sysroot.
sysroot_dir() {
	suite=${target_debian_suite:-$(. /etc/os-release && echo "${VERSION_CODENAME:-unknown}")}
	list=$(sysroot_packages | cksum | cut -d' ' -f1)
	echo "$(cache_dir)/sysroot-$target_debian_arch-$suite-$list"
}

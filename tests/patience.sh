# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Sourced by tests that have to do with time: a machine may be slow, and busy with other things.

# await COMMAND...: until it succeeds. What has not come after two minutes is not waited for any more.
await() {
	deadline=$(($(date +%s) + 120))
	until "$@" >/dev/null 2>&1; do
		[ "$(date +%s)" -lt $deadline ] || return 1
		sleep 0.1
	done
}

# thrice COMMAND...: for a claim that a processor taken away at the wrong moment denies; what is wrong stays wrong
thrice() {
	"$@" || "$@" || "$@"
}

#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: tests/cli/interference.sh TSLAB PID
# How much longer sampled allocations of a process take by the clock than by the CPU's time, on this kind of machine.
# A virtual machine was said to show two or three times, bare metal 1.1 times: one of both is here, the other needs
# hardware. The clocks' own time is taken off either, so that short allocations may well show less than 1.
set -eu
# shellcheck source=tests/patience.sh
. "$(dirname "$0")/../patience.sh"
tslab=$1
pid=$2
"$tslab" set sample-rate=16 "$pid"
samples() {
	[ "$("$tslab" stats --json "$pid" | jq .sampling.alloc_samples)" -ge 1000 ]
}
await samples
"$tslab" set sample-rate=0 "$pid"
ratio=$("$tslab" stats --json "$pid" | jq '.sampling.wall_cpu_ratio * 100 | round / 100')
if grep -q '^flags.* hypervisor' /proc/cpuinfo; then
	echo "virtual machine: wall by CPU $ratio"
	echo 'bare metal: needs hardware'
else
	echo "no hypervisor is shown: wall by CPU $ratio"
	echo 'virtual machine: needs hardware'
fi
awk -v ratio="$ratio" 'BEGIN { exit !(ratio > 0) }'

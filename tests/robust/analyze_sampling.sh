#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: tests/robust/analyze_sampling.sh LOG...
# The truth table of sampled allocations. Reads lines as `sampling` prints them, others are passed over:
#   wait above cpu                  the scheduler: threads wait for a CPU; no work on the allocator helps
#   cpu twice that of simple_test   contention: the work itself became dearer
#   repairs                         lists had to be repaired
#   none of these                   the allocator's own work
# Exit status 1 if there is no such line.
exec awk '
function value(name,   i, pair) {
	for (i = 2; i <= NF; i++) {
		split($i, pair, "=")
		if (pair[1] == name) return pair[2] + 0
	}
	return -1
}
$2 ~ /^threads=[0-9]+$/ && value("samples") > 0 && value("cpu_ns") >= 0 && value("wait_ns") >= 0 {
	n++
	name[n] = $1; threads[n] = value("threads"); samples[n] = value("samples")
	cpu[n] = value("cpu_ns"); wait[n] = value("wait_ns"); repairs[n] = value("repairs")
	if ($1 == "simple_test") base = cpu[n]
}
END {
	if (!n) { print "no line of figures" > "/dev/stderr"; exit 1 }
	printf "%-26s %7s %8s %8s %8s %8s  %s\n", "test", "threads", "samples", "cpu ns", "wait ns", "repairs", "finding"
	for (i = 1; i <= n; i++) {
		finding = wait[i] > cpu[i] ? "scheduler" : base && cpu[i] >= 2 * base ? "contention" : "allocator"
		if (repairs[i] > 0) finding = finding " repairs"
		printf "%-26s %7d %8d %8d %8d %8d  %s\n", name[i], threads[i], samples[i], cpu[i], wait[i], repairs[i],
			finding
	}
}' "$@"

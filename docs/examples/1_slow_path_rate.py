# SPDX-License-Identifier: MIT
"""Slow paths by the second between two snapshots."""
from snapshots import arguments


def slow_path_rate(snap1, snap2):
    delta_hits = snap2.total_slow_path_hits - snap1.total_slow_path_hits
    delta_time = (snap2.timestamp_ns - snap1.timestamp_ns) / 1e9
    return delta_hits / delta_time


before, after = arguments(2)[:2]
print(f"Slow path rate: {slow_path_rate(before, after):.2f} hits/sec")

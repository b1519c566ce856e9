# SPDX-License-Identifier: MIT
"""Slabs in use that rise from snapshot to snapshot."""
from snapshots import arguments


def detect_leak(snapshots):
    # Linear growth in net_slabs suggests leak
    net_slabs = [s.net_slabs for s in snapshots]
    if all(net_slabs[i] < net_slabs[i + 1] for i in range(len(net_slabs) - 1)):
        return True  # Monotonically increasing = leak
    return False


print("leak" if detect_leak(arguments(2)) else "no leak")

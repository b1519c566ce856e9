# SPDX-License-Identifier: MIT
"""What closing epochs took and gave back between two snapshots."""
from snapshots import arguments


def epoch_close_metrics(snap1, snap2):
    """Calculate epoch_close performance between two snapshots."""
    delta_time = (snap2.timestamp_ns - snap1.timestamp_ns) / 1e9

    # Global metrics across all classes
    delta_calls = sum(c.epoch_close_calls for c in snap2.classes) - \
        sum(c.epoch_close_calls for c in snap1.classes)
    delta_scanned = sum(c.epoch_close_scanned_slabs for c in snap2.classes) - \
        sum(c.epoch_close_scanned_slabs for c in snap1.classes)
    delta_recycled = sum(c.epoch_close_recycled_slabs for c in snap2.classes) - \
        sum(c.epoch_close_recycled_slabs for c in snap1.classes)
    delta_ns = sum(c.epoch_close_total_ns for c in snap2.classes) - \
        sum(c.epoch_close_total_ns for c in snap1.classes)

    return {
        "epoch_close_rate": delta_calls / delta_time,  # calls/sec
        "avg_latency_ms": (delta_ns / delta_calls / 1e6) if delta_calls > 0 else 0,
        "reclamation_yield": (delta_recycled / delta_scanned) if delta_scanned > 0 else 0,
        "slabs_recycled_rate": delta_recycled / delta_time,  # slabs/sec
    }


metrics = epoch_close_metrics(*arguments(2)[:2])
print(f"Epoch close rate: {metrics['epoch_close_rate']:.2f} calls/sec")
print(f"Average latency: {metrics['avg_latency_ms']:.3f} ms")
print(f"Reclamation yield: {metrics['reclamation_yield']:.1%}")

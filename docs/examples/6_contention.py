# SPDX-License-Identifier: MIT
"""Locks that waited and frees that tried again between two snapshots, by size class."""
from snapshots import arguments


def contention_diagnostics(snap1, snap2):
    """Analyze multi-threading contention between snapshots."""
    for cls in snap2.classes:
        cls1 = snap1.classes[cls.class_index]

        # Lock contention rate
        delta_fast = cls.lock_fast_acquire - cls1.lock_fast_acquire
        delta_contended = cls.lock_contended - cls1.lock_contended
        total = delta_fast + delta_contended
        lock_rate = delta_contended / total if total > 0 else 0

        # CAS retry rate
        delta_retries = cls.bitmap_free_cas_retries - cls1.bitmap_free_cas_retries
        delta_attempts = cls.bitmap_free_attempts - cls1.bitmap_free_attempts
        cas_retry_rate = delta_retries / delta_attempts if delta_attempts > 0 else 0

        if total == 0 and delta_attempts == 0:
            continue
        print(f"Class {cls.object_size}B:")
        print(f"  Lock contention: {lock_rate:.1%}")
        print(f"  CAS retries/op: {cas_retry_rate:.4f}")

        # Alert thresholds
        if lock_rate > 0.20:
            print("  HIGH: a larger retain_bytes of the heap")
        if cas_retry_rate > 0.05:
            print("  HIGH: free where it was allocated, or many at once (tslab_free_many)")


contention_diagnostics(*arguments(2)[:2])

# SPDX-License-Identifier: MIT
"""Slabs that needed no new chunk."""
from snapshots import arguments


def cache_hit_rate(snapshot):
    total_fast = sum(c.new_slab_count - c.slow_path_cache_miss
                     for c in snapshot.classes)
    total_allocs = sum(c.new_slab_count for c in snapshot.classes)
    return total_fast / total_allocs if total_allocs > 0 else 1.0


print(f"Cache hit rate: {cache_hit_rate(arguments(1)[0]):.1%}")

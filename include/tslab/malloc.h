/* SPDX-License-Identifier: MIT */
/*
 * tslab: a malloc to preload.
 *
 * libtslab-malloc.so replaces malloc, calloc, realloc, reallocarray, free, cfree, memalign,
 * aligned_alloc, posix_memalign, valloc, pvalloc, malloc_usable_size, malloc_trim, malloc_stats, mallinfo
 * and mallinfo2 of a program that knows nothing of it:
 *
 *   LD_PRELOAD=libtslab-malloc.so program
 *
 * It serves from the first call on, before any constructor has run, in every thread until its last
 * destructor, and in the child of fork. All objects lie in one epoch that lasts as long as the process;
 * the tool shows it as it shows any other. A program that uses libtslab as well keeps its epochs apart:
 * nothing that comes from malloc ever lands in them, also while a thread is inside one.
 *
 * What a program can rely on is what glibc documents: alignment to 16; malloc(0) and calloc(0, n) give a
 * unique object, realloc(p, 0) frees p and returns NULL; no memory is NULL with ENOMEM; free leaves
 * errno alone. Alignments reach 4 MiB. Where glibc ends the program, tslab does not: a second free and a
 * free of what is no object's start are refused, counted and reported in one line on stderr, and
 * TSLAB_ON_ERROR=abort makes them fatal. mallopt and malloc_info still speak of glibc's own, empty heap.
 *
 * Freed memory is kept for reuse up to a bound: 1 MiB a thread and 2.75 MiB more if it uses sizes of all
 * classes, and for the process 64 MiB, or an eighth of the memory in use where that is more, and half as much
 * again in threads that fill and empty their memory in turn. What the program takes back within a second is kept
 * beyond that, with the memory in use up to what was in use in the last two, until it lay there for a second and
 * something is freed or taken. TSLAB_RETAIN=16M sets an exact number for the process, 0 keeps nothing there;
 * malloc_trim returns all of it, but what other threads keep.
 *
 * There is no second allocator behind it. The one thing that can come from another allocator is a
 * pointer: of a library that was loaded with RTLD_DEEPBIND, say. It is refused and counted as a fallback
 * (tslab_malloc_fallbacks); the memory stays where it is, since nobody can tell whose it was.
 *
 * Not for programs that bring a malloc of their own (valgrind, sanitizers, statically linked ones), nor,
 * as any preloaded library, for those that run with more privileges than their user.
 */
#ifndef TSLAB_MALLOC_H
#define TSLAB_MALLOC_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * tslab_malloc_fallbacks - pointers of another allocator that free, realloc or cfree were given
 *
 * Comes with libtslab-malloc.so, which no program links: the declaration is weak, and the address NULL
 * where it is not preloaded. Async-signal-safe.
 * Return: how many, since the process began.
 */
uint64_t tslab_malloc_fallbacks(void) __attribute__((weak));

#ifdef __cplusplus
}
#endif

#endif

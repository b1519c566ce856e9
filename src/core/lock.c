/* SPDX-License-Identifier: MIT */
#include "lock.h"

#include "histogram.h"
#include "os.h"
#include "process.h"
#include "thread.h"

struct ts_mutex ts_lock_pool = { .mutex = PTHREAD_MUTEX_INITIALIZER };
struct ts_mutex ts_lock_meta = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/* What names the calling thread: unlike pthread_self(), this takes no call. */
static uint64_t self(void)
{
	return (uintptr_t)&ts_tls;
}

static void enter(struct ts_mutex *lock)
{
	pthread_mutex_lock(&lock->mutex);
	ts_a64_store_rlx(&lock->owner, self());
	ts_bump_word(&lock->entered, 1);
}

/* A word for each lock, which protects it: an atomic addition would cost as much as the lock. */
static void count_fast(const struct ts_mutex *lock)
{
	struct ts_process_words *words = ts_process();

	ts_bump_word(lock == &ts_lock_pool ? &words->lock_fast : &words->meta_lock_fast, 1);
}

static __attribute__((noinline, cold)) bool enter_occupied(struct ts_mutex *lock)
{
	uint64_t began_ns;

	if (ts_a64_load_rlx(&lock->owner) == self()) {
		lock->depth++;
		return false;
	}
	began_ns = ts_os_clock_ns();
	ts_count(lock_contended, 1);
	enter(lock);
	ts_histogram_count(TS_HISTOGRAM_LOCK_WAIT, ts_os_clock_ns() - began_ns);
	return true;
}

/*
 * Whether it was free is told by a look before and not by pthread_mutex_trylock, which costs a quarter more
 * than pthread_mutex_lock. Who loses the race after the look finds that somebody else has entered.
 */
bool ts_lock(struct ts_mutex *lock)
{
	uint64_t entered = ts_a64_load_rlx(&lock->entered);

	if (__builtin_expect(ts_a64_load_rlx(&lock->owner) != 0, 0))
		return enter_occupied(lock);
	enter(lock);
	if (__builtin_expect(ts_a64_load_rlx(&lock->entered) != entered + 1, 0)) {
		ts_count(lock_contended, 1);
		return true;
	}
	count_fast(lock);
	return false;
}

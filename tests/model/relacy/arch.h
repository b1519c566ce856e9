/* SPDX-License-Identifier: MIT */
/*
 * arch.h for the Relacy harnesses: the ordered operations of src/arch/arch.h on rl::atomic, so that the
 * protocol headers of src/core are checked as they are. Each operation knows the line that it stands on;
 * weaken() takes away the order of one line at run time.
 */
#ifndef TS_RELACY_ARCH_H
#define TS_RELACY_ARCH_H

#include <cstdint>
#include <cstring>
#include <sstream>
#include <stdexcept>

#include <relacy/relacy.hpp>

#define TS_ARCH_NAME "relacy"

struct ts_a64 {
	rl::atomic<uint64_t> v;
};

struct ts_a32 {
	rl::atomic<uint32_t> v;
};

/* What to weaken: file, line of the operation, and the half that goes: "acq", "rel" or "sc". */
struct weaken_site {
	const char *file;
	int line;
	const char *half;
	unsigned hits;
};
extern weaken_site weaken;

static inline bool weaken_here(const char *file, int line)
{
	const char *name = strrchr(file, '/');

	if (!weaken.file || line < weaken.line || line > weaken.line + 1 ||
	    strcmp(name ? name + 1 : file, weaken.file))
		return false;
	weaken.hits++;
	return true;
}

static inline rl::memory_order order_at(const char *file, int line, rl::memory_order order)
{
	if (order == rl::mo_relaxed || !weaken_here(file, line))
		return order;
	if (order == rl::mo_seq_cst)
		return rl::mo_acq_rel;
	if (order == rl::mo_acq_rel)
		return weaken.half[0] == 'a' ? rl::mo_release : rl::mo_acquire;
	return rl::mo_relaxed;
}

static inline rl::memory_order load_order_at(const char *file, int line, rl::memory_order order)
{
	rl::memory_order weak = order_at(file, line, order);

	return weak == rl::mo_acq_rel ? rl::mo_acquire : weak;
}

/* The builtin backend's failure orders: relaxed, except for seq_cst. */
static inline rl::memory_order failure_of(rl::memory_order order)
{
	return order == rl::mo_seq_cst ? rl::mo_seq_cst : rl::mo_relaxed;
}

template <typename A, typename T>
static inline bool cas_at(A *a, T *expected, T desired, rl::memory_order order, rl::debug_info info)
{
	return a->v(info).compare_exchange_strong(*expected, desired, order, failure_of(order));
}

#define AT(order) order_at(__FILE__, __LINE__, rl::mo_##order)
#define LOAD_AT(order) load_order_at(__FILE__, __LINE__, rl::mo_##order)

#define ts_a64_load_rlx(a) ((a)->v($).load(rl::mo_relaxed))
#define ts_a64_load_acq(a) ((a)->v($).load(LOAD_AT(acquire)))
#define ts_a64_load_sc(a) ((a)->v($).load(LOAD_AT(seq_cst)))
#define ts_a64_store_rlx(a, x) ((a)->v($).store((x), rl::mo_relaxed))
#define ts_a64_store_rel(a, x) ((a)->v($).store((x), AT(release)))
#define ts_a64_cas_rlx(a, e, d) cas_at<ts_a64, uint64_t>((a), (e), (d), rl::mo_relaxed, $)
#define ts_a64_cas_acq(a, e, d) cas_at<ts_a64, uint64_t>((a), (e), (d), AT(acquire), $)
#define ts_a64_cas_rel(a, e, d) cas_at<ts_a64, uint64_t>((a), (e), (d), AT(release), $)
#define ts_a64_cas_acqrel(a, e, d) cas_at<ts_a64, uint64_t>((a), (e), (d), AT(acq_rel), $)
#define ts_a64_cas_sc(a, e, d) cas_at<ts_a64, uint64_t>((a), (e), (d), AT(seq_cst), $)
#define ts_a64_xchg_acq(a, x) ((a)->v($).exchange((x), AT(acquire)))
#define ts_a64_xchg_acqrel(a, x) ((a)->v($).exchange((x), AT(acq_rel)))
#define ts_a64_or_rlx(a, x) ((a)->v($).fetch_or((x), rl::mo_relaxed))
#define ts_a64_or_rel(a, x) ((a)->v($).fetch_or((x), AT(release)))
#define ts_a64_or_acqrel(a, x) ((a)->v($).fetch_or((x), AT(acq_rel)))
#define ts_a64_and_acq(a, x) ((a)->v($).fetch_and((x), AT(acquire)))
#define ts_a64_and_rel(a, x) ((a)->v($).fetch_and((x), AT(release)))
#define ts_a64_add_rlx(a, x) ((a)->v($).fetch_add((x), rl::mo_relaxed))
#define ts_a64_add_acqrel(a, x) ((a)->v($).fetch_add((x), AT(acq_rel)))
#define ts_a64_sub_acqrel(a, x) ((a)->v($).fetch_sub((x), AT(acq_rel)))

#define ts_a32_load_rlx(a) ((a)->v($).load(rl::mo_relaxed))
#define ts_a32_load_acq(a) ((a)->v($).load(LOAD_AT(acquire)))
#define ts_a32_store_rlx(a, x) ((a)->v($).store((x), rl::mo_relaxed))
#define ts_a32_store_rel(a, x) ((a)->v($).store((x), AT(release)))
#define ts_a32_cas_acqrel(a, e, d) cas_at<ts_a32, uint32_t>((a), (e), (d), AT(acq_rel), $)
#define ts_a32_add_rlx(a, x) ((a)->v($).fetch_add((x), rl::mo_relaxed))

#endif

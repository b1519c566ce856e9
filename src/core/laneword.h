/* SPDX-License-Identifier: MIT */
/*
 * laneword.h: the ownership protocol of a lane, in one 64-bit word W and one pair of words a node.
 *
 * W holds the head of the queue of nodes with remote frees, a tag (low bits of the era), the number of
 * pins, and flags. It is changed by read-modify-write only, except to bind a resting lane.
 *
 *   holder    whoever set HELD. It alone touches class state, local bits and counters, plainly.
 *   freer     any other thread. It ORs its bit into the node's remote word; whoever turned that word
 *             from zero pushes the node, or takes the lane if nobody holds it, in one CAS on W.
 *   pin       keeps a lane from being discarded or dying while a handle is checked.
 *
 * Invariants (docs/protocol.md has the whole list; the models in tests/model check them)
 *   I1 not HELD implies head == 0            I2 at most one thread has HELD
 *   I3 a node in which slots start is queued, or owned by the thread that turned it, exactly while its
 *      remote word is not 0; so it is pushed by one thread, once
 *   I5 only the popper, or the turner that took HELD, clears remote, once every bit of it is in local
 *   I6 a freer touches neither node nor lane after its OR that was not the first, or its push
 *   I8 DEAD is entered once a binding, with no chunks and no pins
 *
 * This header is compiled as it is into the library and into the Relacy harnesses.
 */
#ifndef TS_CORE_LANEWORD_H
#define TS_CORE_LANEWORD_H

#include "arch.h"

#define TS_LW_HEAD ((uint64_t)0xffffffffu)
#define TS_LW_TAG_SHIFT 32
#define TS_LW_TAG ((uint64_t)0xffff << TS_LW_TAG_SHIFT)
#define TS_LW_PIN ((uint64_t)1 << 48)
#define TS_LW_PINS ((uint64_t)0x7ff << 48)
#define TS_LW_HELD ((uint64_t)1 << 59)
#define TS_LW_TRANSIENT ((uint64_t)1 << 60)
#define TS_LW_CLOSING ((uint64_t)1 << 61)
#define TS_LW_DISC ((uint64_t)1 << 62)
#define TS_LW_DEAD ((uint64_t)1 << 63)

/* A lane at rest, unbound: HELD with DEAD (or DISC, after a discard), so that no stale CAS takes it. */
#define TS_LW_RESTING (TS_LW_HELD | TS_LW_DEAD)

#define TS_NODE_SEALED UINT64_MAX

struct ts_node {
	ts_a64 local; /* bit = not freeable by anybody: free, interior or slack. Holder writes */
	ts_a64 remote; /* bit = freed by another thread; all ones while no slot starts in the node, but
			* 64 slots of 16 bytes may look the same: only the unit header tells */
};

enum ts_lw_result {
	TS_LW_TAKEN,    /* the caller has HELD now */
	TS_LW_PUSHED,   /* the holder will collect */
	TS_LW_PINNED,   /* the caller has a pin */
	TS_LW_BUSY,     /* somebody else has HELD */
	TS_LW_WAIT,     /* a discard is under way, it may roll back: look again */
	TS_LW_GONE,     /* dead, or bound to another epoch */
	TS_LW_CLOSED,   /* closing: not for entering */
	TS_LW_RETURNED, /* HELD is given back */
	TS_LW_DRAIN,    /* nodes are queued: drain, then try again */
	TS_LW_SETTLE,   /* CLOSING was seen: return what is empty, then try again */
	TS_LW_DIED,     /* the lane is DEAD, the caller drops its epoch reference */
};

static inline uint64_t ts_lw_tag(uint64_t era)
{
	return (era << TS_LW_TAG_SHIFT) & TS_LW_TAG;
}

/*
 * Take a parked lane. `with` is 0 (a scope), TRANSIENT or DISC. A scope does not enter a closing lane.
 */
static inline enum ts_lw_result ts_lw_take(ts_a64 *w, uint64_t tag, uint64_t with)
{
	uint64_t seen = ts_a64_load_rlx(w);

	for (;;) {
		if ((seen & TS_LW_DEAD) || (seen & TS_LW_TAG) != tag)
			return TS_LW_GONE;
		if (seen & TS_LW_DISC)
			return TS_LW_WAIT;
		if (seen & TS_LW_HELD)
			return TS_LW_BUSY;
		if (with == TS_LW_DISC && (seen & TS_LW_PINS))
			return TS_LW_BUSY;
		if (with == 0 && (seen & TS_LW_CLOSING))
			return TS_LW_CLOSED;
		/* ORD-1 acquire: pairs with ORD-2; else the taker reads class state of before the last holder. */
		if (ts_a64_cas_acq(w, &seen, seen | TS_LW_HELD | with))
			return TS_LW_TAKEN;
	}
}

/*
 * Mark a slot freed in its node. Returns the old remote word: 0 means this caller must push or take.
 * It then reads the unit header again: from the OR on the chunk stays where it is (I4), so that owner
 * is the right one; the one read before may have returned the chunk to another lane meanwhile, if this
 * was the second free of a slot.
 */
static inline uint64_t ts_node_free(struct ts_node *node, uint64_t bit)
{
	/* ORD-5 release: pairs with ORD-6; else the next owner's stores race with the freer's last ones. */
	uint64_t old = ts_a64_or_rel(&node->remote, bit);

	/* ORD-8 acquire: pairs with ts_node_open through the release sequence that the OR continues; else
	 * the turner reads the header of the chunk's last owner. */
	if (!old)
		(void)ts_a64_load_acq(&node->remote);
	return old;
}

/*
 * The turner of a node pushes it to the holder, or takes the lane. `unpin` is 0, or TS_LW_PIN when the
 * caller gives up its pin with the same step.
 */
static inline enum ts_lw_result ts_lw_push_or_take(ts_a64 *w, ts_a32 *link, uint32_t index,
						   uint64_t unpin, uint32_t *retries)
{
	uint64_t seen = ts_a64_load_rlx(w);

	for (;; ++*retries) {
		if (seen & TS_LW_HELD) {
			ts_a32_store_rlx(link, (uint32_t)(seen & TS_LW_HEAD));
			/* ORD-3 release: pairs with ORD-4; else the holder follows a link not yet written. */
			if (ts_a64_cas_rel(w, &seen, ((seen & ~TS_LW_HEAD) | index) - unpin))
				return TS_LW_PUSHED;
		} else {
			/* ORD-1 acquire, as in ts_lw_take. */
			if (ts_a64_cas_acq(w, &seen, (seen | TS_LW_HELD | TS_LW_TRANSIENT) - unpin))
				return TS_LW_TAKEN;
		}
	}
}

/* Holder: empty the queue. Returns the index of the first node, 0 if there is none. */
static inline uint32_t ts_lw_take_queue(ts_a64 *w)
{
	/* ORD-4 acquire: pairs with ORD-3, through the release sequence that RMWs on W keep alive. */
	return (uint32_t)(ts_a64_and_acq(w, ~TS_LW_HEAD) & TS_LW_HEAD);
}

/*
 * Holder, of a node it popped or turned: slots that others freed become free. The link must have been
 * read before. `allowed` masks the slots that were handed out; *refused gets those freed twice, or never
 * handed out. A bit is in local before it leaves remote: the child of a fork, where this thread may have
 * stopped in between, finds it in one or the other.
 */
static inline uint64_t ts_node_collect(struct ts_node *node, uint64_t allowed, uint64_t *refused)
{
	uint64_t seen = ts_a64_load_rlx(&node->remote);
	uint64_t done = 0, taken = 0;

	*refused = 0;
	do {
		uint64_t local = ts_a64_load_rlx(&node->local);
		uint64_t fresh = seen & ~done;
		uint64_t good = fresh & allowed & ~local;

		*refused |= fresh & ~good;
		ts_a64_store_rlx(&node->local, local | good);
		taken |= good;
		done |= fresh;
		/* ORD-6 acquire: pairs with ORD-5. Release: the copy that a fork makes never has a bit in
		 * neither word. */
	} while (!ts_a64_cas_acqrel(&node->remote, &seen, 0));
	return taken;
}

/* Holder: from now on every stray free finds its bit set. False: a free is under way, try later. */
static inline bool ts_node_seal(struct ts_node *node)
{
	uint64_t none = 0;

	/* ORD-7 relaxed: atomicity alone decides between the seal and a stray OR. */
	return ts_a64_cas_rlx(&node->remote, &none, TS_NODE_SEALED);
}

/* Holder: take a seal back; a stray OR that it refused meanwhile is wiped with it. */
static inline void ts_node_unseal(struct ts_node *node)
{
	/* ORD-8 release, as in ts_node_open. */
	ts_a64_store_rel(&node->remote, 0);
}

/* Sealed from the beginning. Its unit has no header, so that nobody can free in it yet. */
static inline void ts_node_begin(struct ts_node *node)
{
	ts_a64_store_rlx(&node->local, UINT64_MAX);
	ts_a64_store_rlx(&node->remote, TS_NODE_SEALED);
}

/* Holder: a sealed node gets a slab, or a large object. Header and carve limit of its unit were stored before. */
static inline void ts_node_open(struct ts_node *node, uint64_t local)
{
	ts_a64_store_rlx(&node->local, local);
	/* ORD-8 release: pairs with the turner in ts_node_free. */
	ts_a64_store_rel(&node->remote, 0);
}

/*
 * Holder: give the lane back. `empty`: it has no chunks. `settled`: the closing work is done.
 * DIED leaves HELD set, so the word is at rest.
 */
static inline enum ts_lw_result ts_lw_give_back(ts_a64 *w, bool empty, bool settled)
{
	uint64_t seen = ts_a64_load_rlx(w);

	for (;;) {
		if (seen & TS_LW_HEAD)
			return TS_LW_DRAIN;
		if ((seen & TS_LW_CLOSING) && !settled)
			return TS_LW_SETTLE;
		if ((seen & TS_LW_CLOSING) && empty && !(seen & TS_LW_PINS)) {
			/* ORD-14 acq_rel: the last holder's stores precede the finisher's reuse of the lane. */
			if (ts_a64_cas_acqrel(w, &seen, seen | TS_LW_DEAD))
				return TS_LW_DIED;
		} else {
			/* ORD-2 release: pairs with ORD-1. The whole word is compared, so a push or CLOSING that
			 * came in between fails the CAS. */
			if (ts_a64_cas_rel(w, &seen,
					   seen & ~(TS_LW_HELD | TS_LW_TRANSIENT | TS_LW_DISC)))
				return TS_LW_RETURNED;
		}
	}
}

/*
 * Closer: mark the lane. TAKEN: the caller holds it and gives it back, BUSY: its holder will see
 * CLOSING when it gives back, GONE: dead already.
 */
static inline enum ts_lw_result ts_lw_mark_closing(ts_a64 *w)
{
	uint64_t seen = ts_a64_load_rlx(w);

	for (;;) {
		if (seen & TS_LW_DEAD)
			return TS_LW_GONE;
		if (seen & TS_LW_HELD) {
			/* ORD-14 acq_rel: pairs with the give-back that compares it. */
			if (ts_a64_cas_acqrel(w, &seen, seen | TS_LW_CLOSING))
				return TS_LW_BUSY;
		} else if (ts_a64_cas_acqrel(w, &seen,
					     seen | TS_LW_CLOSING | TS_LW_HELD | TS_LW_TRANSIENT)) {
			return TS_LW_TAKEN;
		}
	}
}

/* Handle free: hold the lane, or keep it from dying and from discard while its holder works on. */
static inline enum ts_lw_result ts_lw_take_or_pin(ts_a64 *w, uint64_t tag)
{
	uint64_t seen = ts_a64_load_rlx(w);

	for (;;) {
		if ((seen & TS_LW_DEAD) || (seen & TS_LW_TAG) != tag)
			return TS_LW_GONE;
		if ((seen & TS_LW_DISC) || (seen & TS_LW_PINS) == TS_LW_PINS)
			return TS_LW_WAIT;
		if (!(seen & TS_LW_HELD)) {
			/* ORD-1 acquire, as in ts_lw_take. */
			if (ts_a64_cas_acq(w, &seen, seen | TS_LW_HELD | TS_LW_TRANSIENT))
				return TS_LW_TAKEN;
		} else {
			/* ORD-15 acquire: pairs with ORD-2; the check of the generation comes after the pin. */
			if (ts_a64_cas_acq(w, &seen, seen + TS_LW_PIN))
				return TS_LW_PINNED;
		}
	}
}

/* TAKEN: the pin was the last of a closing, unheld lane; the caller holds it now and gives it back. */
static inline enum ts_lw_result ts_lw_unpin(ts_a64 *w)
{
	uint64_t seen = ts_a64_load_rlx(w);

	for (;;) {
		uint64_t next = seen - TS_LW_PIN;
		bool last = !(next & (TS_LW_PINS | TS_LW_HELD)) && (next & TS_LW_CLOSING);

		if (last)
			next |= TS_LW_HELD | TS_LW_TRANSIENT;
		/* ORD-16 acq_rel: release pairs with the discarder's take; acquire when the unpinner takes. */
		if (ts_a64_cas_acqrel(w, &seen, next))
			return last ? TS_LW_TAKEN : TS_LW_RETURNED;
	}
}

/* Discarder, or a creator that met a discard: the held lane is over. */
static inline void ts_lw_die(ts_a64 *w)
{
	/* ORD-14 acq_rel, as in ts_lw_give_back. */
	(void)ts_a64_or_acqrel(w, TS_LW_DEAD);
}

/* Holder: the tag of the epoch that the lane serves now, before anybody may take it (keep.h). */
static inline void ts_lw_retag(ts_a64 *w, uint64_t tag)
{
	uint64_t seen = ts_a64_load_rlx(w);

	/* ORD-25 relaxed: the give-back that follows publishes it. */
	while (!ts_a64_cas_rlx(w, &seen, (seen & ~TS_LW_TAG) | tag))
		;
}

/*
 * Owner of a resting lane: bind it to an era, held or parked. DRAIN: a stray free has queued a node
 * meanwhile; take the queue and collect it first, else that node would never be pushed again.
 */
static inline enum ts_lw_result ts_lw_bind(ts_a64 *w, uint64_t tag, uint64_t held)
{
	uint64_t seen = ts_a64_load_rlx(w);

	for (;;) {
		if (seen & TS_LW_HEAD)
			return TS_LW_DRAIN;
		/* ORD-2 release: a parked lane is taken with ORD-1 and nothing else. */
		if (ts_a64_cas_rel(w, &seen, tag | held))
			return held ? TS_LW_TAKEN : TS_LW_RETURNED;
	}
}

#endif

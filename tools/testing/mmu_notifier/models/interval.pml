/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The collision-retry protocol of interval subscribers, as the core of MMU notifiers and
 * include/linux/mmu_notifier.h have it.  bin/check-models runs the model: as it is, and once for
 * each line "BROKEN", with that name defined; each of these must fail.
 *
 * One interval of one page.  Invalidations replace the page; the owner inserts the
 * interval, faults the page in, and removes the interval again, twice.  A second task of
 * the owner's faults it in, too.  What must hold: the secondary MMU never maps a page that has
 * been freed (an assertion), an interval that is gone is not called (another), and
 * every process comes to its end (no invalid end state).
 *
 * An insertion waits for nothing.  It may have come after an invalidation read the bounds, so
 * the first mmu_interval_read_begin() waits once for a grace period that began after the
 * insertion: the interval settles.  A grace period waits for the readers that were there
 * at its beginning; see list.pml.
 *
 * Locks are atomic: under a lock nothing else is read or written here that others
 * could see half done.  What is read without one is a step of its own.
 *
 * BROKEN SEQ_STEP: an invalidation does not take a new sequence number
 * BROKEN SET_SEQ: invalidate() does not call mmu_interval_set_seq()
 * BROKEN RETRY: the owner maps without mmu_interval_read_retry()
 * BROKEN RETRY_UNLOCKED: it asks before it takes the lock of invalidate()
 * BROKEN READ_BEGIN: mmu_interval_read_begin() does not wait for those that are active
 * BROKEN BARRIER: the bounds of all intervals are read before there is a reader
 * BROKEN SETTLE: the first read_begin does not wait for a grace period
 * BROKEN SETTLED_EARLY: it says that it has before it has
 * BROKEN SETTLED_KEPT: an interval that is inserted again is still settled
 * BROKEN COOKIE_EARLY: the grace period began before the insertion
 * BROKEN BIRTH: an end takes back from intervals that are younger than its invalidation
 * BROKEN INSERT_SEQ: an insertion takes the number of the invalidation to come
 * BROKEN END_AFTER_FAIL: a refused start leaves the interval active, when the
 *	one that refused is another subscriber
 * BROKEN PINS: remove does not wait for invalidate() to return
 */
#define INVALIDATIONS 2

/* The CPU's page table and the secondary one: a page, 0 is none. */
byte cpu = 1;
byte secondary;
bool freed[INVALIDATIONS + 2];

/* struct mmu_notifier_subscriptions */
bool bounds;			/* of all intervals: they cover the page */
byte seq;
byte inside;			/* bit n: invalidation n is an SRCU reader */
byte grace;			/* the readers that the insertion's grace period waits for */

/* struct mmu_interval_notifier */
bool linked;
byte nr_active;
byte pins;
bool dead;
byte birth;
byte invalidate_seq;
bool settled;

bool owner;			/* the lock that invalidate() takes */
bool second_done = true;	/* the second task needs the interval no more */
bool second_go;

#define bit_of(n)	(1 << (n))

inline itree_end() {
	atomic {
		if
#ifdef BIRTH
		:: linked -> if :: nr_active > 0 -> nr_active-- :: else fi
#else
		:: linked && birth < mine -> assert(nr_active > 0); nr_active--
#endif
		:: else
		fi
	}
}

proctype invalidation(byte me)
{
	byte mine, old;
	bool hit, called, ok = true, seen;

#ifdef BARRIER
	seen = bounds;
	inside = inside | bit_of(me);
#else
	inside = inside | bit_of(me);
	seen = bounds;
#endif
	if
	:: seen ->
		/* itree_start() */
		atomic {
			if
			:: linked ->
#ifndef SEQ_STEP
				seq++;
#endif
				mine = seq;
				hit = true;
				nr_active++;
				if
				:: dead
				:: else -> pins++; called = true
				fi
			:: else
			fi
		}
		if
		:: called ->
			/* It may sleep, or says that it would have to. */
			if
			:: atomic { !owner -> owner = true };
#ifndef SET_SEQ
				invalidate_seq = mine;
#endif
				secondary = 0;
				owner = false
			:: ok = false
			fi;
			atomic { assert(linked); pins-- }
		:: else
		fi
	:: else
	fi;
	/* Another subscriber may refuse, too: one on the list. */
	if
	:: ok
	:: ok -> ok = false;
#ifdef END_AFTER_FAIL
		hit = false
#endif
	:: else
	fi;

	if
	:: ok ->
		/* Under the page-table lock, then the page is freed. */
		atomic { old = cpu; cpu = me + 2 };
		atomic { freed[old] = true; assert(secondary != old) }
	:: else
	fi;

	if
	:: hit -> itree_end()
	:: else
	fi;
	atomic {
		inside = inside & ~bit_of(me);
		grace = grace & ~bit_of(me);
		mine = 0;
		old = 0;
		hit = false;
		called = false;
		ok = false;
		seen = false
	}
}

/* mmu_interval_read_begin(), the lookup, and the mapping if nothing came between. */
inline fault_in() {
	if
	:: settled
	:: else ->
#ifdef SETTLED_EARLY
		settled = true;
		(grace == 0)
#elif defined(SETTLE)
		settled = true
#else
		(grace == 0);
		settled = true
#endif
	fi;
#ifdef READ_BEGIN
	s = invalidate_seq;
#else
	atomic { (nr_active == 0); s = invalidate_seq };
#endif
	page = cpu;
#ifdef RETRY_UNLOCKED
	retry = invalidate_seq != s;
	atomic { !owner -> owner = true };
#else
	atomic { !owner -> owner = true };
	retry = invalidate_seq != s;
#endif
#ifdef RETRY
	retry = false;
#endif
	if
	:: retry
	:: else ->
		secondary = page;
		assert(!freed[page]);
		mapped = true
	fi;
	owner = false;
	atomic { s = 0; page = 0; retry = false }
}

proctype second()
{
	byte s, page;
	bool retry, mapped;

	second_go;
	fault_in();
	second_done = true
}

proctype subscriber()
{
	byte rounds, s, page;
	bool retry, mapped;

	do
	:: rounds == 2 -> break
	:: else ->
		rounds++;
		/* mmu_interval_notifier_insert() */
#ifdef COOKIE_EARLY
		grace = inside;
#endif
		atomic {
			seq++;
			birth = seq;
#ifdef INSERT_SEQ
			invalidate_seq = seq + 1;
#else
			invalidate_seq = seq;
#endif
			pins = 0;
			dead = false;
			linked = true;
			bounds = true;
			nr_active = 0;
#ifndef SETTLED_KEPT
			settled = false
#endif
		}
#ifndef COOKIE_EARLY
		grace = inside;
#endif
		second_go = true;

		do
		:: mapped -> break
		/* It may be removed before anything is mapped. */
		:: !mapped && rounds == 1 -> break
		:: !mapped -> fault_in()
		od;
		mapped = false;

		/*
		 * mmu_interval_notifier_remove(): its owner uses it no more.  From here
		 * on an invalidation need not call it, so what is mapped goes first.
		 */
		second_done;
		atomic { !owner -> secondary = 0 };
		dead = true;
#ifndef PINS
		(pins == 0);
#endif
		atomic {
			linked = false;
			/* Another interval may keep the bounds as wide as they are. */
			if
			:: bounds = false
			:: skip
			fi;
			seq++;
			nr_active = 0
		}
	od
}

init {
	byte i;

	atomic {
		if
		:: bounds = true
		:: skip
		fi;
		if
		:: second_done = false; run second()
		:: skip
		fi;
		run subscriber();
		do
		:: i < INVALIDATIONS -> run invalidation(i); i++
		:: else -> break
		od
	}
}

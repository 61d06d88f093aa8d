/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The collision-retry protocol of interval subscribers, as mm/mmu_notifier.c and
 * include/linux/mmu_notifier.h have it.  bin/check-models runs it: as it is, and
 * once for each line "BROKEN", with that name defined; each of these must fail.
 *
 * One interval of one page.  Sections replace the page; the owner inserts the
 * interval, faults the page in, and removes the interval again, twice.
 * What must hold: the secondary MMU never maps a page that has been freed
 * (an assertion), an interval that is gone is not called (another), and
 * everybody gets to his end (no invalid end state).
 *
 * Locks are atomic: under a lock nothing else is read or written here that
 * others could see half done.  What is read without one is a step of its own.
 *
 * BROKEN SEQ_STEP: a section does not take a new sequence number
 * BROKEN SET_SEQ: invalidate() does not call mmu_interval_set_seq()
 * BROKEN RETRY: the owner maps without mmu_interval_read_retry()
 * BROKEN RETRY_UNLOCKED: it asks before it takes the lock of invalidate()
 * BROKEN READ_BEGIN: mmu_interval_read_begin() does not wait
 * BROKEN BARRIER: nr_intervals is read before srcu is entered
 * BROKEN SYNC: the first insertion does not wait for the sections that saw 0
 * BROKEN COUNT: an insertion does not count the sections in flight
 * BROKEN HIT: an insertion that does so does not tell them
 * BROKEN INSERT_SEQ: an insertion takes the number of the section to come
 * BROKEN END_AFTER_FAIL: a refused start leaves the interval active, when the
 *	one that refused is another subscriber
 * BROKEN PINS: remove does not wait for invalidate() to return
 */
#define SECTIONS 3

/* The CPU's page table and the secondary one: a page, 0 is none. */
byte cpu = 1;
byte secondary;
bool freed[SECTIONS + 2];

/* struct mmu_notifier_subscriptions */
byte nr_intervals;
bool itree_ready;
byte seq;
bool inside[SECTIONS];		/* srcu */
bool inflight[SECTIONS];
bool hit[SECTIONS];		/* struct mmu_notifier_range */

/* struct mmu_interval_notifier */
bool linked;
byte nr_active;
byte pins;
bool dead;
byte invalidate_seq;

bool owner;			/* the lock that invalidate() takes */

/* Only those that were inside when it began are waited for. */
inline synchronize() {
	atomic {
		i = 0;
		do
		:: i < SECTIONS -> snap[i] = inside[i]; i++
		:: else -> break
		od
	}
	i = 0;
	do
	:: i < SECTIONS -> (!snap[i] || !inside[i]); i++
	:: else -> break
	od
}

inline itree_end(me) {
	atomic {
		inflight[me] = false;
		if
		:: hit[me] && linked -> nr_active--
		:: else
		fi
	}
}

proctype section(byte me)
{
	byte mine, old;
	bool tracked, called, ok = true, seen;

#ifdef BARRIER
	seen = nr_intervals > 0;
	inside[me] = true;
#else
	inside[me] = true;
	seen = nr_intervals > 0;
#endif
	if
	:: seen ->
		/* itree_start() */
		atomic {
#ifndef SEQ_STEP
			seq++;
#endif
			mine = seq;
			tracked = true;
			inflight[me] = true;
			if
			:: linked ->
				nr_active++;
				hit[me] = true;
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
	/* Another subscriber may refuse, too: whoever is on the list. */
	if
	:: ok
	:: ok -> ok = false;
#ifdef END_AFTER_FAIL
		tracked = false
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
	:: tracked -> itree_end(me)
	:: else
	fi;
	inside[me] = false
}

proctype subscriber()
{
	byte i, n, rounds, s, page;
	bool snap[SECTIONS], ready, retry, mapped;

	do
	:: rounds == 2 -> break
	:: else ->
		rounds++;
		/* interval_link() */
		atomic {
			n = 0;
			i = 0;
			do
			:: i < SECTIONS ->
				if
				:: inflight[i] ->
#ifndef HIT
					hit[i] = true;
#endif
					n++
				:: else
				fi;
				i++
			:: else -> break
			od;
#ifdef COUNT
			n = 0;
#endif
#ifdef INSERT_SEQ
			invalidate_seq = seq + 1;
#else
			invalidate_seq = seq;
#endif
			nr_active = n;
			pins = 0;
			dead = false;
			linked = true;
			nr_intervals++;
			ready = itree_ready
		}
		if
		:: ready
		:: else ->
#ifndef SYNC
			synchronize();
#endif
			itree_ready = true
		fi;

		do
		:: mapped -> break
		:: else ->
			/* mmu_interval_read_begin() */
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
			owner = false
		od;
		mapped = false;

		/*
		 * mmu_interval_notifier_remove(), from the beginning of which
		 * nobody need tell: what is mapped goes first.
		 */
		atomic { !owner -> secondary = 0 };
		dead = true;
		atomic {
#ifndef PINS
			(pins == 0);
#endif
			linked = false;
			nr_active = 0;
			nr_intervals--;
			if
			:: nr_intervals == 0 -> itree_ready = false
			:: else
			fi
		}
	od
}

init {
	byte i;

	atomic {
		/* Somebody else's interval may be there already. */
		if
		:: nr_intervals = 1; itree_ready = true
		:: skip
		fi;
		run subscriber();
		do
		:: i < SECTIONS -> run section(i); i++
		:: else -> break
		od
	}
}

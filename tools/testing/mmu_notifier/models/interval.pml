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
 * others could see half done.  What is read without one is a step of its own.  That
 * waiting by eras is right is subscriber.pml's business; here a waiter simply
 * has the sections that it waits for.
 *
 * BROKEN SEQ_STEP: a section does not take a new sequence number
 * BROKEN SET_SEQ: invalidate() does not call mmu_interval_set_seq()
 * BROKEN RETRY: the owner maps without mmu_interval_read_retry()
 * BROKEN RETRY_UNLOCKED: it asks before it takes the lock of invalidate()
 * BROKEN READ_BEGIN: mmu_interval_read_begin() does not wait
 * BROKEN BARRIER: the hull is read before the section is counted
 * BROKEN WAITER: an insertion does not count the sections in flight
 * BROKEN WAITER_GONE: a removal leaves its waiter behind
 * BROKEN BIRTH: an end takes back from intervals that are younger than its section
 * BROKEN INSERT_SEQ: an insertion takes the number of the section to come
 * BROKEN CHANGED: an end goes by what its start has hit, though the tree has changed
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
bool hull;			/* it covers the page */
byte seq;
byte changed;
bool inside[SECTIONS];		/* counted */
/* struct section_waiter, one for each insertion, and whom it waits for. */
bool waiter[2];
bool waits[6];

/* struct mmu_interval_notifier */
bool linked;
byte nr_active;
byte pins;
bool dead;
byte birth;
byte invalidate_seq;

bool owner;			/* the lock that invalidate() takes */

/* The interval is gone for who did not count it: -1 must not come. */
inline less() {
	assert(nr_active > 0);
	nr_active--
}

inline itree_end() {
	atomic {
		if
#ifdef CHANGED
		:: true -> if :: nr_active > 0 -> nr_active-- :: else fi
#else
		:: changed < mine -> less()
#endif
#ifdef BIRTH
		:: changed >= mine && linked ->
			if :: nr_active > 0 -> nr_active-- :: else fi
#else
		:: changed >= mine && linked && birth < mine -> less()
#endif
		:: else
		fi
	}
}

#define of(w, section)	waits[3 * (w) + (section)]

inline leave_waiter(w) {
	atomic {
		if
		:: of(w, me) ->
			of(w, me) = false;
			if
			:: waiter[w] && !of(w, 0) && !of(w, 1) && !of(w, 2) ->
				waiter[w] = false;
				less()
			:: else
			fi
		:: else
		fi
	}
}

proctype section(byte me)
{
	byte mine, old;
	bool hit, called, ok = true, seen;

#ifdef BARRIER
	seen = hull;
	inside[me] = true;
#else
	inside[me] = true;
	seen = hull;
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
	/* Another subscriber may refuse, too: whoever is on the list. */
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
	/* subscriptions_exit(), and what it does for waiters */
	inside[me] = false;
	leave_waiter(0);
	leave_waiter(1)
}

proctype subscriber()
{
	byte i, rounds, s, page;
	bool retry, mapped;

	do
	:: rounds == 2 -> break
	:: else ->
		rounds++;
		/* interval_link() */
		atomic {
			seq++;
			birth = seq;
			changed = seq;
#ifdef INSERT_SEQ
			invalidate_seq = seq + 1;
#else
			invalidate_seq = seq;
#endif
			pins = 0;
			dead = false;
			linked = true;
			hull = true;
			nr_active = 0;
			i = 0;
			do
			:: i < SECTIONS ->
				of(rounds - 1, i) = inside[i];
#ifndef WAITER
				if
				:: inside[i] -> waiter[rounds - 1] = true; nr_active = 1
				:: else
				fi;
#endif
				i++
			:: else -> break
			od
		}

		do
		:: mapped -> break
		/* It may be removed before anything is mapped. */
		:: !mapped && rounds == 1 -> break
		:: !mapped ->
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
#ifndef PINS
		(pins == 0);
#endif
		atomic {
			linked = false;
			/* Somebody else's may keep the hull as wide as it is. */
			if
			:: hull = false
			:: skip
			fi;
			seq++;
			changed = seq;
			nr_active = 0;
#ifndef WAITER_GONE
			waiter[rounds - 1] = false
#endif
		}
	od
}

init {
	byte i;

	atomic {
		if
		:: hull = true
		:: skip
		fi;
		run subscriber();
		do
		:: i < SECTIONS -> run section(i); i++
		:: else -> break
		od
	}
}

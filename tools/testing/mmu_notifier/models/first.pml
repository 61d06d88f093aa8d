/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The first subscriber of an mm, and the last: the ACTIVE bit, the locks that registration passes,
 * and the worker that clears the bit again, as the core of MMU notifiers has them.
 * bin/check-models runs the model: as it is, and once for each line "BROKEN", with that
 * name defined; each of these must fail.
 *
 * An invalidation holds a lock of the mm.  Under the lock it reads the bit, once, and is
 * counted, or not.  Subscriber 0 comes and goes, twice, with mmap_lock.  Subscriber 1 is an
 * interval: where there is a subscriber already, it comes without mmap_lock and without
 * a wait.  A fatal signal may end the pass through the locks.  What must hold: when
 * one has come, each invalidation in flight is counted, so that a grace period waits for
 * it; an end goes by what its own start has left; what has been freed is not
 * read; the bit is cleared when the last one has gone; nothing waits for ever.
 *
 * list.pml is about what happens to those that are counted.
 *
 * BROKEN PASS: the locks are not passed
 * BROKEN LATE: the bit is set after the locks have been passed
 * BROKEN READY_EARLY: the mm is ready before they have been passed
 * BROKEN READY: the interval does not ask whether the mm is ready
 * BROKEN KILLED: a pass that a signal ended makes the mm ready
 * BROKEN UNLOCKED: an invalidation reads the bit before it takes its lock
 * BROKEN INIT: it leaves ->subscriptions alone where there is no subscriber
 * BROKEN END_BIT: an end goes by the bit
 * BROKEN IDLE_USERS: the worker does not ask whether there is a subscriber
 * BROKEN IDLE_READY: it leaves the mm ready
 * BROKEN IDLE_NONE: it is never queued
 * BROKEN FREE: the structure is freed with its last subscriber
 */
#define INVALIDATIONS 2
#define GARBAGE 2

/* mm->notifier_subscriptions */
bool allocated;
bool active_bit;
bool freed;

/* struct mmu_notifier_subscriptions */
byte nr;
bool ready;
bool queued;			/* the worker */
bool lock;

bool mmap_lock;
bool held[INVALIDATIONS];	/* a lock of the mm */
bool counted[INVALIDATIONS];
bool flight[INVALIDATIONS];
byte users;			/* processes that have not ended */

inline take() {
	atomic { !lock -> lock = true }
}

inline drop() {
	lock = false
}

proctype invalidation(byte me)
{
	byte subscriptions = GARBAGE;
	byte rounds;
	bool seen;

	do
	:: rounds == 2 -> break
	:: else ->
		rounds++;
#ifdef UNLOCKED
		seen = active_bit;
		held[me] = true;
#else
		held[me] = true;
		seen = active_bit;
#endif
		subscriptions = GARBAGE;
#ifndef INIT
		subscriptions = 0;
#endif
		/* start */
		if
		:: seen ->
			subscriptions = 1;
			atomic { assert(!freed); counted[me] = true }
		:: else
		fi;
		flight[me] = true;
		flight[me] = false;
		/* end */
#ifdef END_BIT
		subscriptions = active_bit;
#endif
		assert(subscriptions != GARBAGE);
		if
		:: subscriptions == 1 ->
			atomic { assert(counted[me] && !freed); counted[me] = false }
		:: else
		fi;
		assert(!counted[me]);
		held[me] = false
	od;
	users--
}

/* Is each invalidation in flight counted? */
inline check_come() {
	atomic {
		i = 0;
		do
		:: i < INVALIDATIONS -> assert(!flight[i] || counted[i]); i++
		:: else -> break
		od;
		i = 0;
		assert(active_bit)
	}
}

/* mm_pass_all_locks(): each lock is taken and dropped; a fatal signal ends it. */
inline pass_all_locks() {
	i = 0;
	killed = false;
	do
	:: i < INVALIDATIONS ->
		if
		:: !held[i] -> i++
		:: killed = true; break
		fi
	:: else -> break
	od;
	i = 0
}

/* With the lock; the reference was the last one or not. */
inline put_locked() {
	nr--;
#ifndef IDLE_NONE
	if
	:: nr == 0 -> queued = true
	:: else
	fi
#endif
}

/* With mmap_lock held for writing. */
inline get() {
	take();
	allocated = true;
	nr++;
	if
	:: ready -> drop(); killed = false
	:: else ->
#ifndef LATE
		active_bit = true;
#endif
#ifdef READY_EARLY
		ready = true;
#endif
		drop();
#ifdef PASS
		killed = false;
#else
		pass_all_locks();
#endif
		take();
#ifdef LATE
		active_bit = true;
#endif
		if
#ifndef KILLED
		:: killed -> put_locked()
#endif
		:: else -> ready = true
		fi;
		drop()
	fi
}

inline put() {
	take();
	put_locked();
#ifdef FREE
	freed = (nr == 0);
#endif
	drop()
}

inline with_mmap_lock() {
	atomic { !mmap_lock -> mmap_lock = true };
	get();
	mmap_lock = false
}

proctype list_subscriber()
{
	byte i, rounds;
	bool killed;

	do
	:: rounds == 2 -> break
	:: else ->
		rounds++;
		with_mmap_lock();
		if
#ifndef KILLED
		:: killed
#endif
		:: else ->
			check_come();
			put()
		fi
	od;
	users--
}

proctype interval_subscriber()
{
	byte i;
	bool killed, come;

	/* tryget */
	take();
	if
#ifdef READY
	:: allocated ->
#else
	:: ready ->
#endif
		nr++;
		come = true
	:: else
	fi;
	drop();
	if
	:: !come -> with_mmap_lock(); come = !killed
	:: else
	fi;
#ifdef KILLED
	come = true;
#endif
	if
	:: come -> check_come(); put()
	:: else
	fi;
	users--
}

/* A delayed work: some time after it was queued. */
active proctype idle()
{
	do
	:: atomic { queued -> queued = false };
		take();
		if
#ifdef IDLE_USERS
		:: true ->
#else
		:: nr == 0 ->
#endif
#ifndef IDLE_READY
			ready = false;
#endif
			active_bit = false
		:: else
		fi;
		drop()
	:: atomic { users == 0 && !queued && !lock -> assert(!active_bit && nr == 0); break }
	od
}

init {
	byte i;

	atomic {
		users = 2 + INVALIDATIONS;
		run list_subscriber();
		run interval_subscriber();
		do
		:: i < INVALIDATIONS -> run invalidation(i); i++
		:: else -> break
		od
	}
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * mmu_notifier_key: who turns it on and off, and what that means for hooks that
 * are passed meanwhile; mm/mmu_notifier.c and include/linux/mmu_notifier.h.
 * bin/check-models runs it: as it is, and once for each line "BROKEN", with that
 * name defined; each of these must fail.
 *
 * Two mms, each with a subscriber that comes, goes, and may come again, and with a
 * section.  The worker that turns the key off runs whenever it likes.  What must hold:
 * while a subscriber is registered the key is on, and every section in flight has
 * told it; an end that looks finds what its own start or init has left there.
 *
 * BROKEN LATE: the key is turned on after the locks have been passed
 * BROKEN INIT: mmu_notifier_range_init() leaves ->subscriptions alone
 * BROKEN INIT_MM: it leaves ->mm alone
 * BROKEN UNLOCKED: it is called before the lock is taken
 * BROKEN OFF: the worker turns the key off without a look at the users
 * BROKEN NO_MUTEX: it does not take the key's lock
 * BROKEN GET: a user counts itself without the key's lock
 * BROKEN EARLY: a structure gives its use up before its sections are over
 */
#define MMS 2
#define GARBAGE 2

bool key;
byte users;
bool queued;			/* disarm_work has a use */
bool mutex;

bool published[MMS];
bool registered[MMS];
bool held[MMS];			/* the lock that a section holds */
bool inside[MMS];		/* a section is counted in the structure */

proctype section(byte m)
{
	byte watched = GARBAGE, subscriptions = GARBAGE, rounds;
	bool seen;

	do
	:: rounds == 2 -> break
	:: else ->
		rounds++;
		watched = GARBAGE;
		subscriptions = GARBAGE;
#ifndef UNLOCKED
		held[m] = true;
#endif
		/* mmu_notifier_range_init() */
#ifndef INIT
		subscriptions = 0;
#endif
#ifndef INIT_MM
		watched = 0;
#endif
		if
		:: key -> watched = published[m]
		:: !key
		:: watched = 1		/* DEBUG_MMU_NOTIFIER: always */
		fi;
#ifdef UNLOCKED
		held[m] = true;
#endif
		/* start */
		assert(watched != GARBAGE);
		if
		:: watched == 1 ->
			atomic {
				seen = published[m];
				inside[m] = seen
			};
			subscriptions = seen
		:: else
		fi;
		/* In flight: has who is registered been told? */
		assert(!registered[m] || subscriptions == 1);
		/* end */
		if
		:: key ->
			assert(subscriptions != GARBAGE);
			if
			:: subscriptions == 1 ->
				assert(inside[m]);
				inside[m] = false
			:: else
			fi
		:: else
		fi;
		/* Whatever happens to the key, nobody stays inside. */
		assert(!inside[m]);
		held[m] = false
	od
}

inline arm_get() {
	atomic {
		if
		:: users > 0 -> users++; got = true
		:: else -> got = false
		fi
	};
	if
	:: got
	:: else ->
#ifndef GET
		atomic { !mutex -> mutex = true };
#endif
		if
		:: users == 0 -> key = true
		:: else
		fi;
		users++;
#ifndef GET
		mutex = false
#endif
	fi
}

inline arm_put() {
	atomic {
		if
		:: users != 1 -> users--
		/* The use goes over to the worker. */
		:: else -> queued = true
		fi
	}
}

active proctype worker()
{
	do
	:: atomic { queued -> queued = false };
#ifndef NO_MUTEX
		atomic { !mutex -> mutex = true };
#endif
		users--;
		if
#ifdef OFF
		:: true -> key = false
#else
		:: users == 0 -> key = false
		:: else
#endif
		fi;
		mutex = false
	:: timeout -> break
	od
}

proctype subscriber(byte m)
{
	byte rounds;
	bool got;

	do
	:: rounds == 2 -> break
	:: else ->
		rounds++;
#ifndef LATE
		arm_get();
#endif
		published[m] = true;
		(!held[m]);
#ifdef LATE
		arm_get();
#endif
		registered[m] = true;
		assert(key);
		registered[m] = false;
		published[m] = false;
#ifndef EARLY
		(!inside[m]);
#endif
		arm_put()
	od
}

init {
	byte m;

	atomic {
		do
		:: m < MMS -> run section(m); run subscriber(m); m++
		:: else -> break
		od
	}
}

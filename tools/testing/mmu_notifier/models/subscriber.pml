/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who belongs to a section, and when what it looks at is freed: the tables, the
 * counter of sections with its era, and the structure, of mm/mmu_notifier.c.
 * bin/check-models runs it: as it is, and once for each line "BROKEN", with that
 * name defined; each of these must fail.
 *
 * Subscriber 0 comes and goes.  Subscriber 1 may have been there before, behind
 * it in the table, and refuses some starts.  If it was not, 0 is the first: it
 * publishes the structure, and that is freed when it has gone.  What must hold: who
 * saw a start sees its end, once, and nobody an end without a start; when
 * registration has returned, no section is in flight that 0 was not told of; what
 * has been freed is not looked at; nobody waits for ever.
 *
 * Each section holds a lock of the mm, the same kind that registration passes
 * through.  What is read without a lock is a step of its own.
 *
 * BROKEN TWO_STEPS: the sections are counted before the new era begins
 * BROKEN NO_ERA: an exit never looks for waiters
 * BROKEN ALL_WAITERS: an exit counts for those that came before its section, too
 * BROKEN NEW_WAITERS: and for those that came after it had left
 * BROKEN LATE_WAITER: a waiter is queued after the lock was dropped
 * BROKEN PUBLISH: the locks are passed before the structure is published
 * BROKEN PASS: they are not passed at all
 * BROKEN SYNC: registration does not wait for the sections that have the old table
 * BROKEN LEAVE: the subscriber is freed without a wait
 * BROKEN TABLE_EARLY: a section looks for its table before it is counted
 * BROKEN END_TABLE: an end goes by the table of its own time
 * BROKEN RCU: the structure is not kept by RCU for who is about to be counted
 * BROKEN RETIRE: it is freed without a wait for who has been counted
 * BROKEN END_ALL: a refused start ends those who had not started, too
 * BROKEN END_NONE: a refused start ends nobody
 */
#define SECTIONS 2
#define WITHOUT 0		/* tables: without 0, with it, without it again */
#define WITH 1
#define AGAIN 2

bool held[SECTIONS];		/* a lock of the mm */
bool rcu[SECTIONS];
bool flight[SECTIONS];		/* start has returned, end has not begun */

/* struct mmu_notifier_subscriptions */
bool published;
bool retired;			/* and freed */
byte count;			/* with era: one atomic */
byte era;
byte table;
bool lock;

/* struct section_waiter: subscriber 0's, and an interval's that is inserted. */
bool waiting[2];
byte waiter_era[2];
byte waiter_nr[2];

bool registered;
bool leaves;
bool freed;			/* subscriber 0 */
bool table_freed[3];
bool other;
byte told[SECTIONS];		/* bit n: subscriber n has seen the start */

/* The members of table t, in order: 0 if it is there, then 1. */
#define first(t)	((t) == WITH -> 0 : (other -> 1 : 2))

inline take() {
	atomic { !lock -> lock = true }
}

inline drop() {
	lock = false
}

/* Those before stop. */
inline list_end(me, t, stop) {
	assert(!table_freed[t]);
	who = first(t);
	do
	:: who == 2 || who == stop -> break
	:: else ->
		assert(who == 1 || !freed);
		assert(told[me] & (1 << who));
		told[me] = told[me] & ~(1 << who);
		who = (who == 0 && other -> 1 : 2)
	od
}

#ifdef ALL_WAITERS
#define counted(w)	(waiting[w] && waiter_era[w] <= left)
#elif defined(NEW_WAITERS)
#define counted(w)	(waiting[w] && waiter_era[w] > mine)
#else
#define counted(w)	(waiting[w] && waiter_era[w] > mine && waiter_era[w] <= left)
#endif

inline left_for(w) {
	atomic {
		if
		:: counted(w) ->
			waiter_nr[w]--;
			waiting[w] = waiter_nr[w] > 0
		:: else
		fi
	}
}

proctype section(byte me)
{
	byte who, mine, t, left, refused = 2;
	bool must, inside;

	held[me] = true;
	must = registered;
	rcu[me] = true;
	inside = published;
	if
	:: inside ->
#ifdef TABLE_EARLY
		t = table;
#endif
		assert(!retired);
		atomic { mine = era; count++ };
		rcu[me] = false;
#ifndef TABLE_EARLY
		t = table;
#endif
		assert(!table_freed[t]);
		who = first(t);
		do
		:: who == 2 -> break
		:: else ->
			assert(who == 1 || !freed);
			if
			:: who == 1 -> refused = 1; break
			:: told[me] = told[me] | (1 << who)
			fi;
			who = (who == 0 && other -> 1 : 2)
		od;
		if
		:: refused != 2 ->
#if defined(END_ALL)
			list_end(me, t, 2)
#elif !defined(END_NONE)
			list_end(me, t, refused)
#endif
		:: else ->
			atomic {
				assert(!must || leaves || (told[me] & 1));
				flight[me] = true
			}
			flight[me] = false;
#ifdef END_TABLE
			t = table;
#endif
			list_end(me, t, 2)
		fi;
		/* Who is gone would not have gone before it saw the end. */
		assert(!told[me]);
		assert(!retired);
		atomic { count--; left = era };
		if
#ifdef NO_ERA
		:: false
#else
		:: left != mine ->
#endif
			assert(!retired);
			take();
			left_for(0);
			left_for(1);
			drop()
		:: else
		fi
	:: else ->
		rcu[me] = false;
		assert(!must || leaves);
		flight[me] = true;
		flight[me] = false
	fi;
	held[me] = false
}

inline pass_all_locks() {
	i = 0;
	do
	:: i < SECTIONS -> (!held[i]); i++
	:: else -> break
	od
}

/* subscriptions_sync() */
inline synchronize(w) {
	take();
#ifdef TWO_STEPS
	n = count;
	era++;
#else
	atomic { n = count; era++ };
#endif
#ifdef LATE_WAITER
	drop();
	take();
#endif
	if
	:: n > 0 -> atomic { waiter_nr[w] = n; waiter_era[w] = era; waiting[w] = true }
	:: else
	fi;
	drop();
	(!waiting[w])
}

/* While it waits nothing is freed: it is a subscriber, too. */
proctype newcomer()
{
	byte n;

	synchronize(1)
}

proctype subscriber()
{
	byte i, n;
	bool first_one;

	first_one = !published;
	if
	:: first_one ->
#ifdef PUBLISH
		pass_all_locks();
		published = true
#else
		published = true;
#ifndef PASS
		pass_all_locks()
#endif
#endif
	:: else
	fi;
	table = WITH;
#ifndef SYNC
	synchronize(0);
#endif
	table_freed[WITHOUT] = true;
	atomic {
		i = 0;
		do
		:: i < SECTIONS ->
			assert(!flight[i] || (told[i] & 1));
			i++
		:: else -> break
		od;
		registered = true
	}

	leaves = true;
	table = AGAIN;
#ifndef LEAVE
	synchronize(0);
#endif
	table_freed[WITH] = true;
	freed = true;

	if
	:: first_one ->
		/* subscriptions_detach(), subscriptions_retire() */
		published = false;
#ifndef RCU
		i = 0;
		do
		:: i < SECTIONS -> (!rcu[i]); i++
		:: else -> break
		od;
#endif
#ifndef RETIRE
		synchronize(0);
#endif
		take();
		retired = true;
		drop()
	:: else
	fi
}

init {
	byte i;

	atomic {
		if
		:: other = true; published = true; run newcomer()
		:: skip
		fi;
		run subscriber();
		do
		:: i < SECTIONS -> run section(i); i++
		:: else -> break
		od
	}
}

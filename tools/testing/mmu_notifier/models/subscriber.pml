/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who belongs to a section: eras and grace periods of mm/mmu_notifier.c.
 * bin/check-models runs it: as it is, and once for each line "BROKEN", with that
 * name defined; each of these must fail.
 *
 * Subscriber 0 comes and goes.  Subscriber 1 may have been there before, behind
 * it in the list, and refuses some starts.  If it was not, 0 is the first and
 * publishes the structure.  What must hold: who saw a start sees its end, once,
 * and nobody an end without a start; when registration has returned, no section
 * is in flight that 0 was not told of; what has been freed is not looked at.
 *
 * Each section holds a lock of the mm, the same kind that registration passes
 * through.  What is read without a lock is a step of its own.
 *
 * BROKEN RELEASE: the new era is known before what it stands for is done
 * BROKEN ACQUIRE: a section looks at the list before it reads the era
 * BROKEN PUBLISH: the locks are passed before the structure is published
 * BROKEN PASS: they are not passed at all
 * BROKEN SYNC: a later registration does not wait for a grace period
 * BROKEN LIVE_TOO_EARLY: a subscriber is live before that grace period
 * BROKEN LEAVE: it is unlinked at once
 * BROKEN UNLINK: it is freed when it is unlinked
 * BROKEN END_ALL: a refused start ends those who had not started, too
 * BROKEN END_NONE: a refused start ends nobody
 */
#define SECTIONS 2
#define LIVE 0
#define JOINING 1
#define LEAVING 2

bool held[SECTIONS];		/* a lock of the mm */
bool inside[SECTIONS];		/* srcu */
bool flight[SECTIONS];		/* start has returned, end has not begun */

bool published;
byte era;

/* Subscriber 0; 1 is always live.  Bit n of told: n has seen the start. */
bool linked;
byte state;
byte since;
bool registered;
bool leaves;
bool freed;
bool other;
byte told[SECTIONS];

inline look(who) {
	assert(who == 1 || !freed)
}

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

/* The first of the list, and what is behind 0. */
#define first()	(linked -> 0 : (other -> 1 : 2))
#define second() (other -> 1 : 2)
#define in_era() (who == 1 || state == LIVE ||				\
		  (state == JOINING && mine >= since) ||		\
		  (state == LEAVING && mine < since))

/* Those before stop. */
inline list_end(me, stop) {
	who = first();
	do
	:: who == 2 || who == stop -> break
	:: else ->
		look(who);
		if
		:: in_era() ->
			assert(told[me] & (1 << who));
			told[me] = told[me] & ~(1 << who)
		:: else
		fi;
		who = (who == 0 -> second() : 2)
	od
}

proctype section(byte me)
{
	byte who, mine, refused = 2;
	bool must, early;

	held[me] = true;
	must = registered;
	inside[me] = published;
	if
	:: inside[me] ->
#ifdef ACQUIRE
		who = first();
		mine = era;
#else
		mine = era;
		who = first();
#endif
		do
		:: who == 2 -> break
		:: else ->
			look(who);
			if
			:: !in_era()
			:: in_era() && who == 1 -> refused = 1; break
			:: in_era() -> told[me] = told[me] | (1 << who)
			fi;
			who = (who == 0 -> second() : 2)
		od;
		if
		:: refused != 2 ->
#if defined(END_ALL)
			list_end(me, 2)
#elif !defined(END_NONE)
			list_end(me, refused)
#endif
		:: else ->
			atomic {
				assert(!must || leaves || (told[me] & 1));
				flight[me] = true
			}
			flight[me] = false;
			list_end(me, 2)
		fi
	:: else ->
		assert(!must || leaves);
		flight[me] = true;
		flight[me] = false
	fi;
	atomic {
		/* Who is gone would not have gone before it saw the end. */
		assert(!told[me]);
		inside[me] = false;
		held[me] = false
	}
}

inline pass_all_locks() {
	i = 0;
	do
	:: i < SECTIONS -> (!held[i]); i++
	:: else -> break
	od
}

proctype subscriber()
{
	byte i;
	bool snap[SECTIONS], first_one;

	first_one = !published;
#ifdef RELEASE
	era++;
	atomic { since = era; state = JOINING; linked = true }
#else
	since = era + 1;
	state = JOINING;
	linked = true;
	era++;
#endif
#ifdef LIVE_TOO_EARLY
	state = LIVE;
#endif
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
	:: else ->
#ifndef SYNC
		synchronize()
#endif
	fi;
	state = LIVE;
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
	atomic { since = era + 1; state = LEAVING }
	era++;
#ifndef LEAVE
	synchronize();
#endif
	linked = false;
#ifndef UNLINK
	synchronize();
#endif
	freed = true
}

init {
	byte i;

	atomic {
		if
		:: other = true; published = true
		:: skip
		fi;
		run subscriber();
		do
		:: i < SECTIONS -> run section(i); i++
		:: else -> break
		od
	}
}

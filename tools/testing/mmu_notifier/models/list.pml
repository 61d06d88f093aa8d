/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which list subscribers are told of an invalidation, and when they are unlinked and freed:
 * birth, death and SRCU, as the core of MMU notifiers has them.  bin/check-models runs the
 * model: as it is, and once for each line "BROKEN", with that name defined; each of these
 * must fail.
 *
 * Subscriber 0 comes and goes.  Subscriber 1 may be there from the beginning.  It goes
 * meanwhile, or the mm exits, or subscriber 0 comes and goes once more.  Any of them may
 * refuse a start.  What must hold: a subscriber that saw a start sees its end, once, before
 * it is freed; no subscriber sees an end without a start; from the return of registration
 * to the beginning of unregister the subscriber was told of each invalidation in flight; no
 * walk stands on a subscriber that has been freed; nothing waits for ever.
 *
 * An invalidation is an SRCU reader from start to end.  A grace period waits for the
 * readers that were there at its beginning.  The kernel's may wait for more: that
 * breaks no promise.  What is read without the lock is a step of its own.
 *
 * BROKEN SYNC_REGISTER: registration does not wait for a grace period
 * BROKEN SYNC_UNLINK: no grace period between death and unlinking
 * BROKEN SYNC_FREE: no grace period between unlinking and the free
 * BROKEN BIRTH: the walk does not test birth
 * BROKEN DEATH: the walk does not test death
 * BROKEN GEN_EARLY: the new generation is published before the subscriber is linked
 * BROKEN DEATH_LATE: it is published before the subscriber is marked dead
 * BROKEN GEN_BEFORE: an invalidation reads the generation before it is a reader
 * BROKEN GEN_END: the end goes by the generation of its own time
 * BROKEN SPLIT: the reader ends with the start, and the end is another one
 * BROKEN KILL_TWICE: unregister gives another death to what exit has killed
 * BROKEN END_ALL: a refused start ends those too that had not started
 * BROKEN END_NONE: a refused start ends no subscriber
 */
#define INVALIDATIONS 2
#define HEAD 2
#define NIL 3
#define NEVER 255

byte next[3];			/* 0, 1, HEAD */
byte birth[2];
byte death[2];
byte gen;
bool lock;

byte inside;			/* bit n: invalidation n is an SRCU reader */
byte waits[2];			/* grace periods: the readers that each still waits for */
bool flight[INVALIDATIONS];	/* start has returned, end has not begun */
byte told[INVALIDATIONS];	/* bit n: subscriber n has seen the start */

bool linked[2];
bool registered[2];		/* registration has returned, unregister has not begun */
bool dead[2];			/* by exit: it maps nothing any more */
bool freed[2];

#define bit(n)	(1 << (n))

#ifdef BIRTH
#define born(n, g)	true
#else
#define born(n, g)	(birth[n] <= (g))
#endif
#ifdef DEATH
#define alive(n, g)	true
#else
#define alive(n, g)	(death[n] > (g))
#endif
#define is_told(n, g)	(born(n, g) && alive(n, g))

/* What a subscriber must have been told of. */
#define knows(me, n)	(!registered[n] || dead[n] || (told[me] & bit(n)))

inline enter(me) {
	inside = inside | bit(me)
}

inline leave(me) {
	atomic {
		inside = inside & ~bit(me);
		waits[0] = waits[0] & ~bit(me);
		waits[1] = waits[1] & ~bit(me)
	}
}

/* A grace period of subscriber @n: those that are inside have to leave. */
inline synchronize(n) {
	waits[n] = inside;
	(waits[n] == 0)
}

/* For all, or for those before @stop. */
inline list_end(me, stop) {
	sub = next[HEAD];
	do
	:: sub == NIL || sub == stop -> break
	:: else ->
		atomic {
			assert(!freed[sub]);
			if
			:: is_told(sub, mine) ->
				assert(told[me] & bit(sub));
				told[me] = told[me] & ~bit(sub)
			:: else
			fi
		}
		atomic { assert(!freed[sub]); sub = next[sub] }
	od
}

proctype invalidation(byte me)
{
	byte sub, mine, refused = NIL;

#ifdef GEN_BEFORE
	mine = gen;
	enter(me);
#else
	enter(me);
	mine = gen;
#endif
	sub = next[HEAD];
	do
	:: sub == NIL -> break
	:: else ->
		atomic {
			assert(!freed[sub]);
			if
			:: is_told(sub, mine) ->
				if
				:: told[me] = told[me] | bit(sub)
				:: refused = sub
				fi
			:: else
			fi
		}
		if
		:: refused != NIL -> break
		:: else
		fi;
		atomic { assert(!freed[sub]); sub = next[sub] }
	od;
	if
	:: refused != NIL ->
#if defined(END_ALL)
		list_end(me, NIL)
#elif !defined(END_NONE)
		list_end(me, refused)
#endif
	:: else ->
		atomic {
			assert(knows(me, 0) && knows(me, 1));
			flight[me] = true
		}
#ifdef SPLIT
		leave(me);
		skip;
		enter(me);
#endif
		flight[me] = false;
#ifdef GEN_END
		mine = gen;
#endif
		list_end(me, NIL)
	fi;
	/* Each subscriber that saw the start has seen the end. */
	assert(!told[me]);
	leave(me);
	sub = 0;
	mine = 0;
	refused = 0
}

inline take() {
	atomic { !lock -> lock = true }
}

inline drop() {
	lock = false
}

/* With the lock. */
inline kill(n) {
	if
#ifdef KILL_TWICE
	:: true ->
#else
	:: death[n] == NEVER ->
#endif
#ifdef DEATH_LATE
		gen++;
		death[n] = gen
#else
		death[n] = gen + 1;
		gen++
#endif
	:: else
	fi
}

inline register(n) {
	take();
	freed[n] = false;
	death[n] = NEVER;
	birth[n] = gen + 1;
	next[n] = next[HEAD];
#ifdef GEN_EARLY
	gen++;
	next[HEAD] = n;
#else
	next[HEAD] = n;
	gen++;
#endif
	linked[n] = true;
	drop();
#ifndef SYNC_REGISTER
	synchronize(n);
#endif
	atomic {
		i = 0;
		do
		:: i < INVALIDATIONS ->
			assert(!flight[i] || dead[n] || (told[i] & bit(n)));
			i++
		:: else -> break
		od;
		i = 0;
		registered[n] = true
	}
}

inline unregister(n) {
	registered[n] = false;
	take();
	kill(n);
	drop();
#ifndef SYNC_UNLINK
	synchronize(n);
#endif
	take();
	atomic {
		i = (next[HEAD] == n -> HEAD : 1 - n);
		next[i] = next[n];
		i = 0;
		linked[n] = false
	}
	drop();
#ifndef SYNC_FREE
	synchronize(n);
#endif
	atomic {
		freed[n] = true;
		i = 0;
		do
		:: i < INVALIDATIONS ->
			assert(!(told[i] & bit(n)));
			i++
		:: else -> break
		od;
		i = 0
	}
}

proctype subscriber(byte rounds)
{
	byte i;

	do
	:: rounds == 0 -> break
	:: else ->
		rounds--;
		register(0);
		unregister(0)
	od
}

proctype leaver()
{
	byte i;

	unregister(1)
}

/* The mm's last user goes: release to all, then all are dead, and stay linked. */
proctype mm_exit()
{
	take();
	atomic { dead[0] = true; dead[1] = true };
	if
	:: linked[0] -> kill(0)
	:: else
	fi;
	if
	:: linked[1] -> kill(1)
	:: else
	fi;
	drop()
}

init {
	byte i;

	atomic {
		next[HEAD] = NIL;
		freed[0] = true;
		freed[1] = true;
		if
		:: next[HEAD] = 1;
			next[1] = NIL;
			death[1] = NEVER;
			linked[1] = true;
			freed[1] = false;
			registered[1] = true;
		:: skip
		fi;
		/* One of them beside subscriber 0: both would be too much for a verifier. */
		if
		:: registered[1] -> run leaver(); run subscriber(1)
		:: run mm_exit(); run subscriber(1)
		:: run subscriber(2)
		fi;
		do
		:: i < INVALIDATIONS -> run invalidation(i); i++
		:: else -> break
		od
	}
}

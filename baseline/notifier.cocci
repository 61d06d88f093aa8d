// SPDX-License-Identifier: GPL-2.0
/// Take every call of the stock MMU notifier out of mm and its neighbours.
///
/// A range whose bounds somebody else reads becomes two plain locals, or the
/// expressions that it was initialized from. An aging wrapper becomes the
/// page-table helper inside it. All that is left of a question to subscribers
/// is the answer "nobody".
///
// Confidence: High for the files that baseline/strip hands over, which are
//	compared as object code by baseline/oracle; it is no general tool.
// Options: --no-includes --no-loops --timeout 200
// Comments: #ifdef blocks, #include lines, labels and comments are beyond a
//	semantic patch: see baseline/ifdefs, baseline/lines, baseline/edits.

// ---- the range as a member of a page walk's private struct

@member@
identifier S, r;
@@
 struct S {
	...
-	struct mmu_notifier_range r;
+	unsigned long range_start;
+	unsigned long range_end;
	...
 };

@@
identifier member.r;
expression w, ev, fl, mm, s, e;
@@
- mmu_notifier_range_init(&w->r, ev, fl, mm, s, e);
+ w->range_start = s;
+ w->range_end = e;

@@
identifier member.r;
expression w;
@@
(
- w->r.start
+ w->range_start
|
- w->r.end
+ w->range_end
)

// ---- a range that is a flag too: "started" is r.start != 0

@@
identifier r;
expression list es;
@@
 struct mmu_notifier_range r;
 ... when != r
- r.start = 0;
 <...
(
- if (!r.start) {
-	mmu_notifier_range_init(es);
-	mmu_notifier_invalidate_range_start(&r);
- }
|
- if (r.start)
-	mmu_notifier_invalidate_range_end(&r);
)
 ...>

// ---- calls under a condition of their own

@@
expression E;
expression list es, es2;
@@
(
- if (E) {
-	mmu_notifier_range_init(es);
-	mmu_notifier_invalidate_range_start(es2);
- }
|
- if (E)
-	mmu_notifier_invalidate_range_end(es);
|
- if (E)
-	mmu_notifier_arch_invalidate_secondary_tlbs(es);
|
- if (mmu_notifier_invalidate_range_start_nonblock(es)) { ... }
)

// ---- bounds that are read apart from the notifier

// Somebody changes them, so they have to be variables.
@changed exists@
identifier r;
position p;
expression E;
@@
 struct mmu_notifier_range r@p;
 ... when any
(
 &r.start
|
 &r.end
|
 r.start = E
|
 r.end = E
)

@@
identifier changed.r;
position changed.p;
fresh identifier rs = r ## "_start", re = r ## "_end";
@@
 struct mmu_notifier_range r@p;
+ unsigned long rs;
+ unsigned long re;

// The declaration of rs and re is what tells these functions from the rest.
@@
identifier r, x, y;
fresh identifier rs = r ## "_start", re = r ## "_end";
expression ev, fl, mm, s, e;
@@
 struct mmu_notifier_range r;
 unsigned long x;
 unsigned long y;
 <... when any
(
- mmu_notifier_range_init(&r, ev, fl, mm, r.start, r.end);
|
- mmu_notifier_range_init(&r, ev, fl, mm, s, r.end);
+ rs = s;
|
- mmu_notifier_range_init(&r, ev, fl, mm, s, e);
+ rs = s;
+ re = e;
)
 ...>

@@
identifier r, x, y;
fresh identifier rs = r ## "_start";
@@
 struct mmu_notifier_range r;
 unsigned long x;
 unsigned long y;
 <... when any
- r.start
+ rs
 ...>

@@
identifier r, x, y;
fresh identifier re = r ## "_end";
@@
 struct mmu_notifier_range r;
 unsigned long x;
 unsigned long y;
 <... when any
- r.end
+ re
 ...>

// Nobody changes them, so the expressions that they came from will do.
@fixed exists@
identifier r;
expression ev, fl, mm, s, e;
position p;
@@
 mmu_notifier_range_init@p(&r, ev, fl, mm, s, e);
 ... when any
(
 r.start
|
 r.end
)

@@
identifier fixed.r;
expression fixed.ev, fixed.fl, fixed.mm, fixed.s, fixed.e;
position fixed.p;
@@
 mmu_notifier_range_init@p(&r, ev, fl, mm, s, e);
 <... when any
(
- r.start
+ s
|
- r.end
+ e
)
 ...>

// ---- plain calls

@@
expression list es;
@@
(
- mmu_notifier_range_init(es);
|
- mmu_notifier_range_init_owner(es);
|
- mmu_notifier_invalidate_range_start(es);
|
- mmu_notifier_invalidate_range_end(es);
|
- mmu_notifier_arch_invalidate_secondary_tlbs(es);
|
- mmu_notifier_release(es);
|
- mmu_notifier_subscriptions_destroy(es);
|
- mmu_notifier_subscriptions_init(es);
)

@@
identifier r;
@@
- struct mmu_notifier_range r;

@@ @@
- struct mmu_notifier_range;

// a flag that only remembered whether the notifier had been started
@@
symbol true, false;
identifier n = notified;
type T;
@@
- T n = false;
 <...
(
- if (!n) { n = true; }
|
- if (n) {}
|
- n = true;
)
 ...>

// a label that only led to the end of the section
@@
symbol out_mn, out;
@@
- goto out_mn;
+ goto out;

// ---- aging

@@
expression list es;
expression e;
@@
(
  e
- || mmu_notifier_test_young(es)
|
  e
- && !mm_has_notifiers(es)
)

@@
expression list es;
@@
(
- ptep_clear_flush_young_notify
+ ptep_clear_flush_young
  (es)
|
- pmdp_clear_flush_young_notify
+ pmdp_clear_flush_young
  (es)
|
- ptep_clear_young_notify
+ ptep_test_and_clear_young
  (es)
|
- pmdp_clear_young_notify
+ pmdp_test_and_clear_young
  (es)
)

// ---- mm_take_all_locks(): registration alone needs it

@@
identifier fn = {
	mm_take_all_locks, mm_drop_all_locks,
	vm_lock_anon_vma, vm_lock_mapping,
	vm_unlock_anon_vma, vm_unlock_mapping
};
type T;
parameter list ps;
@@
- T fn(ps) { ... }

@@
identifier fn = { mm_take_all_locks, mm_drop_all_locks };
type T;
parameter list ps;
@@
- T fn(ps);

@@
declarer name DEFINE_MUTEX;
symbol mm_all_locks_mutex;
@@
- static DEFINE_MUTEX(mm_all_locks_mutex);

// SPDX-License-Identifier: GPL-2.0
/*
 * XPMEM between two hosts: a prototype.
 *
 * One host, the exporter, lets the other, the importer, map memory of one of its
 * processes by physical page, and pins none of it: before a page is swapped out,
 * moved or freed the exporter tells the importer, and sleeps until it has
 * unmapped the page.  The hosts are two guests of QEMU.  Both see an
 * ivshmem-plain device of a megabyte, the mailbox, and only the importer a
 * second one: the exporter's whole RAM, so that pfn n there is page n of its BAR.
 *
 *	importer				exporter
 *	fault
 *	  FETCH(page, write)	-------------->	look up, fault in; mark the page
 *	  map			<--------------	REPLY(pfn, writable)
 *						reclaim: start callback
 *	unmap			<--------------	INVALIDATE(first, last)
 *	  ACK			-------------->	unmark, let reclaim go on
 *
 * Messages get lost, the parameter loss sees to it.  A task that waits for an
 * answer asks again every RETRY_MS, and everything can be done twice.  They do not
 * overtake each other.  So with a lookup that is answered under the lock under
 * which an invalidation searches for marks, the importer sees REPLY and then
 * INVALIDATE if the page was marked in time, and if it was not, the lookup is
 * stale and done again.
 *
 * An importer whose heartbeat stands still for dead_ms is dead: it maps nothing
 * any more, and is told nothing until it says HELLO with another incarnation.
 *
 * Limits:
 *  - One segment, one importer.
 *  - No fencing: an importer that was only asleep still maps what it was given
 *    until it reads the mailbox again.  It then sees that it was given up, drops
 *    everything and starts over; what it wrote before went to pages of others.
 *    Hardware that partitions a machine can cut the peer off, ivshmem cannot.
 *  - No protection: the importer can reach all of the exporter's RAM.
 *  - The exporter's RAM has to be linear: guest physical address = BAR offset, so
 *    less than 3.5 GiB on QEMU's pc.
 *  - Writing needs anonymous memory: for a file's page the folio lock would be
 *    needed to mark it dirty.  Reclaim and soft-dirty tracking do not see what
 *    the importer accesses.
 *  - Cacheable as far as firmware's MTRRs say so for a BAR.
 *  - No interrupt: each host has a thread that polls.  No hot-unplug.
 *
 * Locks, in this order:
 *	link.setup	one session at a time begins or ends
 *	mmap_lock
 *	link.insert	importer: link.fetches, and the incarnation.  An entry is
 *			inserted under it, by a fetch that no INVALIDATE has reset.
 *			Page tables are allocated under it.
 *	link.lock	what is sent; exporter: all that an invalidation reads.  Taken
 *			in reclaim: nothing sleeps or allocates under it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/hmm.h>
#include <linux/io.h>
#include <linux/kfifo.h>
#include <linux/kthread.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "xpmem_link.h"

#define RETRY_MS	20
#define LOOKUP_MS	1000
#define MAX_PAGES	(SZ_1G >> PAGE_SHIFT)
#define USER_PGOFF	(LINK_USER_OFFSET >> PAGE_SHIFT)
#define USER_PAGES	(LINK_USER_SIZE >> PAGE_SHIFT)

static unsigned int delay_ms;
module_param(delay_ms, uint, 0644);
MODULE_PARM_DESC(delay_ms, "age of a message when it is received");
static unsigned int loss;
module_param(loss, uint, 0644);
MODULE_PARM_DESC(loss, "percentage of received messages that are dropped");
static unsigned int seed;
module_param(seed, uint, 0644);
MODULE_PARM_DESC(seed, "of what is dropped, in the next session; 0: random");
static unsigned int race_us;
module_param(race_us, uint, 0644);
MODULE_PARM_DESC(race_us, "sleep between lookup and answer, and before unmapping: for tests");
static unsigned int dead_ms = 2000;
module_param(dead_ms, uint, 0644);
MODULE_PARM_DESC(dead_ms, "an importer without a heartbeat for so long is dead");
static unsigned int fetch_ms = 10000;
module_param(fetch_ms, uint, 0644);
MODULE_PARM_DESC(fetch_ms, "a fault that got no answer for so long is a SIGBUS");
static bool busted;
module_param(busted, bool, 0644);
MODULE_PARM_DESC(busted, "control: the exporter keeps invalidations to itself");

/* An invalidation that waits for its ACK; on the stack. */
struct waiter {
	struct list_head list;
	u64 id;
	unsigned long first, last;
	bool done;
};

/* A fault that waits for its REPLY; on the stack. */
struct fetch {
	struct list_head list;
	u64 id;
	pgoff_t index;
	bool got;
	u64 pfn, writable;
};

static struct {
	struct link_mailbox *mailbox;
	unsigned long mailbox_pfn;
	unsigned long ram_pfn, ram_pages;	/* importer: the second device */

	struct mutex setup;			/* locks: see above */
	struct file *owner;			/* whose session it is */
	int role;
	struct link_side *mine, *peer;
	struct task_struct *thread;
	wait_queue_head_t wait;
	atomic64_t stat[LINK_NR_STATS];
	unsigned long pages;

	/* The thread's: received, to be handled when due. */
	struct { u64 due; struct link_msg msg; } held[LINK_RING];
	u32 in, out, tail;
	struct rnd_state rnd;
	u64 beats;				/* the peer's, */
	unsigned long beats_at;			/* and when they changed */
	unsigned long hello_at;

	spinlock_t lock;			/* see above */
	u32 head;
	u64 incarnation;			/* the importer's; 0: none */

	/* exporter */
	struct mmu_interval_notifier sub;
	struct work_struct work;
	DECLARE_KFIFO(fifo, struct link_msg, 64);	/* thread to work */
	unsigned long start;
	unsigned long *marks;			/* the importer may map the page */
	struct list_head waiters;
	u64 last_id;
	bool open;

	/* importer */
	struct mutex insert;			/* see above */
	struct list_head fetches;
	u64 last_fetch;
	struct file *importer;			/* owner, when it may mmap() */
	struct address_space *mapping;
	u64 exporter;				/* incarnation */
	bool joined, gone;
} link = {
	.setup = __MUTEX_INITIALIZER(link.setup),
	.wait = __WAIT_QUEUE_HEAD_INITIALIZER(link.wait),
	.lock = __SPIN_LOCK_UNLOCKED(link.lock),
	.waiters = LIST_HEAD_INIT(link.waiters),
	.insert = __MUTEX_INITIALIZER(link.insert),
	.fetches = LIST_HEAD_INIT(link.fetches),
};

static void count(enum link_stat what)
{
	atomic64_inc(&link.stat[what]);
}

/* What does not fit is lost, as others are: the task that waits for an answer asks again. */
static void link_send(enum link_type type, u64 id, u64 a, u64 b)
{
	/* Pairs with link_receive(): what it has read may be overwritten. */
	u32 tail = virt_load_acquire(&link.peer->tail);

	lockdep_assert_held(&link.lock);
	if (link.head - tail >= LINK_RING)
		return;
	link.mine->ring[link.head % LINK_RING] = (struct link_msg){
		.incarnation = link.incarnation, .id = id, .a = a, .b = b, .type = type,
	};
	/* Pairs with link_receive(): the message comes before its index. */
	virt_store_release(&link.mine->head, ++link.head);
}

/* The exporter. */

/* The importer maps nothing any more, or it is another one. */
static void link_forget(u64 incarnation)
{
	struct waiter *w;

	lockdep_assert_held(&link.lock);
	link.incarnation = incarnation;
	bitmap_zero(link.marks, link.pages);
	list_for_each_entry(w, &link.waiters, list)
		WRITE_ONCE(w->done, true);
	wake_up_all(&link.wait);
}

/* Returns whether there is anything to wait for; the caller keeps new marks out. */
static bool link_take_begin(struct waiter *w)
{
	lockdep_assert_held(&link.lock);
	if (find_next_bit(link.marks, w->last + 1, w->first) > w->last)
		return false;
	if (busted) {
		bitmap_clear(link.marks, w->first, w->last - w->first + 1);
		return false;
	}
	w->id = ++link.last_id;
	list_add(&w->list, &link.waiters);
	link_send(LINK_INVALIDATE, w->id, w->first, w->last);
	count(LINK_INVALIDATIONS);
	return true;
}

/*
 * Ends, whatever the importer does: it answers, or its heart stops and the thread
 * calls link_forget().
 */
static void link_take_end(struct waiter *w)
{
	unsigned long i;

	while (!wait_event_timeout(link.wait, READ_ONCE(w->done),
				   msecs_to_jiffies(RETRY_MS))) {
		spin_lock(&link.lock);
		if (!w->done) {
			link_send(LINK_INVALIDATE, w->id, w->first, w->last);
			count(LINK_RESENT);
		}
		spin_unlock(&link.lock);
	}
	spin_lock(&link.lock);
	list_del(&w->list);
	/* Not earlier: an overlapping invalidation has to wait as well. */
	for (i = w->first; i <= w->last; i++)
		if (__test_and_clear_bit(i, link.marks))
			count(LINK_TAKEN);
	spin_unlock(&link.lock);
}

static bool link_invalidate(struct mmu_interval_notifier *sub,
			    const struct mmu_notifier_range *range, unsigned long seq)
{
	unsigned long end = link.start + (link.pages << PAGE_SHIFT);
	struct waiter w = {
		.first = (max(range->start, link.start) - link.start) >> PAGE_SHIFT,
		.last = (min(range->end, end) - 1 - link.start) >> PAGE_SHIFT,
	};
	bool wait;

	spin_lock(&link.lock);
	if (!mmu_notifier_range_blockable(range) &&
	    find_next_bit(link.marks, w.last + 1, w.first) <= w.last) {
		spin_unlock(&link.lock);
		count(LINK_REFUSED);
		return false;
	}
	/* From here to the end of the invalidation link_answer() marks nothing. */
	mmu_interval_set_seq(sub, seq);
	wait = link_take_begin(&w);
	spin_unlock(&link.lock);
	if (wait)
		link_take_end(&w);
	return true;
}

static const struct mmu_interval_notifier_ops link_sub_ops = {
	.invalidate	= link_invalidate,
};

/* False: an invalidation came between. */
static bool link_answer(const struct link_msg *msg, unsigned long seq, unsigned long hmm_pfn)
{
	u64 pfn = LINK_NO_PFN;
	struct folio *folio;
	bool ok;

	spin_lock(&link.lock);
	ok = !mmu_interval_read_retry(&link.sub, seq);
	if (ok && link.open && msg->incarnation == link.incarnation) {
		/* The CPU maps it, and an unmapping waits for us: no reference. */
		if (hmm_pfn) {
			folio = page_folio(hmm_pfn_to_page(hmm_pfn));
			if (!msg->b || folio_test_anon(folio)) {
				pfn = hmm_pfn & ~HMM_PFN_FLAGS;
				__set_bit(msg->a, link.marks);
			}
			/*
			 * A pte can be writable and clean, as after a read from
			 * swap, and what the importer writes does not change it.
			 */
			if (msg->b && pfn != LINK_NO_PFN)
				folio_mark_dirty(folio);
		}
		/* Under the lock: an INVALIDATE of the page comes behind. */
		link_send(LINK_REPLY, msg->id, pfn, msg->b);
		count(LINK_FETCHES);
	}
	spin_unlock(&link.lock);
	return ok;
}

static void link_lookup(const struct link_msg *msg)
{
	unsigned long until = jiffies + msecs_to_jiffies(LOOKUP_MS);
	struct mm_struct *mm = link.sub.mm;
	unsigned long hmm_pfn, seq;
	struct hmm_range range = {
		.notifier = &link.sub,
		.start = link.start + (msg->a << PAGE_SHIFT),
		.end = link.start + ((msg->a + 1) << PAGE_SHIFT),
		.hmm_pfns = &hmm_pfn,
		.default_flags = HMM_PFN_REQ_FAULT | (msg->b ? HMM_PFN_REQ_WRITE : 0),
	};
	int ret;

	if (!mmget_not_zero(mm)) {
		link_answer(msg, READ_ONCE(link.sub.invalidate_seq), 0);
		return;
	}
	do {
		hmm_pfn = 0;
		seq = mmu_interval_read_begin(&link.sub);
		range.notifier_seq = seq;
		mmap_read_lock(mm);
		ret = hmm_range_fault(&range);
		mmap_read_unlock(mm);
		fsleep(race_us);
		if (ret != -EBUSY && link_answer(msg, seq, ret ? 0 : hmm_pfn))
			break;
		count(LINK_RETRIES);
		/* If it never succeeds the importer asks again, or gives up. */
	} while (time_before(jiffies, until));
	mmput(mm);
}

/*
 * Not in the thread: a lookup waits for mmap_lock and for invalidations, and
 * these for the ACKs that the thread receives.
 */
static void link_work(struct work_struct *work)
{
	struct link_msg msg;

	while (READ_ONCE(link.open) && kfifo_get(&link.fifo, &msg))
		link_lookup(&msg);
}

static void link_export_handle(const struct link_msg *msg)
{
	struct waiter *w;

	spin_lock(&link.lock);
	switch (msg->type) {
	case LINK_HELLO:
		/* A dead one has to come back as another. */
		if (!link.open || !msg->incarnation || msg->incarnation == link.mine->dead)
			break;
		if (msg->incarnation != link.incarnation) {
			link.beats_at = jiffies;
			link_forget(msg->incarnation);
		}
		link_send(LINK_WELCOME, 0, link.pages, link.mine->incarnation);
		break;
	case LINK_FETCH:
		if (!link.open || msg->incarnation != link.incarnation ||
		    msg->a >= link.pages)
			break;
		/* If there is no room, the importer asks again. */
		kfifo_put(&link.fifo, *msg);
		queue_work(system_unbound_wq, &link.work);
		break;
	case LINK_ACK:
		if (msg->incarnation != link.incarnation)
			break;
		list_for_each_entry(w, &link.waiters, list) {
			if (w->id != msg->id || w->done)
				continue;
			WRITE_ONCE(w->done, true);
			count(LINK_ACKS);
			wake_up_all(&link.wait);
		}
		break;
	}
	spin_unlock(&link.lock);
}

static void link_export_watch(void)
{
	u64 beats = READ_ONCE(link.peer->beats);

	if (beats != link.beats) {
		link.beats = beats;
		link.beats_at = jiffies;
	}
	spin_lock(&link.lock);
	if (link.incarnation &&
	    READ_ONCE(link.peer->incarnation) != link.incarnation) {
		/* Closed: it has said so itself. */
		link_forget(0);
	} else if (link.incarnation &&
		   time_after(jiffies, link.beats_at + msecs_to_jiffies(dead_ms))) {
		pr_info("no heartbeat of the importer for %u ms: it is dead\n", dead_ms);
		WRITE_ONCE(link.mine->dead, link.incarnation);
		link_forget(0);
		count(LINK_DEATHS);
	}
	spin_unlock(&link.lock);
}

/* The importer. */

static void link_unmap(unsigned long first, unsigned long last)
{
	unmap_mapping_range(link.mapping, (loff_t)first << PAGE_SHIFT,
			    (loff_t)(last - first + 1) << PAGE_SHIFT, 1);
}

/* A REPLY before an INVALIDATE is void, one after it is new. */
static void link_void(unsigned long first, unsigned long last)
{
	struct fetch *f;

	lockdep_assert_held(&link.insert);
	list_for_each_entry(f, &link.fetches, list)
		if (f->index >= first && f->index <= last)
			WRITE_ONCE(f->got, false);
}

static void link_import_handle(const struct link_msg *msg)
{
	struct fetch *f;

	if (msg->incarnation != link.incarnation)
		return;
	mutex_lock(&link.insert);
	switch (msg->type) {
	case LINK_WELCOME:
		if (link.joined || msg->a > MAX_PAGES)
			break;
		/* A segment of another size is not what was mapped. */
		if (link.exporter && (msg->b != link.exporter || msg->a != link.pages))
			break;
		link.exporter = msg->b;
		link.pages = msg->a;
		WRITE_ONCE(link.joined, true);
		break;
	case LINK_REPLY:
		list_for_each_entry(f, &link.fetches, list) {
			if (f->id != msg->id)
				continue;
			f->pfn = msg->a;
			f->writable = msg->b;
			WRITE_ONCE(f->got, true);
		}
		break;
	case LINK_INVALIDATE:
		if (msg->a <= msg->b && msg->b < link.pages)
			link_void(msg->a, msg->b);
		break;
	}
	mutex_unlock(&link.insert);
	wake_up_all(&link.wait);

	if (msg->type == LINK_INVALIDATE && msg->a <= msg->b && msg->b < link.pages) {
		count(LINK_INVALIDATIONS);
		fsleep(race_us);
		/* A fault that was before us has inserted; the others will ask again. */
		link_unmap(msg->a, msg->b);
		spin_lock(&link.lock);
		link_send(LINK_ACK, msg->id, 0, 0);
		spin_unlock(&link.lock);
		count(LINK_ACKS);
	}
}

/* Given up by the exporter, as after a long sleep: unmap everything, be another importer. */
static void link_start_over(void)
{
	pr_info("the exporter gave this host up: starting over\n");
	mutex_lock(&link.insert);
	WRITE_ONCE(link.joined, false);
	link_void(0, ULONG_MAX);
	/* Until this one says HELLO no REPLY can fit. */
	spin_lock(&link.lock);
	link.incarnation = get_random_u64() | 1;
	spin_unlock(&link.lock);
	mutex_unlock(&link.insert);
	link_unmap(0, link.pages);
	WRITE_ONCE(link.mine->incarnation, link.incarnation);
}

static void link_import_watch(void)
{
	if (READ_ONCE(link.peer->dead) == link.incarnation)
		link_start_over();
	if (link.joined && !link.gone &&
	    READ_ONCE(link.peer->incarnation) != link.exporter) {
		pr_info("the exporter has left\n");
		mutex_lock(&link.insert);
		WRITE_ONCE(link.gone, true);
		mutex_unlock(&link.insert);
		link_unmap(0, link.pages);
		wake_up_all(&link.wait);
	}
	if (!link.joined && time_after(jiffies, link.hello_at)) {
		link.hello_at = jiffies + msecs_to_jiffies(RETRY_MS);
		spin_lock(&link.lock);
		link_send(LINK_HELLO, 0, 0, 0);
		spin_unlock(&link.lock);
	}
}

/* Under link.insert, so that an INVALIDATE comes before, and is seen, or behind. */
static vm_fault_t link_insert(struct vm_fault *vmf, struct fetch *f, bool upgrade)
{
	struct follow_pfnmap_args args = { .vma = vmf->vma, .address = vmf->address };
	pgprot_t prot = vmf->vma->vm_page_prot;
	vm_fault_t ret;

	if (f->pfn >= link.ram_pages)
		return VM_FAULT_SIGBUS;
	/* vm_page_prot is read-only, as there is a pfn_mkwrite. */
	if (f->writable)
		prot = vm_get_page_prot(vmf->vma->vm_flags);
	if (upgrade)
		zap_vma_ptes(vmf->vma, vmf->address, PAGE_SIZE);
	ret = vmf_insert_pfn_prot(vmf->vma, vmf->address, link.ram_pfn + f->pfn, prot);
	if (ret == VM_FAULT_NOPAGE && !follow_pfnmap_start(&args)) {
		if (pgprot_val(args.pgprot) & _PAGE_CACHE_MASK)
			count(LINK_UNCACHED);
		follow_pfnmap_end(&args);
	}
	return ret;
}

/*
 * Sleeps with mmap_lock held for reading, as a fault in a file of a network file
 * system does.  No task on this host on which the answer depends takes mmap_lock: the
 * thread takes link.insert, i_mmap_rwsem and page-table locks.  Nor does the
 * exporter wait for this process: an INVALIDATE is acknowledged meanwhile.
 */
static vm_fault_t link_fetch(struct vm_fault *vmf, bool upgrade)
{
	unsigned long until = jiffies + msecs_to_jiffies(fetch_ms);
	bool write = vmf->flags & FAULT_FLAG_WRITE;
	struct fetch f = { .index = vmf->pgoff };
	vm_fault_t ret = VM_FAULT_SIGBUS;
	long left = 1;

	mutex_lock(&link.insert);
	f.id = ++link.last_fetch;
	list_add(&f.list, &link.fetches);
	count(LINK_FETCHES);
	if (upgrade)
		count(LINK_UPGRADES);
	while (!f.got) {
		/* Not NOPAGE: a fault of the kernel's own would come back for ever. */
		if (link.gone || fatal_signal_pending(current) ||
		    time_after(jiffies, until))
			goto out;
		if (!left)
			count(LINK_RESENT);
		spin_lock(&link.lock);
		link_send(LINK_FETCH, f.id, f.index, write);
		spin_unlock(&link.lock);
		mutex_unlock(&link.insert);
		left = wait_event_killable_timeout(link.wait,
						   READ_ONCE(f.got) || READ_ONCE(link.gone),
						   msecs_to_jiffies(RETRY_MS));
		mutex_lock(&link.insert);
	}
	ret = link_insert(vmf, &f, upgrade);
out:
	list_del(&f.list);
	mutex_unlock(&link.insert);
	return ret;
}

static vm_fault_t link_fault(struct vm_fault *vmf)
{
	if (vmf->pgoff >= USER_PGOFF)
		return vmf_insert_pfn_prot(vmf->vma, vmf->address, link.mailbox_pfn +
					   PHYS_PFN(LINK_USER) + vmf->pgoff - USER_PGOFF,
					   vm_get_page_prot(vmf->vma->vm_flags));
	return link_fetch(vmf, false);
}

static vm_fault_t link_mkwrite(struct vm_fault *vmf)
{
	return vmf->pgoff >= USER_PGOFF ? 0 : link_fetch(vmf, true);
}

static const struct vm_operations_struct link_vm_ops = {
	.fault		= link_fault,
	.pfn_mkwrite	= link_mkwrite,
};

static int link_mmap(struct file *file, struct vm_area_struct *vma)
{
	unsigned long pgoff = vma->vm_pgoff, nr = vma_pages(vma), pages = 0;

	if (is_cow_mapping(vma->vm_flags))
		return -EINVAL;
	if (!link.mailbox)
		return -ENODEV;
	if (pgoff >= USER_PGOFF) {
		pgoff -= USER_PGOFF;
		pages = USER_PAGES;
	} else if (smp_load_acquire(&link.importer) == file) { /* pairs with link_import() */
		pages = link.pages;
	}
	if (pgoff >= pages || nr > pages - pgoff)
		return -ENXIO;
	/* DONTCOPY: a child would map what only its parent was given. */
	vm_flags_set(vma, VM_PFNMAP | VM_DONTEXPAND | VM_DONTCOPY | VM_DONTDUMP);
	vma->vm_ops = &link_vm_ops;
	return 0;
}

/* Both. */

/* A message lies here for delay_ms; the thread goes on, and so does its heartbeat. */
static bool link_receive(void)
{
	/* Pairs with link_send(). */
	u32 head = virt_load_acquire(&link.peer->head);
	u64 now = ktime_get_ns();
	u32 begin = link.out;

	if (head - link.tail > LINK_RING)
		link.tail = head;
	for (; link.tail != head && link.in - link.out < LINK_RING; link.tail++) {
		if (prandom_u32_state(&link.rnd) % 100 < loss) {
			count(LINK_DROPPED);
			continue;
		}
		link.held[link.in % LINK_RING].msg = link.peer->ring[link.tail % LINK_RING];
		link.held[link.in % LINK_RING].due = now + delay_ms * (u64)NSEC_PER_MSEC;
		link.in++;
	}
	/* Pairs with link_send(). */
	virt_store_release(&link.mine->tail, link.tail);

	for (; link.out != link.in && link.held[link.out % LINK_RING].due <= now; link.out++) {
		if (link.role == LINK_EXPORTER)
			link_export_handle(&link.held[link.out % LINK_RING].msg);
		else
			link_import_handle(&link.held[link.out % LINK_RING].msg);
	}
	return link.out != begin;
}

static int link_thread(void *unused)
{
	unsigned int idle = 0;

	while (!kthread_should_stop()) {
		WRITE_ONCE(link.mine->beats, link.mine->beats + 1);
		if (link.role == LINK_EXPORTER)
			link_export_watch();
		else
			link_import_watch();
		idle = link_receive() ? 0 : idle + 1;
		if (idle < 100)
			usleep_range(20, 50);
		else
			usleep_range(500, 1000);
	}
	return 0;
}

static int link_begin(struct file *file, int role)
{
	struct task_struct *thread;

	lockdep_assert_held(&link.setup);
	if (!link.mailbox || role != (link.ram_pages ? LINK_IMPORTER : LINK_EXPORTER))
		return -ENODEV;
	if (link.owner)
		return -EBUSY;
	link.role = role;
	link.mine = &link.mailbox->side[role];
	link.peer = &link.mailbox->side[!role];
	/* Indices outlive sessions; what was sent to an earlier one is skipped. */
	link.head = link.mine->head;
	link.tail = READ_ONCE(link.peer->head);
	link.in = 0;
	link.out = 0;
	link.incarnation = role == LINK_IMPORTER ? get_random_u64() | 1 : 0;
	link.exporter = 0;
	link.joined = false;
	link.gone = false;
	link.hello_at = jiffies;
	memset(link.stat, 0, sizeof(link.stat));
	if (!seed)
		seed = get_random_u32();
	prandom_seed_state(&link.rnd, seed);
	pr_info("%s, delay %u ms, loss %u%%, seed %u\n",
		role ? "importer" : "exporter", delay_ms, loss, seed);
	thread = kthread_create(link_thread, NULL, "xpmem_link");
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	link.mine->dead = 0;
	WRITE_ONCE(link.mine->incarnation, role ? link.incarnation : get_random_u64() | 1);
	link.owner = file;
	link.thread = thread;
	wake_up_process(thread);
	return 0;
}

static void link_end(void)
{
	lockdep_assert_held(&link.setup);
	kthread_stop(link.thread);
	WRITE_ONCE(link.mine->incarnation, 0);
	link.owner = NULL;
}

static int link_export(struct file *file, const struct xpmem_link_export *arg)
{
	unsigned long pages = arg->len >> PAGE_SHIFT;
	int ret;

	if (offset_in_page(arg->vaddr | arg->len) || !pages || pages > MAX_PAGES)
		return -EINVAL;
	link.marks = bitmap_zalloc(pages, GFP_KERNEL);
	if (!link.marks)
		return -ENOMEM;
	link.start = arg->vaddr;
	link.pages = pages;
	kfifo_reset(&link.fifo);
	ret = mmu_interval_notifier_insert(&link.sub, current->mm, arg->vaddr, arg->len,
					   &link_sub_ops);
	if (ret)
		goto free;
	ret = link_begin(file, LINK_EXPORTER);
	if (ret)
		goto remove;
	spin_lock(&link.lock);
	link.open = true;
	spin_unlock(&link.lock);
	return 0;
remove:
	mmu_interval_notifier_remove(&link.sub);
free:
	bitmap_free(link.marks);
	return ret;
}

static void link_unexport(void)
{
	struct waiter w = { .last = link.pages - 1 };
	bool wait;

	/* From here on nothing is marked; the thread still sees ACKs, and death. */
	spin_lock(&link.lock);
	WRITE_ONCE(link.open, false);
	wait = link_take_begin(&w);
	spin_unlock(&link.lock);
	if (wait)
		link_take_end(&w);
	cancel_work_sync(&link.work);
	/* Waits for invalidations, which wait for the thread. */
	mmu_interval_notifier_remove(&link.sub);
	link_end();
	bitmap_free(link.marks);
}

static int link_import(struct file *file, const struct xpmem_link_import *arg)
{
	unsigned long until = jiffies + msecs_to_jiffies(fetch_ms);
	int ret;

	link.mapping = file->f_mapping;
	ret = link_begin(file, LINK_IMPORTER);
	if (ret)
		return ret;
	while (!ret && !READ_ONCE(link.joined)) {
		if (time_after(jiffies, until))
			ret = -ETIMEDOUT;
		else if (msleep_interruptible(1))
			ret = -EINTR;
	}
	if (!ret && arg->len > (u64)link.pages << PAGE_SHIFT)
		ret = -ENXIO;
	if (ret)
		link_end();
	else
		smp_store_release(&link.importer, file); /* pairs with link_mmap() */
	return ret;
}

static long link_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	union {
		struct xpmem_link_export export;
		struct xpmem_link_import import;
		struct xpmem_link_stats stats;
	} u;
	void __user *argp = (void __user *)arg;
	long ret = -ENOTTY;
	int i;

	if (_IOC_DIR(cmd) == _IOC_WRITE &&
	    copy_from_user(&u, argp, min(_IOC_SIZE(cmd), sizeof(u))))
		return -EFAULT;
	mutex_lock(&link.setup);
	switch (cmd) {
	case XPMEM_LINK_EXPORT:
		ret = link.owner ? -EBUSY : link_export(file, &u.export);
		break;
	case XPMEM_LINK_IMPORT:
		ret = link.owner ? -EBUSY : link_import(file, &u.import);
		break;
	case XPMEM_LINK_STATS:
		if (link.owner && link.role == LINK_EXPORTER)
			atomic64_set(&link.stat[LINK_MARKED],
				     bitmap_weight(link.marks, link.pages));
		for (i = 0; i < LINK_NR_STATS; i++)
			u.stats.stat[i] = atomic64_read(&link.stat[i]);
		ret = copy_to_user(argp, &u.stats, sizeof(u.stats)) ? -EFAULT : 0;
		break;
	}
	mutex_unlock(&link.setup);
	return ret;
}

static int link_release(struct inode *inode, struct file *file)
{
	mutex_lock(&link.setup);
	if (link.owner == file) {
		if (link.role == LINK_EXPORTER) {
			link_unexport();
		} else {
			/* No mapping is left: each holds the file. */
			link.importer = NULL;
			link_end();
		}
	}
	mutex_unlock(&link.setup);
	return 0;
}

static const struct file_operations link_fops = {
	.owner		= THIS_MODULE,
	.mmap		= link_mmap,
	.release	= link_release,
	.unlocked_ioctl	= link_ioctl,
};

static struct miscdevice link_misc = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "xpmem_link",
	.fops	= &link_fops,
};

/* The smaller device is the mailbox, the larger one the exporter's RAM. */
static int link_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	resource_size_t start = pci_resource_start(pdev, 2), len = pci_resource_len(pdev, 2);
	void *mem;
	int ret;

	BUILD_BUG_ON(sizeof(struct link_mailbox) > LINK_USER);
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	ret = pcim_request_region(pdev, 2, KBUILD_MODNAME);
	if (ret)
		return ret;
	/* Of the RAM, too: it makes x86 note that the BAR is mapped cacheable. */
	mem = devm_memremap(&pdev->dev, start, len, MEMREMAP_WB);
	if (IS_ERR(mem))
		return PTR_ERR(mem);
	mutex_lock(&link.setup);
	if (len > SZ_1M && !link.ram_pages) {
		link.ram_pfn = PHYS_PFN(start);
		link.ram_pages = PHYS_PFN(len);
	} else if (len <= SZ_1M && len >= LINK_USER + LINK_USER_SIZE && !link.mailbox) {
		link.mailbox_pfn = PHYS_PFN(start);
		link.mailbox = mem;
	} else {
		ret = -EBUSY;
	}
	mutex_unlock(&link.setup);
	return ret;
}

static const struct pci_device_id link_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_REDHAT_QUMRANET, 0x1110) },
	{}
};
MODULE_DEVICE_TABLE(pci, link_ids);

static struct pci_driver link_pci = {
	.name		= KBUILD_MODNAME,
	.id_table	= link_ids,
	.probe		= link_probe,
	/* A device that goes away under a session is not provided for. */
	.driver		= { .suppress_bind_attrs = true },
};

static int __init link_init(void)
{
	int ret;

	INIT_WORK(&link.work, link_work);
	INIT_KFIFO(link.fifo);
	ret = misc_register(&link_misc);
	if (ret)
		return ret;
	ret = pci_register_driver(&link_pci);
	if (ret)
		misc_deregister(&link_misc);
	return ret;
}
module_init(link_init);

static void __exit link_exit(void)
{
	pci_unregister_driver(&link_pci);
	misc_deregister(&link_misc);
}
module_exit(link_exit);

MODULE_DESCRIPTION("XPMEM between two hosts, a prototype");
MODULE_LICENSE("GPL");

// SPDX-License-Identifier: GPL-2.0
/*
 * XPMEM attachments: mappings of another process's pages, without references.
 *
 * An attachment is a shared mapping of a file that the owner of the segment has
 * for nothing else; the offset in the file is the owner's address.  So the kernel
 * finds all that maps a page of the owner's, whatever munmap(), mremap() or
 * mprotect() made of the mappings, and unmap_mapping_range() undoes it.  The owner's
 * mm says when: at the start of each invalidation.
 *
 * A fault reads the owner's page table, and what is there is mapped with no
 * more rights than it has there.  If it is not enough, the owner's page is faulted in
 * as the owner would, and the faulting task tries again.
 *
 *	fault					invalidation
 *	seq = mmu_interval_read_begin()
 *	read the owner's page table
 *						seg->lock
 *						  mmu_interval_set_seq()
 *						unlock
 *	seg->lock				unmap_mapping_range()
 *	  mmu_interval_read_retry(seq)?
 *	  else set the entry
 *	unlock
 *
 * Whichever is second at seg->lock sees the other: the fault the sequence number, or the
 * invalidation the entry, and the page table that it is in.
 *
 * Locks, outermost first:
 *
 *	mmap_lock		of the attacher's mm.  That of the owner's is only tried
 *				under it: two may be attached to each other
 *	segment->sem		for reading: a fault, so long as it needs the
 *				subscription; memory is allocated under it
 *	attachment->huge	see there; memory is allocated under it
 *	owner's invalidation	start callbacks: no mmap_lock, no allocation
 *	i_mmap_rwsem		of the owner's file, a class of its own: an
 *				invalidation may hold that of another file.  No other
 *				begins under it but those of unmap_mapping_range(), see
 *				xpmem_may_split().  A task that registers with an mm
 *				passes through all of them, but holds one at a time
 *	segment->lock
 *	page-table lock		the attacher's
 *	here_lock		innermost
 */
#include <linux/anon_inodes.h>
#include <linux/fs.h>
#include <linux/hmm.h>
#include <linux/huge_mm.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/pfn_t.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "xpmem.h"

/* A fault takes the neighbours along that are there anyway: so many, aligned. */
#define AROUND	16

/*
 * What current is doing, for the callbacks that it will get from mm: attaching
 * @att, or, if there is none, zapping.
 */
struct here {
	struct list_head list;
	struct task_struct *task;
	struct xpmem_attachment *att;
};

static LIST_HEAD(here_list);
static DEFINE_SPINLOCK(here_lock);

static void here_enter(struct here *here, struct xpmem_attachment *att)
{
	here->task = current;
	here->att = att;
	spin_lock(&here_lock);
	list_add(&here->list, &here_list);
	spin_unlock(&here_lock);
}

static void here_leave(struct here *here)
{
	spin_lock(&here_lock);
	list_del(&here->list);
	spin_unlock(&here_lock);
}

static struct here *here_find(void)
{
	struct here *here;

	spin_lock(&here_lock);
	list_for_each_entry(here, &here_list, list)
		if (here->task == current)
			break;
	if (list_entry_is_head(here, &here_list, list))
		here = NULL;
	spin_unlock(&here_lock);
	return here;
}

static void zap(struct file *file, unsigned long start, unsigned long end)
{
	struct here here;

	here_enter(&here, NULL);
	unmap_mapping_range(file->f_mapping, start, end - start, 1);
	here_leave(&here);
}

/**
 * xpmem_unmap - unmap pages of an owner's from all that are attached to them
 * @file: the owner's
 * @start: the owner's address
 * @end: exclusive
 *
 * Context: may sleep; not in an invalidation.  Takes i_mmap_rwsem and the attachers'
 * page-table locks.
 */
void xpmem_unmap(struct file *file, unsigned long start, unsigned long end)
{
	/* The attachers' invalidations are inside i_mmap_rwsem, as in a callback. */
	mmu_notifier_map_acquire();
	zap(file, start, end);
	mmu_notifier_map_release();
}

static bool xpmem_invalidate(struct mmu_interval_notifier *notifier,
			     const struct mmu_notifier_range *range,
			     unsigned long seq)
{
	struct xpmem_segment *seg =
		container_of(notifier, struct xpmem_segment, notifier);
	unsigned long start = max(range->start, seg->start);
	unsigned long end = min(range->end, seg->end);
	struct here *here;
	bool mapped;

	spin_lock(&seg->lock);
	mmu_interval_set_seq(notifier, seq);
	/*
	 * A VMA that is not counted here comes after this, and its faults see the
	 * sequence number; or it has no entries any more.
	 */
	mapped = atomic_read(&seg->vmas);
	spin_unlock(&seg->lock);

	if (!mapped)
		return true;
	if (!mmu_notifier_range_blockable(range))
		return false;
	/*
	 * An attachment in the segment is being zapped: no fault ever goes
	 * through it, so there is nothing to do.  Going on would end in a
	 * deadlock or in no end, for two can be attached to each other.
	 */
	here = here_find();
	if (here && !here->att)
		return true;

	/* The owner's exit is not inside an invalidation. */
	if (range->event == MMU_NOTIFY_RELEASE)
		xpmem_unmap(seg->file, start, end);
	else
		zap(seg->file, start, end);
	return true;
}

const struct mmu_interval_notifier_ops xpmem_segment_ops = {
	.invalidate = xpmem_invalidate,
};

static void attachment_free(struct kref *ref)
{
	struct xpmem_attachment *att =
		container_of(ref, struct xpmem_attachment, ref);

	xpmem_permit_put(att->permit);
	kfree(att);
}

/*
 * Make the owner's page present, and writable if that is wanted, with the owner's
 * rights.  Returns with mmap_lock held if there is an error to report, else
 * without it, for another attempt.
 */
static vm_fault_t fault_in(struct vm_fault *vmf, struct mm_struct *mm,
			   unsigned long addr)
{
	struct mm_struct *attacher = vmf->vma->vm_mm;
	unsigned int flags = FAULT_FLAG_REMOTE;
	bool unlocked;
	int err;

	if (!(vmf->flags & FAULT_FLAG_ALLOW_RETRY))
		return VM_FAULT_SIGBUS;
	if (vmf->flags & FAULT_FLAG_RETRY_NOWAIT)
		return VM_FAULT_RETRY;
	if (vmf->flags & FAULT_FLAG_WRITE)
		flags |= FAULT_FLAG_WRITE;

	/* From here on the VMA may go. */
	mmap_read_unlock(attacher);
	if (fatal_signal_pending(current) || mmap_read_lock_killable(mm))
		return VM_FAULT_RETRY;
	err = fixup_user_fault(mm, addr, flags, &unlocked);
	mmap_read_unlock(mm);
	/* We come before a writer that has been woken: let it run, and try again after it. */
	cond_resched();

	if (!err || fatal_signal_pending(current))
		return VM_FAULT_RETRY;
	mmap_read_lock(attacher);
	return err == -ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
}

/* What was looked up of the owner's page table. */
struct view {
	unsigned long addr;	/* of the page that is wanted */
	unsigned long before;	/* neighbours wanted, too, if they are there; bytes */
	unsigned long after;	/* and on the other side, from @addr on */
	bool write;
	unsigned long seq;
	unsigned long pfns[AROUND];
};

/*
 * Returns 0 and fills in @view, which may have lost neighbours; -EAGAIN if it cannot be
 * said while the attacher's mmap_lock is held, -EFAULT if the owner has nothing there
 * that can be shown.
 */
static int lookup(struct xpmem_segment *seg, struct view *view)
{
	struct hmm_range range = {
		.notifier = &seg->notifier,
		.hmm_pfns = view->pfns,
	};
	struct vm_area_struct *vma;
	int err;

	do {
		cond_resched();
		memset(view->pfns, 0, sizeof(view->pfns));
		err = mmu_interval_read_begin_killable(&seg->notifier,
						       &view->seq);
		if (err || fatal_signal_pending(current))
			return -EAGAIN;
		range.notifier_seq = view->seq;
		if (!mmap_read_trylock(seg->mm))
			return -EAGAIN;
		vma = vma_lookup(seg->mm, view->addr);
		/* Writable in the page table, but not by a write. */
		if (!vma || (view->write && (vma->vm_flags & VM_SHADOW_STACK))) {
			mmap_read_unlock(seg->mm);
			return -EFAULT;
		}
		view->before = min(view->before, view->addr - vma->vm_start);
		view->after = min(view->after, vma->vm_end - view->addr);
		range.start = view->addr - view->before;
		range.end = view->addr + view->after;
		err = hmm_range_fault(&range);
		mmap_read_unlock(seg->mm);
	} while (err == -EBUSY);
	if (err)
		return err;
	return view->pfns[view->before >> PAGE_SHIFT] & HMM_PFN_ERROR ? -EFAULT : 0;
}

/* Under @seg->lock, so that the owner has the page mapped as it was looked up. */
static void mark_dirty(unsigned long pfn)
{
	struct page *page = pfn_to_page(pfn);

	/*
	 * What is written through us is not in the owner's entry.  This is:
	 * the owner's entry is writable as long as ours is, so that the
	 * folio has not been written back, nor can be without an invalidation.
	 */
	if (!PageDirty(page))
		set_page_dirty(page);
}

/* Is what the owner has enough for a fault for writing or reading? */
static bool enough(unsigned long pfn, bool write)
{
	return (pfn & HMM_PFN_VALID) && !(pfn & HMM_PFN_ERROR) &&
	       (!write || (pfn & HMM_PFN_WRITE));
}

/* 0: the owner's page has to be faulted in. */
static vm_fault_t lookup_failed(int err)
{
	return err == -EAGAIN ? 0 : VM_FAULT_SIGBUS;
}

/* VM_FAULT_NOPAGE: what was looked up may be mapped; 0: it is not valid any more. */
static vm_fault_t may_map(struct xpmem_attachment *att, const struct view *view)
{
	struct xpmem_segment *seg = att->permit->seg;

	lockdep_assert_held(&seg->lock);
	if (att->permit->gone)
		return VM_FAULT_SIGBUS;
	return mmu_interval_read_retry(&seg->notifier, view->seq) ?
	       0 : VM_FAULT_NOPAGE;
}

/* Set the entries of @vma from @address on; as may_map(). */
static vm_fault_t set_entries(struct vm_area_struct *vma, unsigned long address,
			      const struct view *view)
{
	struct xpmem_attachment *att = vma->vm_private_data;
	unsigned long npages = (view->before + view->after) >> PAGE_SHIFT;
	struct xpmem_segment *seg = att->permit->seg;
	unsigned long i, pfn;
	vm_fault_t ret;

	spin_lock(&seg->lock);
	ret = may_map(att, view);
	for (i = 0; i < npages && ret == VM_FAULT_NOPAGE; i++, address += PAGE_SIZE) {
		if (!enough(view->pfns[i], view->write))
			continue;
		pfn = view->pfns[i] & ~HMM_PFN_FLAGS;
		if (view->write) {
			mark_dirty(pfn);
			ret = vmf_insert_mixed_mkwrite(vma, address,
						       __pfn_to_pfn_t(pfn, 0));
		} else {
			ret = vmf_insert_mixed(vma, address,
					       __pfn_to_pfn_t(pfn, 0));
		}
	}
	spin_unlock(&seg->lock);
	return ret;
}

/* Nothing can be allocated under seg->lock: have the page table before. */
static vm_fault_t have_page_table(struct vm_fault *vmf)
{
	struct xpmem_attachment *att = vmf->vma->vm_private_data;
	pmd_t pmd = pmdp_get_lockless(vmf->pmd);
	vm_fault_t ret = 0;

	/* One that is there stays so, but not a huge entry: read it once. */
	if (!pmd_none(pmd))
		return pmd_leaf(pmd) ? VM_FAULT_NOPAGE : 0;

	down_read(&att->huge);
	if (pmd_leaf(pmdp_get_lockless(vmf->pmd)))
		ret = VM_FAULT_NOPAGE;
	else if (apply_to_page_range(vmf->vma->vm_mm, vmf->address & PAGE_MASK,
				     PAGE_SIZE, NULL, NULL))
		ret = VM_FAULT_OOM;
	up_read(&att->huge);
	return ret;
}

/* The entry of a fault, with its neighbours in the page table. */
static vm_fault_t map_pages(struct vm_fault *vmf, struct xpmem_segment *seg,
			    unsigned long addr)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long address = vmf->address & PAGE_MASK;
	struct view view = {
		.addr = addr,
		.write = vmf->flags & FAULT_FLAG_WRITE,
	};
	vm_fault_t ret;
	int err;

	/* In one aligned block, hence in one page table; in the VMA, in the segment. */
	view.before = address & (AROUND * PAGE_SIZE - 1);
	view.after = AROUND * PAGE_SIZE - view.before;
	view.before = min3(view.before, address - vma->vm_start, addr - seg->start);
	view.after = min3(view.after, vma->vm_end - address, seg->end - addr);

	ret = have_page_table(vmf);
	if (ret)
		return ret;

	do {
		err = lookup(seg, &view);
		if (err)
			return lookup_failed(err);
		if (!enough(view.pfns[view.before >> PAGE_SHIFT], view.write))
			return 0;
		ret = set_entries(vma, address - view.before, &view);
	} while (!ret);
	return ret;
}

#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
/* A huge entry of the owner's becomes one of the attacher's. */
static vm_fault_t map_huge(struct vm_fault *vmf, struct xpmem_segment *seg,
			   unsigned long addr)
{
	struct vm_area_struct *vma = vmf->vma;
	struct xpmem_attachment *att = vma->vm_private_data;
	unsigned long haddress = vmf->address & PMD_MASK;
	unsigned long haddr = addr & PMD_MASK;
	struct view view = {
		.addr = addr,
		.after = PAGE_SIZE,
		.write = vmf->flags & FAULT_FLAG_WRITE,
	};
	unsigned long pfn;
	vm_fault_t ret;
	int err;

	if (((vmf->address ^ addr) & ~PMD_MASK & PAGE_MASK) ||
	    haddress < vma->vm_start || haddress + PMD_SIZE > vma->vm_end ||
	    haddr < seg->start || haddr + PMD_SIZE > seg->end)
		return VM_FAULT_FALLBACK;

	do {
		err = lookup(seg, &view);
		if (err)
			return lookup_failed(err);
		if (!enough(view.pfns[0], view.write))
			return 0;
		if (hmm_pfn_to_map_order(view.pfns[0]) < PMD_ORDER)
			return VM_FAULT_FALLBACK;
		pfn = ALIGN_DOWN(view.pfns[0] & ~HMM_PFN_FLAGS, 1UL << PMD_ORDER);

		down_write(&att->huge);
		spin_lock(&seg->lock);
		ret = may_map(att, &view);
		if (ret == VM_FAULT_NOPAGE) {
			pmd_t pmd = pmdp_get_lockless(vmf->pmd);

			if (pmd_none(pmd) || pmd_leaf(pmd)) {
				if (view.write)
					mark_dirty(pfn);
				ret = vmf_insert_pfn_pmd(vmf, __pfn_to_pfn_t(pfn, 0),
							 view.write);
			} else {
				ret = VM_FAULT_FALLBACK;
			}
		}
		spin_unlock(&seg->lock);
		up_write(&att->huge);
	} while (!ret);
	return ret;
}
#endif

static vm_fault_t fault(struct vm_fault *vmf, bool huge)
{
	struct xpmem_attachment *att = vmf->vma->vm_private_data;
	struct xpmem_segment *seg = att->permit->seg;
	unsigned long addr = vmf->pgoff << PAGE_SHIFT;
	struct mm_struct *mm = seg->mm;
	vm_fault_t ret;

	/* mremap() can make an attachment larger than what it may reach. */
	if (addr < seg->start || addr >= seg->end)
		return VM_FAULT_SIGBUS;
	/*
	 * As the owner's page of another attachment, by fault_in(): that has to end
	 * before the stack does.
	 */
	if (vmf->flags & FAULT_FLAG_REMOTE)
		return VM_FAULT_SIGBUS;
	if (!mmget_not_zero(mm))
		return VM_FAULT_SIGBUS;

	/* As -EAGAIN of lookup(): fault_in() sees the signal. */
	ret = 0;
	if (down_read_killable(&seg->sem))
		goto out;
	if (seg->gone || READ_ONCE(att->permit->gone))
		ret = VM_FAULT_SIGBUS;
#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
	else if (huge)
		ret = map_huge(vmf, seg, addr);
#endif
	else
		ret = map_pages(vmf, seg, addr);
	up_read(&seg->sem);
out:
	if (!ret)
		ret = fault_in(vmf, mm, addr);

	/* The last user tears down an address space: not under our mmap_lock. */
	mmput_async(mm);
	return ret;
}

static vm_fault_t xpmem_fault(struct vm_fault *vmf)
{
	return fault(vmf, false);
}

/* A write to what is mapped for reading. */
static vm_fault_t xpmem_pfn_mkwrite(struct vm_fault *vmf)
{
	vm_fault_t ret = fault(vmf, false);

	/* It is not expected here, but "done" is; then the caller leaves the VMA alone. */
	if (ret & VM_FAULT_RETRY)
		ret |= VM_FAULT_NOPAGE;
	return ret;
}

#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
static vm_fault_t xpmem_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	if (order != PMD_ORDER)
		return VM_FAULT_FALLBACK;
	/* Others are not called with the VMA's lock alone. */
	if (vmf->flags & FAULT_FLAG_VMA_LOCK) {
		vma_end_read(vmf->vma);
		return VM_FAULT_RETRY;
	}
	return fault(vmf, true);
}
#endif

static void xpmem_vm_open(struct vm_area_struct *vma)
{
	struct xpmem_attachment *att = vma->vm_private_data;

	kref_get(&att->ref);
	atomic_inc(&att->permit->seg->vmas);
}

static void xpmem_vm_close(struct vm_area_struct *vma)
{
	struct xpmem_attachment *att = vma->vm_private_data;

	atomic_dec(&att->permit->seg->vmas);
	kref_put(&att->ref, attachment_free);
}

/*
 * A huge entry would be split with i_mmap_rwsem held, in an invalidation of the
 * attacher's mm: if that has a segment, too, its callback would take the same lock, or
 * that of a task that does the same the other way round.  So there is none by then, and
 * none comes while mmap_lock is held for writing.
 */
static int xpmem_may_split(struct vm_area_struct *vma, unsigned long address)
{
	unsigned long haddress = address & PMD_MASK;
	unsigned long addr;

	if (address == haddress || haddress < vma->vm_start ||
	    haddress + PMD_SIZE > vma->vm_end)
		return 0;
	addr = (vma->vm_pgoff << PAGE_SHIFT) + (haddress - vma->vm_start);
	xpmem_unmap(vma->vm_file, addr, addr + PMD_SIZE);
	return 0;
}

static const struct vm_operations_struct xpmem_vm_ops = {
	.open = xpmem_vm_open,
	.close = xpmem_vm_close,
	.may_split = xpmem_may_split,
	.fault = xpmem_fault,
#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
	.huge_fault = xpmem_huge_fault,
#endif
	/*
	 * Also says that mprotect() makes nothing writable that we have not
	 * mapped for writing.
	 */
	.pfn_mkwrite = xpmem_pfn_mkwrite,
};

static int xpmem_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct here *here = here_find();

	/* Not from xpmem_attach(): remap_file_pages() */
	if (!here || !here->att)
		return -EINVAL;

	/* Special entries, without references; and nothing else gets any. */
	vm_flags_set(vma, VM_IO | VM_MIXEDMAP | VM_DONTCOPY | VM_DONTDUMP);
	if (!(vma->vm_flags & VM_WRITE))
		vm_flags_clear(vma, VM_MAYWRITE);
	/* Whether pages are huge is up to the owner, if not to MADV_NOHUGEPAGE here. */
	if (IS_ENABLED(CONFIG_ARCH_SUPPORTS_PMD_PFNMAP))
		vm_flags_set(vma, VM_HUGEPAGE);
	vma->vm_private_data = here->att;
	vma->vm_ops = &xpmem_vm_ops;
	xpmem_vm_open(vma);
	return 0;
}

static int xpmem_file_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static const struct file_operations xpmem_file_ops = {
	.owner = THIS_MODULE,
	.mmap = xpmem_mmap,
	.fsync = noop_fsync,
	.release = xpmem_file_release,
	/* By the offset, that is the owner's address: huge pages fit. */
	.get_unmapped_area = thp_get_unmapped_area,
};

/**
 * xpmem_file_open - what the attachments to an owner's segments will be mappings of
 *
 * Context: may sleep.
 * Return: the file, or an ERR_PTR() of -ENOMEM or -ENFILE.
 */
struct file *xpmem_file_open(void)
{
	static struct lock_class_key i_mmap_key;
	struct address_space *mapping;
	struct file *file;

	mapping = kzalloc(sizeof(*mapping), GFP_KERNEL_ACCOUNT);
	if (!mapping)
		return ERR_PTR(-ENOMEM);
	address_space_init_once(mapping);
	lockdep_set_class_and_name(&mapping->i_mmap_rwsem, &i_mmap_key,
				   "xpmem i_mmap_rwsem");
	mapping_set_gfp_mask(mapping, GFP_USER);
	mapping->a_ops = &empty_aops;

	file = anon_inode_getfile("[xpmem]", &xpmem_file_ops, mapping, O_RDWR);
	if (IS_ERR(file)) {
		kfree(mapping);
		return file;
	}
	mapping->host = file_inode(file);
	file->f_mapping = mapping;
	return file;
}

/* Is there an attachment in the range? */
static bool has_attachment(unsigned long start, unsigned long end)
{
	VMA_ITERATOR(vmi, current->mm, start);
	struct vm_area_struct *vma;
	bool found = false;

	mmap_read_lock(current->mm);
	for_each_vma_range(vmi, vma, end)
		found |= vma->vm_ops == &xpmem_vm_ops;
	mmap_read_unlock(current->mm);
	return found;
}

/**
 * xpmem_attach - map a part of a segment
 * @permit: says which; of current's
 * @offset: into the segment, page-aligned
 * @size: bytes, whole pages
 * @vaddr: where, page-aligned; 0: anywhere
 *
 * Context: may sleep.  Takes mmap_lock.
 * Return: the address, -EINVAL if the segment is not so large or @vaddr is in the
 * way of an attachment, -ENOENT if the permit was released, or an error of mmap().
 */
long xpmem_attach(struct xpmem_permit *permit, unsigned long offset,
		  unsigned long size, unsigned long vaddr)
{
	struct xpmem_segment *seg = permit->seg;
	unsigned long flags = MAP_SHARED;
	unsigned long prot = PROT_READ;
	struct xpmem_attachment *att;
	struct here here;
	unsigned long addr;

	if (!size || offset >= seg->end - seg->start ||
	    size > seg->end - seg->start - offset)
		return -EINVAL;
	addr = seg->start + offset;
	if (vaddr) {
		if (vaddr + size < vaddr || has_attachment(vaddr, vaddr + size))
			return -EINVAL;
		/* On top of itself */
		if (seg->mm == current->mm && vaddr < addr + size &&
		    addr < vaddr + size)
			return -EINVAL;
		flags |= MAP_FIXED;
	}
	if (permit->write)
		prot |= PROT_WRITE;

	if (READ_ONCE(seg->gone))
		return -ENOENT;
	att = kzalloc(sizeof(*att), GFP_KERNEL_ACCOUNT);
	if (!att)
		return -ENOMEM;
	kref_init(&att->ref);
	kref_get(&permit->id.ref);
	att->permit = permit;
	init_rwsem(&att->huge);

	here_enter(&here, att);
	vaddr = vm_mmap(seg->file, vaddr, size, prot, flags, addr);
	here_leave(&here);

	/* Released meanwhile, and the search for attachments missed it? */
	if (!IS_ERR_VALUE(vaddr) && READ_ONCE(permit->gone)) {
		vm_munmap(vaddr, size);
		vaddr = -ENOENT;
	}
	kref_put(&att->ref, attachment_free);
	return vaddr;
}

/*
 * Unmap the pieces of @att, or of any attachment by @permit.  mmap_lock is dropped in
 * between: what another thread maps there at the same time goes, too, as with munmap().
 */
static int detach(struct xpmem_attachment *att, struct xpmem_permit *permit,
		  unsigned long from)
{
	struct xpmem_attachment *this;
	struct vm_area_struct *vma;
	unsigned long start, len;
	int err = 0;

	do {
		VMA_ITERATOR(vmi, current->mm, from);

		len = 0;
		mmap_read_lock(current->mm);
		for_each_vma(vmi, vma) {
			if (vma->vm_ops != &xpmem_vm_ops)
				continue;
			this = vma->vm_private_data;
			if (this == att || this->permit == permit) {
				start = vma->vm_start;
				len = vma->vm_end - start;
				break;
			}
		}
		mmap_read_unlock(current->mm);
		if (len) {
			/* -EPERM: mseal() */
			err = vm_munmap(start, len) ?: err;
			from = start + len;
		}
		/* Until only the caller has it. */
	} while (len && !(att && kref_read(&att->ref) == 1));
	return err;
}

/**
 * xpmem_detach_all - unmap what current has attached by a permit
 * @permit: the permit; marked as gone, so that nothing more is attached
 *
 * Context: may sleep.  Takes mmap_lock.
 * Return: 0, or an error of munmap(); then something is mapped still.
 */
int xpmem_detach_all(struct xpmem_permit *permit)
{
	return detach(NULL, permit, 0);
}

/**
 * xpmem_detach - unmap an attachment, all its pieces
 * @vaddr: anywhere in it
 *
 * Context: may sleep.  Takes mmap_lock.
 * Return: 0, also if nothing is mapped there; -EINVAL if it is something else; an
 * error of munmap().
 */
int xpmem_detach(unsigned long vaddr)
{
	struct xpmem_attachment *att = NULL;
	struct vm_area_struct *vma;
	unsigned long from = 0;
	int err = 0;

	mmap_read_lock(current->mm);
	vma = vma_lookup(current->mm, vaddr);
	if (vma && vma->vm_ops != &xpmem_vm_ops) {
		err = -EINVAL;
	} else if (vma) {
		att = vma->vm_private_data;
		/* One piece, and our reference? */
		if (kref_read(&att->ref) == 1)
			from = vma->vm_start;
		kref_get(&att->ref);
	}
	mmap_read_unlock(current->mm);
	if (!att)
		return err;

	err = detach(att, NULL, from);
	kref_put(&att->ref, attachment_free);
	return err;
}

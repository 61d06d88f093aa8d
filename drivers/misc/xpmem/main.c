// SPDX-License-Identifier: GPL-2.0
/*
 * XPMEM: processes map each other's memory.
 *
 * A process makes a segment of a part of its address space, another gets a permit for
 * it and attaches it.  What is attached stays the owner's: pages are swapped, migrated
 * or merged as if no other process used them, and the attachment follows.  See attach.c.
 *
 * This file has the device, the ids, and what goes when a process closes it or exits.
 *
 * Locks: xpmem_lock is for the ids, and for what belongs to a process.  Nothing that
 * takes long is done under it, and neither a fault nor an invalidation takes it.
 * It is outside segment->lock, and never held together with mmap_lock.
 */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/hashtable.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/proc_fs.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>
#include <uapi/misc/xpmem.h>

#include "xpmem.h"

static DEFINE_MUTEX(xpmem_lock);
static DEFINE_HASHTABLE(xpmem_ids, 12);
static LIST_HEAD(xpmem_procs);
static LIST_HEAD(xpmem_entries);
static struct proc_dir_entry *xpmem_dir;
static struct workqueue_struct *xpmem_wq;

/*
 * Each is called for each invalidation in it, by reclaim, too; and if it is attached by a
 * process with segments of its own, each of those for the one inside.
 */
#define MAX_SEGMENTS	1024

/* Ids */

static struct xpmem_id *id_find(s64 id)
{
	struct xpmem_id *this;

	lockdep_assert_held(&xpmem_lock);
	hash_for_each_possible(xpmem_ids, this, hash, id)
		if (this->id == id)
			return this;
	return NULL;
}

/*
 * Gives @id a number, and makes it valid: it takes over the caller's reference.  The user
 * is told before, so that there is nothing to be taken back.
 */
static int id_publish(struct xpmem_id *id, struct xpmem_proc *proc,
		      s64 __user *told)
{
	bool taken;

	do {
		id->id = get_random_u64() >> 1;
		if (put_user(id->id, told))
			return -EFAULT;
		mutex_lock(&xpmem_lock);
		taken = !id->id || id_find(id->id);
		if (id->kind == XPMEM_SEGMENT &&
		    proc->nr[XPMEM_SEGMENT] == MAX_SEGMENTS) {
			mutex_unlock(&xpmem_lock);
			return -ENOSPC;
		}
		if (!taken) {
			id->proc = proc;
			proc->nr[id->kind]++;
			hash_add(xpmem_ids, &id->hash, id->id);
			list_add_tail(&id->list, &proc->ids);
		}
		mutex_unlock(&xpmem_lock);
	} while (taken);
	return 0;
}

/* Makes it invalid; the caller has the reference then. */
static void id_withdraw(struct xpmem_id *id)
{
	lockdep_assert_held(&xpmem_lock);
	hash_del(&id->hash);
	list_del(&id->list);
	id->proc->nr[id->kind]--;
	id->proc = NULL;
}

/* The @id of @proc's, or of any process's, or an ERR_PTR() if there is none. */
static struct xpmem_id *id_of(s64 id, enum xpmem_kind kind,
			      struct xpmem_proc *proc)
{
	struct xpmem_id *this;

	if (id <= 0)
		return ERR_PTR(-EINVAL);
	this = id_find(id);
	if (!this || this->kind != kind)
		return ERR_PTR(-ENOENT);
	if (proc && this->proc != proc)
		return ERR_PTR(-EACCES);
	return this;
}

static void segment_free(struct kref *ref)
{
	struct xpmem_segment *seg =
		container_of(ref, struct xpmem_segment, id.ref);

	fput(seg->file);
	put_cred(seg->cred);
	mmdrop(seg->mm);
	kfree(seg);
}

static void segment_put(struct xpmem_segment *seg)
{
	kref_put(&seg->id.ref, segment_free);
}

static void permit_free(struct kref *ref)
{
	struct xpmem_permit *permit =
		container_of(ref, struct xpmem_permit, id.ref);

	segment_put(permit->seg);
	kfree(permit);
}

/**
 * xpmem_permit_put - drop a reference
 * @permit: the permit
 *
 * Context: any in which memory can be freed.
 */
void xpmem_permit_put(struct xpmem_permit *permit)
{
	kref_put(&permit->id.ref, permit_free);
}

/* A segment that is not found any more: from now on access raises SIGBUS. */
static void segment_remove(struct xpmem_segment *seg)
{
	/* Waits for the faults that rely on the subscription. */
	down_write(&seg->sem);
	WRITE_ONCE(seg->gone, true);
	up_write(&seg->sem);
	/* As long as there are entries, we have to be told. */
	xpmem_unmap(seg->file, seg->start, seg->end);
	mmu_interval_notifier_remove(&seg->notifier);
	segment_put(seg);
}

/* A permit of @proc's that is not found any more. */
static void permit_release(struct xpmem_permit *permit, struct xpmem_proc *proc)
{
	struct xpmem_segment *seg = permit->seg;
	bool mapped;

	spin_lock(&seg->lock);
	WRITE_ONCE(permit->gone, true);
	spin_unlock(&seg->lock);

	/*
	 * If it is another process that closes last, or one is sealed, attachments are
	 * dead, and not gone; if its own exit, there are none.
	 */
	if (current->mm == proc->notifier.mm)
		/* Another thread may have moved one out of our sight. */
		mapped = xpmem_detach_all(permit) ||
			 kref_read(&permit->id.ref) > 1;
	else
		mapped = !READ_ONCE(proc->released);
	if (mapped)
		xpmem_unmap(seg->file, seg->start, seg->end);
	xpmem_permit_put(permit);
}

static void id_remove(struct xpmem_id *id, struct xpmem_proc *proc)
{
	if (id->kind == XPMEM_SEGMENT)
		segment_remove(container_of(id, struct xpmem_segment, id));
	else
		permit_release(container_of(id, struct xpmem_permit, id), proc);
}

/* Processes */

static struct mmu_notifier *proc_alloc(struct mm_struct *mm)
{
	struct xpmem_proc *proc = kzalloc(sizeof(*proc), GFP_KERNEL_ACCOUNT);

	if (!proc)
		return ERR_PTR(-ENOMEM);
	INIT_LIST_HEAD(&proc->procs);
	INIT_LIST_HEAD(&proc->ids);
	return &proc->notifier;
}

static void proc_free(struct mmu_notifier *notifier)
{
	kfree(container_of(notifier, struct xpmem_proc, notifier));
}

/*
 * The owner exits: its segments are told, too, and no fault gets at its memory.  The
 * ids stay until the last descriptor is closed, also in a process that inherited it.
 */
static void proc_released(struct mmu_notifier *notifier, struct mm_struct *mm)
{
	struct xpmem_proc *proc =
		container_of(notifier, struct xpmem_proc, notifier);

	WRITE_ONCE(proc->released, true);
}

static const struct mmu_notifier_ops proc_notifier_ops = {
	.alloc_notifier = proc_alloc,
	.free_notifier = proc_free,
	.release = proc_released,
};

static int pages_show(struct seq_file *m, void *v)
{
	/* For old readers.  An attachment has no reference to any page. */
	seq_puts(m, "pages pinned: 0\npages unpinned: 0\n");
	return 0;
}

/**
 * struct xpmem_entry - /proc/xpmem/<tgid>
 * @list: in xpmem_entries
 * @tgid: the name
 * @procs: that it stands for.  An mm can outlive the process that opened first, as long
 *	as others have its descriptors; the number is the next one's then
 * @file: in /proc
 * @work: removes it.  That waits for readers, as long as they like, so nothing else
 *	waits for that
 * @busy: @work is queued or runs
 */
struct xpmem_entry {
	struct list_head list;
	pid_t tgid;
	unsigned int procs;
	struct proc_dir_entry *file;
	struct work_struct work;
	bool busy;
};

static int entry_show(struct seq_file *m, void *v)
{
	struct xpmem_entry *entry = m->private;
	unsigned long segments = 0, permits = 0;
	struct xpmem_proc *proc;

	mutex_lock(&xpmem_lock);
	list_for_each_entry(proc, &xpmem_procs, procs) {
		if (proc->entry == entry) {
			segments += proc->nr[XPMEM_SEGMENT];
			permits += proc->nr[XPMEM_PERMIT];
		}
	}
	mutex_unlock(&xpmem_lock);

	pages_show(m, v);
	seq_printf(m, "segments: %lu\npermits: %lu\n", segments, permits);
	return 0;
}

static void entry_make(struct xpmem_entry *entry)
{
	char name[16];

	snprintf(name, sizeof(name), "%d", entry->tgid);
	entry->file = proc_create_single_data(name, 0444, xpmem_dir, entry_show,
					      entry);
}

static void entry_work(struct work_struct *work)
{
	struct xpmem_entry *entry = container_of(work, struct xpmem_entry, work);

	proc_remove(entry->file);
	mutex_lock(&xpmem_lock);
	entry->busy = false;
	if (entry->procs) {
		/* A process that came meanwhile has gone without. */
		entry_make(entry);
	} else {
		list_del(&entry->list);
		kfree(entry);
	}
	mutex_unlock(&xpmem_lock);
}

static struct xpmem_entry *entry_get(pid_t tgid)
{
	struct xpmem_entry *entry;

	lockdep_assert_held(&xpmem_lock);
	list_for_each_entry(entry, &xpmem_entries, list) {
		if (entry->tgid == tgid) {
			entry->procs++;
			return entry;
		}
	}
	entry = kzalloc(sizeof(*entry), GFP_KERNEL_ACCOUNT);
	if (!entry)
		return NULL;
	entry->tgid = tgid;
	entry->procs = 1;
	INIT_WORK(&entry->work, entry_work);
	list_add(&entry->list, &xpmem_entries);
	entry_make(entry);
	return entry;
}

static void entry_put(struct xpmem_entry *entry)
{
	lockdep_assert_held(&xpmem_lock);
	if (!entry || --entry->procs || entry->busy)
		return;
	entry->busy = true;
	queue_work(xpmem_wq, &entry->work);
}

static int xpmem_open(struct inode *inode, struct file *file)
{
	struct mmu_notifier *notifier;
	struct xpmem_proc *proc;

	if (!current->mm)
		return -EINVAL;
	notifier = mmu_notifier_get(&proc_notifier_ops, current->mm);
	if (IS_ERR(notifier))
		return PTR_ERR(notifier);
	proc = container_of(notifier, struct xpmem_proc, notifier);

	mutex_lock(&xpmem_lock);
	if (!proc->opened++) {
		proc->entry = entry_get(task_tgid_nr(current));
		list_add_tail(&proc->procs, &xpmem_procs);
	}
	mutex_unlock(&xpmem_lock);
	file->private_data = proc;
	return 0;
}

static int xpmem_release(struct inode *inode, struct file *file)
{
	struct xpmem_proc *proc = file->private_data;
	struct file *mapped = NULL;
	struct xpmem_id *id, *next;
	LIST_HEAD(ids);

	mutex_lock(&xpmem_lock);
	if (!--proc->opened) {
		list_for_each_entry_safe(id, next, &proc->ids, list) {
			id_withdraw(id);
			list_add_tail(&id->list, &ids);
		}
		mapped = proc->file;
		proc->file = NULL;
		entry_put(proc->entry);
		list_del(&proc->procs);
	}
	mutex_unlock(&xpmem_lock);

	list_for_each_entry_safe(id, next, &ids, list) {
		id_remove(id, proc);
		cond_resched();
	}
	if (mapped)
		fput(mapped);
	mmu_notifier_put(&proc->notifier);
	return 0;
}

/* The calls */

static int segment_check(const struct xpmem_cmd_make *cmd, unsigned long *end)
{
	unsigned long limit = current->mm->task_size;

	if (cmd->permit_type != XPMEM_PERMIT_MODE || cmd->permit_value > 0777 ||
	    !cmd->size || offset_in_page(cmd->vaddr) || cmd->vaddr >= limit)
		return -EINVAL;
	if (cmd->size == XPMEM_MAXADDR_SIZE) {
		*end = limit;
		return 0;
	}
	if (offset_in_page(cmd->size) || cmd->size > limit - cmd->vaddr)
		return -EINVAL;
	*end = cmd->vaddr + cmd->size;
	return 0;
}

static int proc_open_file(struct xpmem_proc *proc)
{
	struct file *file;

	if (READ_ONCE(proc->file))
		return 0;
	file = xpmem_file_open();
	if (IS_ERR(file))
		return PTR_ERR(file);

	mutex_lock(&xpmem_lock);
	if (!proc->file) {
		WRITE_ONCE(proc->file, file);
		file = NULL;
	}
	mutex_unlock(&xpmem_lock);
	if (file)
		fput(file);
	return 0;
}

static long call_make(struct xpmem_proc *proc,
		      struct xpmem_cmd_make __user *arg)
{
	struct xpmem_cmd_make cmd;
	struct xpmem_segment *seg;
	unsigned long end;
	int err;

	if (copy_from_user(&cmd, arg, sizeof(cmd)))
		return -EFAULT;
	err = segment_check(&cmd, &end);
	if (err)
		return err;
	err = proc_open_file(proc);
	if (err)
		return err;
	seg = kzalloc(sizeof(*seg), GFP_KERNEL_ACCOUNT);
	if (!seg)
		return -ENOMEM;

	kref_init(&seg->id.ref);
	seg->id.kind = XPMEM_SEGMENT;
	init_rwsem(&seg->sem);
	spin_lock_init(&seg->lock);
	seg->start = cmd.vaddr;
	seg->end = end;
	seg->mode = cmd.permit_value;
	seg->mm = current->mm;
	mmgrab(seg->mm);
	seg->cred = get_current_cred();
	/* Stays as long as a descriptor is open, and the caller has one. */
	seg->file = get_file(proc->file);
	err = mmu_interval_notifier_insert(&seg->notifier, seg->mm, seg->start,
					   seg->end - seg->start,
					   &xpmem_segment_ops);
	if (err) {
		segment_put(seg);
		return err;
	}

	err = id_publish(&seg->id, proc, &arg->segid);
	if (err)
		segment_remove(seg);
	return err;
}

/* A segid of the caller's is removed, an apid released. */
static long call_remove(struct xpmem_proc *proc, void __user *arg,
			enum xpmem_kind kind)
{
	struct xpmem_id *id;
	s64 nr;

	if (copy_from_user(&nr, arg, sizeof(nr)))
		return -EFAULT;
	mutex_lock(&xpmem_lock);
	id = id_of(nr, kind, proc);
	if (!IS_ERR(id))
		id_withdraw(id);
	mutex_unlock(&xpmem_lock);
	if (IS_ERR(id))
		return PTR_ERR(id);
	id_remove(id, proc);
	return 0;
}

/* As for System V IPC. */
static bool permitted(const struct xpmem_segment *seg, bool write)
{
	unsigned int granted = seg->mode;
	unsigned int wanted = write ? 06 : 04;

	if (uid_eq(current_euid(), seg->cred->euid))
		granted >>= 6;
	else if (in_egroup_p(seg->cred->egid))
		granted >>= 3;
	return !(wanted & ~granted) ||
	       ns_capable(seg->cred->user_ns, CAP_IPC_OWNER);
}

static long call_get(struct xpmem_proc *proc, struct xpmem_cmd_get __user *arg)
{
	struct xpmem_segment *seg = NULL;
	struct xpmem_permit *permit;
	struct xpmem_cmd_get cmd;
	struct xpmem_id *id;
	int err = 0;

	if (copy_from_user(&cmd, arg, sizeof(cmd)))
		return -EFAULT;
	if ((cmd.flags != XPMEM_RDONLY && cmd.flags != XPMEM_RDWR) ||
	    cmd.permit_type != XPMEM_PERMIT_MODE || cmd.permit_value)
		return -EINVAL;

	mutex_lock(&xpmem_lock);
	id = id_of(cmd.segid, XPMEM_SEGMENT, NULL);
	if (IS_ERR(id)) {
		err = PTR_ERR(id);
	} else if (READ_ONCE(id->proc->released)) {
		err = -ENOENT;
	} else {
		seg = container_of(id, struct xpmem_segment, id);
		if (permitted(seg, cmd.flags == XPMEM_RDWR))
			kref_get(&seg->id.ref);
		else
			err = -EACCES;
	}
	mutex_unlock(&xpmem_lock);
	if (err)
		return err;

	permit = kzalloc(sizeof(*permit), GFP_KERNEL_ACCOUNT);
	if (!permit) {
		segment_put(seg);
		return -ENOMEM;
	}
	kref_init(&permit->id.ref);
	permit->id.kind = XPMEM_PERMIT;
	permit->write = cmd.flags == XPMEM_RDWR;
	permit->seg = seg;
	err = id_publish(&permit->id, proc, &arg->apid);
	if (err)
		xpmem_permit_put(permit);
	return err;
}

static long call_attach(struct xpmem_proc *proc, void __user *arg)
{
	struct xpmem_cmd_attach cmd;
	struct xpmem_permit *permit;
	struct xpmem_id *id;
	long vaddr;

	if (copy_from_user(&cmd, arg, sizeof(cmd)))
		return -EFAULT;
	if (cmd.flags || cmd.offset < 0 || offset_in_page(cmd.offset) ||
	    offset_in_page(cmd.vaddr) || cmd.size > LONG_MAX)
		return -EINVAL;

	mutex_lock(&xpmem_lock);
	id = id_of(cmd.apid, XPMEM_PERMIT, proc);
	if (!IS_ERR(id))
		kref_get(&id->ref);
	mutex_unlock(&xpmem_lock);
	if (IS_ERR(id))
		return PTR_ERR(id);
	permit = container_of(id, struct xpmem_permit, id);

	vaddr = xpmem_attach(permit, cmd.offset, PAGE_ALIGN(cmd.size),
			     cmd.vaddr);
	xpmem_permit_put(permit);
	if (IS_ERR_VALUE(vaddr))
		return vaddr;

	cmd.vaddr = vaddr;
	if (!copy_to_user(arg, &cmd, sizeof(cmd)))
		return 0;
	xpmem_detach(vaddr);
	return -EFAULT;
}

static long call_detach(void __user *arg)
{
	struct xpmem_cmd_detach cmd;

	if (copy_from_user(&cmd, arg, sizeof(cmd)))
		return -EFAULT;
	return xpmem_detach(cmd.vaddr);
}

static long xpmem_ioctl(struct file *file, unsigned int nr, unsigned long arg)
{
	struct xpmem_proc *proc = file->private_data;
	void __user *p = (void __user *)arg;

	if (nr == XPMEM_CMD_VERSION)
		return XPMEM_CURRENT_VERSION;
	if (_IOC_TYPE(nr) != 'x')
		return -ENOTTY;
	/* Inherited from another process, or from before an exec */
	if (proc->notifier.mm != current->mm)
		return -XPMEM_ERRNO_NOPROC;

	switch (nr) {
	case XPMEM_CMD_MAKE:
		return call_make(proc, p);
	case XPMEM_CMD_REMOVE:
		return call_remove(proc, p, XPMEM_SEGMENT);
	case XPMEM_CMD_GET:
		return call_get(proc, p);
	case XPMEM_CMD_RELEASE:
		return call_remove(proc, p, XPMEM_PERMIT);
	case XPMEM_CMD_ATTACH:
		return call_attach(proc, p);
	case XPMEM_CMD_DETACH:
		return call_detach(p);
	case XPMEM_CMD_FORK_BEGIN:
	case XPMEM_CMD_FORK_END:
		return 0;
	}
	return -ENOTTY;
}

static const struct file_operations xpmem_fops = {
	.owner = THIS_MODULE,
	.open = xpmem_open,
	.release = xpmem_release,
	.unlocked_ioctl = xpmem_ioctl,
};

static struct miscdevice xpmem_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "xpmem",
	.mode = 0666,
	.fops = &xpmem_fops,
};

static int __init xpmem_init(void)
{
	int err = -ENOMEM;

	xpmem_wq = alloc_workqueue("xpmem", WQ_UNBOUND, 0);
	if (!xpmem_wq)
		return err;
	xpmem_dir = proc_mkdir("xpmem", NULL);
	if (!xpmem_dir ||
	    !proc_create_single("global_pages", 0444, xpmem_dir, pages_show))
		goto out;
	err = misc_register(&xpmem_device);
	if (!err)
		return 0;
out:
	proc_remove(xpmem_dir);
	destroy_workqueue(xpmem_wq);
	return err;
}

static void __exit xpmem_exit(void)
{
	misc_deregister(&xpmem_device);
	destroy_workqueue(xpmem_wq);
	proc_remove(xpmem_dir);
	/* The proc that was put last is freed later, by our code. */
	mmu_notifier_synchronize();
}

module_init(xpmem_init);
module_exit(xpmem_exit);
MODULE_DESCRIPTION("Memory of one process in another, without pinning it");
MODULE_LICENSE("GPL");

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The other host of the XPMEM kind, in software: a workqueue.  Messages to it, and its
 * acknowledgements, take their time, and some are lost.  What it knows of a page it
 * knows by messages; only the memory itself is shared.
 */
#include <linux/highmem.h>
#include <linux/moduleparam.h>
#include <linux/random.h>

#include "xpmem_kind.h"

static unsigned int latency_ms = 2;
module_param(latency_ms, uint, 0644);
static unsigned int timeout_ms = 20;
module_param(timeout_ms, uint, 0644);
static unsigned int loss_percent = 10;
module_param(loss_percent, uint, 0644);
/* The next so many are lost, for tests. */
static unsigned int lose_requests;
module_param(lose_requests, uint, 0644);
static unsigned int lose_acks;
module_param(lose_acks, uint, 0644);
/* How many were sent again. */
static unsigned long resent_requests;
module_param(resent_requests, ulong, 0444);
static unsigned long resent_acks;
module_param(resent_acks, ulong, 0444);

static DEFINE_SPINLOCK(host_lock);
static DECLARE_WAIT_QUEUE_HEAD(host_acks);
/* Reclaim waits for it. */
static struct workqueue_struct *host_wq;

static bool host_loses(unsigned int *next)
{
	if (!*next)
		return get_random_u32_below(100) < min(loss_percent, 90U);
	(*next)--;
	return true;
}

/* A request arrives, perhaps for the second time, and is acknowledged. */
static void host_receives(struct work_struct *work)
{
	struct host_page *h = container_of(to_delayed_work(work),
					   struct host_page, message);

	spin_lock(&host_lock);
	if (host_loses(&lose_requests))
		goto out;
	if (h->done == h->request) {
		resent_acks++;
	} else {
		h->done = h->request;
		/* Forgotten here: so this has to reach the other side. */
		h->done_dirty = h->dirty;
		h->dirty = false;
		h->write = false;
		h->mapped &= !h->unmap;
	}
	if (host_loses(&lose_acks))
		goto out;
	h->ack_dirty = h->done_dirty;
	WRITE_ONCE(h->ack, h->done);
	wake_up_all(&host_acks);
out:
	spin_unlock(&host_lock);
}

static void host_send(struct host_page *h)
{
	queue_delayed_work(host_wq, &h->message, msecs_to_jiffies(latency_ms));
}

void host_init(struct host_page *h)
{
	INIT_DELAYED_WORK(&h->message, host_receives);
}

/* The other host gets the page, or may write to it, too. */
void host_map(struct host_page *h, bool write)
{
	spin_lock(&host_lock);
	h->mapped = true;
	h->write |= write;
	spin_unlock(&host_lock);
}

void host_request(struct host_page *h, bool unmap)
{
	spin_lock(&host_lock);
	h->unmap = unmap;
	h->request++;
	spin_unlock(&host_lock);
	host_send(h);
}

/* Wait until the request was carried out.  Was the page written to since the last? */
bool host_wait(struct host_page *h)
{
	while (!wait_event_timeout(host_acks, READ_ONCE(h->ack) == h->request,
				   msecs_to_jiffies(latency_ms + timeout_ms))) {
		resent_requests++;
		host_send(h);
	}
	/* A repetition may be on its way. */
	cancel_delayed_work_sync(&h->message);
	return h->ack_dirty;
}

/* A load or a store by the other host.  False: it faults. */
bool host_access(struct host_page *h, struct page *page, size_t offset, void *buf,
		 size_t len, bool write)
{
	bool ok;

	spin_lock(&host_lock);
	ok = h->mapped && (h->write || !write);
	if (ok && write)
		memcpy_to_page(page, offset, buf, len);
	else if (ok)
		memcpy_from_page(buf, page, offset, len);
	h->dirty |= ok && write;
	spin_unlock(&host_lock);
	return ok;
}

int host_start(void)
{
	host_wq = alloc_workqueue("xpmem_host", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	return host_wq ? 0 : -ENOMEM;
}

void host_stop(void)
{
	destroy_workqueue(host_wq);
}

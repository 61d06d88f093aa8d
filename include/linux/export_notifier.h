/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_EXPORT_NOTIFIER_H
#define _LINUX_EXPORT_NOTIFIER_H

#include <linux/jump_label.h>
#include <linux/lockdep_types.h>
#include <linux/mm_types.h>
#include <linux/page-flags.h>
#include <linux/types.h>

struct export_notifier;

/**
 * enum export_notifier_event - what happens to an exported folio
 * @EXPORT_NOTIFY_CLEAN: the CPU's mappings were write-protected, because the
 *	folio is about to be written back.  The subscriber write-protects its own
 *	and keeps the export; the next write looks the page up again
 * @EXPORT_NOTIFY_UNMAP: the CPU's mappings are gone, or there were none, or they go
 *	before the folio is unlocked.  The subscriber drops its mappings, its
 *	references and, by folio_clear_exported(), the mark
 */
enum export_notifier_event {
	EXPORT_NOTIFY_CLEAN,
	EXPORT_NOTIFY_UNMAP,
};

/**
 * struct export_notifier_ops - what a subscriber implements
 */
struct export_notifier_ops {
	/**
	 * @invalidate: Mandatory.  @event happens to @folio, which a subscriber, but not
	 * necessarily this one, has exported.  One that has not returns false.
	 *
	 * Returns true if @folio was written to through the subscriber's
	 * mappings since the last call: the core takes it for dirty then.
	 *
	 * Context: process context, @folio is locked and the caller has a
	 * reference to it.  May sleep, so as to wait for another host.  Reverse-map
	 * locks or mmap_lock may be held, and it may be reclaim that calls: takes
	 * none of these, locks no folio, and does not wait for memory.  Does
	 * not register or unregister any subscriber.
	 */
	bool (*invalidate)(struct export_notifier *en, struct folio *folio,
			   enum export_notifier_event event);

	/**
	 * @exports: Optional.  Does the subscriber have @folio exported?  One that
	 * shares folios with others needs it: folio_clear_exported() leaves the mark
	 * for those that return true.
	 *
	 * Context: as @invalidate, or that of the caller of
	 * folio_clear_exported().
	 */
	bool (*exports)(struct export_notifier *en, struct folio *folio);
};

/**
 * struct export_notifier - a subscriber that is told of all exported folios
 * @ops: set before export_notifier_register()
 */
struct export_notifier {
	const struct export_notifier_ops *ops;
	/* private: under export_notifier_lock */
	struct list_head list;
	unsigned int calls;	/* that run */
	bool gone;		/* not to be called any more */
};

#ifdef CONFIG_EXPORT_NOTIFIER

DECLARE_STATIC_KEY_FALSE(export_notifier_key);
#ifdef CONFIG_LOCKDEP
extern struct lockdep_map __export_notifier_map;
#endif

int export_notifier_register(struct export_notifier *en);
void export_notifier_unregister(struct export_notifier *en);
int folio_set_exported(struct folio *folio);
void folio_clear_exported(struct folio *folio);

bool __export_notifier_invalidate(struct folio *folio,
				  enum export_notifier_event event);
void __export_notifier_free(struct folio *folio);

/**
 * folio_test_exported - is a folio marked as exported?
 * @folio: the folio
 *
 * Costs nothing while there is no subscriber, else the test of a page flag.
 *
 * Context: any.  Stable while the folio is locked.
 * Return: true if it is and if there is a subscriber.
 */
static inline bool folio_test_exported(const struct folio *folio)
{
	return static_branch_unlikely(&export_notifier_key) &&
	       test_bit(PG_exported, const_folio_flags(folio, 0));
}

/**
 * export_notifier_clean - the CPU's mappings of a folio were write-protected
 * @folio: the folio, locked
 *
 * Context: may sleep.
 * Return: true if it was written to through a subscriber's mappings.
 */
static inline bool export_notifier_clean(struct folio *folio)
{
	return unlikely(folio_test_exported(folio)) &&
	       __export_notifier_invalidate(folio, EXPORT_NOTIFY_CLEAN);
}

/**
 * export_notifier_unmap - no mapping of a folio may remain
 * @folio: the folio, locked.  Made dirty if it was written to through a
 *	subscriber's mappings
 *
 * Context: may sleep.
 */
static inline void export_notifier_unmap(struct folio *folio)
{
	if (unlikely(folio_test_exported(folio)))
		__export_notifier_invalidate(folio, EXPORT_NOTIFY_UNMAP);
}

/**
 * export_notifier_free - a folio, or another page, goes back to the allocator
 * @folio: the folio.  If it is marked still, that is reported once, and undone
 *
 * Context: any.
 */
static inline void export_notifier_free(struct folio *folio)
{
	if (unlikely(folio_test_exported(folio)))
		__export_notifier_free(folio);
}

#else /* !CONFIG_EXPORT_NOTIFIER */

static inline bool folio_test_exported(const struct folio *folio)
{
	return false;
}

static inline bool export_notifier_clean(struct folio *folio)
{
	return false;
}

static inline void export_notifier_unmap(struct folio *folio)
{
}

static inline void export_notifier_free(struct folio *folio)
{
}

#endif /* CONFIG_EXPORT_NOTIFIER */

#endif /* _LINUX_EXPORT_NOTIFIER_H */

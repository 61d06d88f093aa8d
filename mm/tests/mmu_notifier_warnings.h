/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For KUnit suites that misuse something on purpose: warnings are wanted, and counted.
 */
#ifndef MMU_NOTIFIER_WARNINGS_H
#define MMU_NOTIFIER_WARNINGS_H

#include <kunit/test.h>
#include <linux/bug.h>
#include <linux/panic.h>
#include <asm/sections.h>
#include <trace/events/error_report.h>

/*
 * Warnings that a case provokes.  The two lines on the console tell a
 * reader in search of warnings that those between them are wanted.
 */
static atomic_t warnings;
static int saved_panic_on_warn;

static void warning_probe(void *data, enum error_detector detector,
			  unsigned long id)
{
	if (detector == ERROR_DETECTOR_WARN)
		atomic_inc(&warnings);
}

static void warnings_begin(struct kunit *test)
{
	pr_info("mmu_notifier_test: expecting a warning {\n");
	saved_panic_on_warn = panic_on_warn;
	panic_on_warn = 0;
	/* What warns once shall warn here, as debugfs' clear_warn_once does. */
	generic_bug_clear_once();
	memset(__start_once, 0, __end_once - __start_once);
	atomic_set(&warnings, 0);
	KUNIT_EXPECT_EQ(test, 0, register_trace_error_report_end(warning_probe,
								 NULL));
}

/* Expects that there were @nr. */
static void warnings_end(struct kunit *test, int nr)
{
	unregister_trace_error_report_end(warning_probe, NULL);
	panic_on_warn = saved_panic_on_warn;
	pr_info("mmu_notifier_test: } end of expected warning\n");
	KUNIT_EXPECT_EQ(test, atomic_read(&warnings), nr);
}

#endif /* MMU_NOTIFIER_WARNINGS_H */

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What neither tables nor anybody tells of an eventfd: reckoned from who waits for it,
 * and from the order in which a monitor makes them.  Pure; any thread.
 */
#include "topoimpl.h"

#include <stdlib.h>

static int by_order(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->vmm != y->vmm)
		return x->vmm < y->vmm ? -1 : 1;
	if (x->backend != y->backend)
		return x->backend < y->backend ? -1 : 1;
	return x->vmm_fd - y->vmm_fd;
}

static void guess(struct item *it, uint8_t role, uint8_t source, uint8_t confidence)
{
	it->role = role;
	it->source = source;
	it->confidence = confidence;
}

/*
 * A monitor waits for calls that are no interrupts, and for errors.  Errors are made
 * with the device, calls when the driver starts it: errors come first.  @errors: how
 * many of those without a role, in order, are such.
 */
static void guess_waited(struct item *it, size_t n, size_t errors, bool all)
{
	size_t seen = 0;

	for (size_t i = 0; i < n; i++) {
		if (it[i].role || (!all && !it[i].waited_by_vmm))
			continue;
		guess(&it[i], seen < errors ? ROLE_ERR : ROLE_CALL,
		      it[i].waited_by_vmm ? SRC_WAIT : SRC_ORDER,
		      it[i].waited_by_vmm ? CONF_LIKELY : CONF_POSSIBLE);
		seen++;
	}
}

/* Whether @n items can have @role, by who waits for them and what is known already. */
static bool may_be(const struct item *it, size_t n, uint8_t role)
{
	for (size_t i = 0; i < n; i++) {
		if (it[i].role && it[i].role != role)
			return false;
		if (role == ROLE_KICK ? it[i].waited_by_vmm : it[i].waited_by_backend)
			return false;
	}
	return true;
}

/* Whether somebody waits for one of them, as is proper for what they are taken for. */
static bool some_waited(const struct item *it, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (it[i].role || it[i].waited_by_vmm || it[i].waited_by_backend)
			return true;
	}
	return false;
}

static void guess_group(struct item *it, size_t n, uint8_t role)
{
	for (size_t i = 0; i < n; i++) {
		bool waited = role == ROLE_KICK ? it[i].waited_by_backend : it[i].waited_by_vmm;

		if (!it[i].role)
			guess(&it[i], role, waited ? SRC_WAIT : SRC_ORDER,
			      waited ? CONF_LIKELY : CONF_POSSIBLE);
	}
}

/*
 * A monitor makes all errors with the device, if it makes any; and when the driver
 * starts, all kicks and all calls, in one order or the other.  True if the items fit.
 */
static bool guess_groups(struct item *it, size_t n)
{
	for (size_t groups = 3; groups >= 2; groups--) {
		struct item *first = it + n / groups * (groups - 2);
		size_t k = n / groups;

		if (n % groups || (groups == 3 && !may_be(it, k, ROLE_ERR)))
			continue;
		for (int swapped = 0; swapped < 2; swapped++) {
			struct item *kicks = first + (swapped ? k : 0);
			struct item *calls = first + (swapped ? 0 : k);

			if (!may_be(kicks, k, ROLE_KICK) || !may_be(calls, k, ROLE_CALL) ||
			    (!some_waited(kicks, k) && !some_waited(calls, k)))
				continue;
			if (groups == 3)
				guess_group(it, k, ROLE_ERR);
			guess_group(kicks, k, ROLE_KICK);
			guess_group(calls, k, ROLE_CALL);
			return true;
		}
	}
	return false;
}

/*
 * Roles in the items of one pair, which are in the order of the monitor's numbers.
 * @running: the back-end runs, so it may poll.
 */
static void guess_roles(struct item *it, size_t n, bool running)
{
	size_t kicks = 0, calls = 0, waiting = 0, rest = 0;

	if (guess_groups(it, n))
		return;
	for (size_t i = 0; i < n; i++) {
		if (!it[i].role && it[i].waited_by_backend && !it[i].waited_by_vmm)
			guess(&it[i], ROLE_KICK, SRC_WAIT, CONF_LIKELY);
		kicks += it[i].role == ROLE_KICK;
		calls += it[i].role == ROLE_CALL;
		rest += !it[i].role;
		waiting += !it[i].role && it[i].waited_by_vmm;
	}
	if (calls)
		guess_waited(it, n, n, false);
	else if (kicks && (rest == kicks || rest == 2 * kicks))
		/* One call a kick, or a call and an error. */
		guess_waited(it, n, rest - kicks, true);
	else
		guess_waited(it, n, waiting > 1 && waiting > kicks ? waiting / 2 : 0, false);
	/*
	 * Nobody waits for these: a back-end that polls does not wait for its kicks.  But
	 * one that sleeps has not got any: the driver has not started yet.
	 */
	for (size_t i = 0; i < n; i++) {
		if (!it[i].role && (kicks || running))
			guess(&it[i], kicks && !calls && !waiting ? ROLE_CALL : ROLE_KICK,
			      SRC_ORDER, CONF_POSSIBLE);
	}
}

/* Queues in the order of the monitor's numbers, where nothing better is known. */
static void guess_indices(struct item *it, size_t n, uint8_t role)
{
	uint32_t next = 0;

	for (size_t i = 0; i < n; i++) {
		if (it[i].role != role)
			continue;
		if (!it[i].has_index) {
			it[i].index = next;
			if (it[i].confidence > CONF_LIKELY)
				it[i].confidence = CONF_LIKELY;
		}
		it[i].has_index = true;
		next = it[i].index + 1;
	}
}

/* A pair's devices: those telemetry names, or the pages of KVM's table; else one. */
static void number_devices(struct item *it, size_t n)
{
	uint64_t pages[64];
	size_t npages = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t page;
		size_t j;

		if (it[i].fact && it[i].fact->device != NO_DEVICE) {
			it[i].device = it[i].fact->device;
			continue;
		}
		it[i].device = 0;
		if (!it[i].store)
			continue;
		page = it[i].store->ioeventfd.addr & ~(uint64_t)(PAGE - 1);
		if (it[i].store->ioeventfd.bus == SCAN_BUS_PIO)
			page = it[i].store->ioeventfd.addr;
		for (j = 0; j < npages && pages[j] != page; j++)
			;
		if (j == npages && npages < VU_ARRAY_SIZE(pages))
			pages[npages++] = page;
		it[i].device = j;
	}
	/* Calls have no address: with several devices their order tells, like their queue. */
	for (size_t d = 1; npages > 1 && d < npages; d++) {
		size_t per_device = 0, seen = 0;

		for (size_t i = 0; i < n; i++)
			per_device += it[i].role == ROLE_KICK && it[i].device == 0 && it[i].store;
		for (size_t i = 0; i < n && per_device; i++) {
			if (it[i].role != ROLE_CALL || it[i].fact)
				continue;
			it[i].device = VU_MIN(seen / per_device, npages - 1);
			it[i].index = seen % per_device;
			it[i].has_index = true;
			it[i].confidence = VU_MIN(it[i].confidence, CONF_POSSIBLE);
			seen++;
		}
	}
}

static size_t pair_end(const struct item *items, size_t n, size_t i)
{
	size_t j = i;

	while (j < n && items[j].vmm == items[i].vmm && items[j].backend == items[i].backend)
		j++;
	return j;
}

void guess_rest(const struct found *f, struct item *items, size_t n)
{
	if (!n)
		return;
	qsort(items, n, sizeof(*items), by_order);
	for (size_t i = 0, j; i < n; i = j) {
		const struct found_proc *p = found_proc_of(f, items[i].backend);

		j = pair_end(items, n, i);
		guess_roles(items + i, j - i, p && p->running);
		number_devices(items + i, j - i);
		guess_indices(items + i, j - i, ROLE_KICK);
		guess_indices(items + i, j - i, ROLE_CALL);
		guess_indices(items + i, j - i, ROLE_ERR);
	}
}

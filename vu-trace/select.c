/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which queues the command line is about.  Any thread. */
#include "select.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool selects_process(const struct options *o, const struct queue *q)
{
	for (unsigned int i = 0; i < o->npids; i++) {
		if (o->pids[i] == q->vmm || o->pids[i] == q->backend)
			return true;
	}
	return !o->npids;
}

static bool selects_index(const struct options *o, const struct queue *q)
{
	for (unsigned int i = 0; i < o->nqueues; i++) {
		if (q->index >= o->queues[i].first && q->index <= o->queues[i].last)
			return true;
	}
	return !o->nqueues;
}

static bool selects_device(const struct options *o, const struct queue *q)
{
	char number[16];

	if (!o->device)
		return true;
	snprintf(number, sizeof(number), "%u", q->device);
	return !strcmp(o->device, number) || !strcmp(o->device, q->name) ||
	       !strcmp(o->device, base_name(q->name));
}

static bool selects_vm(const struct options *o, const struct queue *q, const char *vm)
{
	char pid[16];

	if (!o->vm)
		return true;
	snprintf(pid, sizeof(pid), "%u", q->vmm);
	return !strcmp(o->vm, vm) || !strcmp(o->vm, pid);
}

/* By its name alone where that is all that is known of a path: in its namespace. */
static bool selects_socket(const struct options *o, const struct queue *q)
{
	return !o->socket || !strcmp(o->socket, q->name) ||
	       !strcmp(base_name(o->socket), base_name(q->name));
}

bool selects_queue(const struct options *o, const struct queue *q, const char *vm,
		   uint8_t role)
{
	return selects_vm(o, q, vm) && selects_socket(o, q) && selects_process(o, q) &&
	       selects_index(o, q) && selects_device(o, q) &&
	       (!o->roles || o->roles & 1U << role);
}

bool selects_side(const struct options *o, enum role side)
{
	return !o->sides || o->sides & 1U << side;
}

/* --- recordings --- */

/* VM:DEVICE:QUEUE is all that a recording has of a device's and a machine's name. */
static bool selects_recorded(const struct options *o, const struct record_queue *r)
{
	struct queue q = {.vmm = r->vmm, .backend = r->backend, .index = r->index};
	const char *first = strchr(r->name, ':'), *last = strrchr(r->name, ':');
	char vm[sizeof(r->name)] = "", *end;

	if (first && last > first) {
		memcpy(vm, r->name, first - r->name);
		memcpy(q.name, first + 1, last - first - 1);
	}
	q.device = strtoul(q.name, &end, 10);
	if (end == q.name || *end)
		q.device = UINT32_MAX;
	return selects_queue(o, &q, vm, 0);
}

struct kept {
	bool queue[RECORD_MAX_QUEUES];
	bool other; /* events of no queue */
};

static bool keeps(const struct options *o, const struct kept *k, const struct event *e)
{
	if (e->queue < RECORD_MAX_QUEUES ? !k->queue[e->queue] : !k->other)
		return false;
	if (e->role && !selects_side(o, e->role))
		return false;
	return !o->kinds || (e->kind < EV_KINDS && o->kinds & 1U << e->kind);
}

bool select_recorded(const struct options *o, struct recording *r)
{
	struct kept *k = calloc(1, sizeof(*k));
	size_t nqueues = 0, nevents = 0, nrounds = 0;

	if (!k)
		return false;
	for (size_t i = 0; i < r->nqueues; i++) {
		if (!selects_recorded(o, &r->queues[i]) ||
		    r->queues[i].slot >= RECORD_MAX_QUEUES)
			continue;
		k->queue[r->queues[i].slot] = true;
		r->queues[nqueues++] = r->queues[i];
	}
	k->other = nqueues == r->nqueues;
	for (size_t i = 0; i < r->nevents; i++) {
		if (keeps(o, k, &r->events[i]))
			r->events[nevents++] = r->events[i];
	}
	for (size_t i = 0; i < r->nrounds; i++) {
		if (keeps(o, k, &r->rounds[i].head))
			r->rounds[nrounds++] = r->rounds[i];
	}
	free(k);
	r->nqueues = nqueues;
	r->nevents = nevents;
	r->nrounds = nrounds;
	return nqueues;
}

/* --- words --- */

struct words {
	char *at;
	size_t left;
};

static void VU_PRINTF(2, 3) put(struct words *w, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(w->at, w->left, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= w->left)
		n = w->left - 1;
	w->at += n;
	w->left -= n;
}

void selection_text(const struct options *o, char *buf, size_t size)
{
	struct words w = {buf, size};

	buf[0] = '\0';
	for (unsigned int i = 0; i < o->npids; i++)
		put(&w, i ? ",%u" : " -p %u", o->pids[i]);
	if (o->socket)
		put(&w, " --socket=%s", o->socket);
	if (o->vm)
		put(&w, " --vm=%s", o->vm);
	if (o->device)
		put(&w, " --device=%s", o->device);
	for (unsigned int i = 0; i < o->nqueues; i++) {
		put(&w, i ? ",%u" : " -q %u", o->queues[i].first);
		if (o->queues[i].last != o->queues[i].first)
			put(&w, "-%u", o->queues[i].last);
	}
	if (o->role)
		put(&w, " --role=%s", o->role);
	if (buf[0])
		memmove(buf, buf + 1, strlen(buf));
}

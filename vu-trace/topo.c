/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Joins what was found.  An eventfd that a monitor and a back-end both have open is a
 * kick, a call or an error of one of their queues:
 *
 *  - telemetry and messages name role and queue;
 *  - KVM's table of stores names kicks, and by address or value their queues;
 *  - what KVM makes interrupts of is a call; what a monitor waits for is a call or an
 *    error, what a back-end waits for is a kick;
 *  - those of one kind were made one after the other, so that the monitor's numbers for
 *    them ascend with the queues.
 */
#include "topoimpl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct build {
	const struct found *f;
	struct item *items;
	size_t n, size;
};

/* --- names --- */

const char *source_name(enum source s)
{
	static const char *const names[] = {"none", "telemetry", "message",
					    "kvm",  "waiters",	 "order"};

	return s < SRC_SOURCES ? names[s] : "none";
}

const char *confidence_name(enum confidence c)
{
	static const char *const names[] = {"none", "possible", "likely", "certain"};

	return c <= CONF_CERTAIN ? names[c] : "none";
}

const char *mode_name(enum mode m)
{
	static const char *const names[] = {"unknown", "interrupt", "polling", "unwatched"};

	return m <= MODE_UNWATCHED ? names[m] : "unknown";
}

bool is_monitor_name(const char *comm)
{
	static const char *const names[] = {"qemu-system", "qemu-kvm", "cloud-hyperviso",
					    "crosvm", "firecracker"};

	if (!strcmp(comm, "kvm"))
		return true;
	for (size_t i = 0; i < VU_ARRAY_SIZE(names); i++) {
		if (!strncmp(comm, names[i], strlen(names[i])))
			return true;
	}
	return false;
}

/* --- processes --- */

const struct found_proc *found_proc_of(const struct found *f, uint32_t tgid)
{
	for (size_t i = 0; i < f->nprocs; i++) {
		if (f->procs[i].tgid == tgid)
			return &f->procs[i];
	}
	return NULL;
}

static bool is_vmm(const struct found *f, uint32_t tgid)
{
	const struct found_proc *p = found_proc_of(f, tgid);

	return p && p->vmm;
}

static const struct found_link *link_of(const struct found *f, uint32_t a, uint32_t b)
{
	const struct found_link *best = NULL;

	for (size_t i = 0; i < f->nlinks; i++) {
		const struct found_link *l = &f->links[i];

		if (!((l->server == a && l->client == b) || (l->server == b && l->client == a)))
			continue;
		if (!best || (!best->path[0] && l->path[0]))
			best = l;
	}
	return best;
}

/*
 * Which of two processes that share an eventfd is the monitor; 0 if they are no such
 * pair.  A monitor is known by its machine or its name, a back-end by what it tells or
 * was told; else whoever listens is the back-end.
 */
static uint32_t monitor_of(const struct found *f, uint32_t a, uint32_t b)
{
	const struct found_link *l;

	if (is_vmm(f, a) != is_vmm(f, b))
		return is_vmm(f, a) ? a : b;
	for (size_t i = 0; i < f->nfacts; i++) {
		if (f->facts[i].source &&
		    (f->facts[i].backend == a || f->facts[i].backend == b))
			return f->facts[i].backend == a ? b : a;
	}
	l = link_of(f, a, b);
	return l ? l->client : 0;
}

/* --- eventfds --- */

static struct item *item_of(struct build *b, uint64_t obj, uint32_t vmm, uint32_t backend)
{
	struct item *bigger;

	for (size_t i = 0; i < b->n; i++) {
		if (b->items[i].obj == obj && b->items[i].vmm == vmm &&
		    b->items[i].backend == backend)
			return &b->items[i];
	}
	if (b->n == b->size) {
		bigger = realloc(b->items, (b->size + 64) * sizeof(*bigger));
		if (!bigger)
			return NULL;
		b->items = bigger;
		b->size += 64;
	}
	b->items[b->n] = (struct item){
		.obj = obj, .id = -1, .vmm = vmm, .backend = backend, .vmm_fd = -1, .backend_fd = -1};
	return &b->items[b->n++];
}

static bool waits(const struct found *f, const struct scan_rec *r)
{
	if (r->eventfd.poller == r->tgid)
		return true;
	for (size_t i = 0; i < f->nwatches; i++) {
		if (f->watches[i].tgid == r->tgid && f->watches[i].fd == r->eventfd.fd)
			return true;
	}
	return false;
}

static void take_end(const struct found *f, struct item *it, const struct scan_rec *r)
{
	it->id = r->eventfd.id;
	it->count = r->eventfd.count;
	if (r->eventfd.epolls || r->eventfd.poller)
		it->waited = true;
	if (r->tgid == it->vmm) {
		if (it->vmm_fd < 0) {
			it->vmm_fd = r->eventfd.fd;
			it->vmm_file = r->eventfd.file;
		}
		it->waited_by_vmm |= waits(f, r) || r->eventfd.poller == it->vmm;
	} else {
		if (it->backend_fd < 0) {
			it->backend_fd = r->eventfd.fd;
			it->backend_file = r->eventfd.file;
		}
		it->waited_by_backend |= waits(f, r) || r->eventfd.poller == it->backend;
	}
}

static int by_obj(const void *a, const void *b)
{
	const struct scan_rec *x = *(const struct scan_rec *const *)a;
	const struct scan_rec *y = *(const struct scan_rec *const *)b;

	if (x->obj != y->obj)
		return x->obj < y->obj ? -1 : 1;
	return x->tgid != y->tgid ? (x->tgid < y->tgid ? -1 : 1)
				  : x->eventfd.fd - y->eventfd.fd;
}

/* Pairs up the holders of one eventfd. */
static int pair_up(struct build *b, const struct scan_rec *const *recs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t j = i + 1; j < n; j++) {
			uint32_t x = recs[i]->tgid, y = recs[j]->tgid, vmm;
			struct item *it;

			if (x == y)
				continue;
			vmm = monitor_of(b->f, x, y);
			if (!vmm)
				continue;
			it = item_of(b, recs[i]->obj, vmm, vmm == x ? y : x);
			if (!it)
				return -ENOMEM;
			take_end(b->f, it, recs[i]);
			take_end(b->f, it, recs[j]);
		}
	}
	return 0;
}

static int find_items(struct build *b)
{
	const struct scan_rec **list = calloc(b->f->nrecs + 1, sizeof(*list));
	size_t n = 0;
	int ret = 0;

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < b->f->nrecs; i++) {
		if (b->f->recs[i].what == SCAN_EVENTFD)
			list[n++] = &b->f->recs[i];
	}
	qsort(list, n, sizeof(*list), by_obj);
	for (size_t i = 0, j; i < n && !ret; i = j) {
		for (j = i + 1; j < n && list[j]->obj == list[i]->obj; j++)
			;
		ret = pair_up(b, list + i, j - i);
	}
	free(list);
	return ret;
}

/* --- KVM's tables --- */

/* An entry with a value names the queue itself, one without does by its address. */
static bool better_store(const struct scan_rec *a, const struct scan_rec *b)
{
	if (!b)
		return true;
	if (a->ioeventfd.wildcard != b->ioeventfd.wildcard)
		return !a->ioeventfd.wildcard;
	return a->ioeventfd.bus < b->ioeventfd.bus;
}

static void join_tables(struct build *b)
{
	for (size_t i = 0; i < b->f->nrecs; i++) {
		const struct scan_rec *r = &b->f->recs[i];

		if (r->what != SCAN_IOEVENTFD && r->what != SCAN_IRQFD)
			continue;
		for (size_t j = 0; j < b->n; j++) {
			struct item *it = &b->items[j];

			if (it->obj != r->obj || it->vmm != r->tgid)
				continue;
			if (r->what == SCAN_IRQFD)
				it->irq = r;
			else if (better_store(r, it->store))
				it->store = r;
		}
	}
}

/* The queue an entry without a value is of: the distance from where its kind begins. */
static bool queue_by_address(const struct build *b, const struct item *it, uint32_t *index)
{
	uint64_t addr = it->store->ioeventfd.addr, page = addr & ~(uint64_t)(PAGE - 1);
	bool first = false;

	/* Every modern PCI device has its notifications at 4 bytes a queue in a page. */
	for (size_t i = 0; i < b->f->nrecs; i++) {
		const struct scan_rec *r = &b->f->recs[i];

		if (r->what == SCAN_IOEVENTFD && r->ioeventfd.vm == it->store->ioeventfd.vm &&
		    r->ioeventfd.bus == it->store->ioeventfd.bus && r->ioeventfd.addr == page)
			first = true;
	}
	*index = (addr - page) / 4;
	return first;
}

static void use_tables(struct build *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct item *it = &b->items[i];

		if (it->store && !it->role) {
			it->role = ROLE_KICK;
			it->source = SRC_KVM;
			it->confidence = CONF_CERTAIN;
		}
		if (it->store && !it->has_index) {
			it->index = it->store->ioeventfd.match;
			it->has_index = !it->store->ioeventfd.wildcard ||
					queue_by_address(b, it, &it->index);
		}
		if (it->irq && !it->role) {
			it->role = ROLE_CALL;
			it->source = SRC_KVM;
			it->confidence = CONF_LIKELY;
		}
	}
}

/* --- telemetry, messages --- */

static void use_facts(struct build *b)
{
	for (size_t i = 0; i < b->f->nfacts; i++) {
		const struct found_fact *fact = &b->f->facts[i];

		for (size_t j = 0; j < b->n; j++) {
			struct item *it = &b->items[j];

			if (!fact->source || it->backend != fact->backend ||
			    it->id != fact->id || it->id < 0 ||
			    (fact->obj && it->obj != fact->obj))
				continue;
			/* Telemetry is of now, a message may be of an earlier connection. */
			if (it->fact && it->fact->source <= fact->source)
				continue;
			it->fact = fact;
			it->role = fact->role;
			it->index = fact->index;
			it->has_index = true;
			it->device = fact->device;
			it->source = fact->source;
			it->confidence = CONF_CERTAIN;
		}
	}
}

/* --- queues --- */

static struct queue *queue_of(struct topo *t, const struct item *it)
{
	struct queue *q, *bigger;
	static const struct end none = {.id = -1, .vmm_fd = -1, .backend_fd = -1};

	for (size_t i = 0; i < t->nqueues; i++) {
		q = &t->queues[i];
		if (q->vmm == it->vmm && q->backend == it->backend &&
		    q->device == it->device && q->index == it->index)
			return q;
	}
	bigger = realloc(t->queues, (t->nqueues + 1) * sizeof(*bigger));
	if (!bigger)
		return NULL;
	t->queues = bigger;
	q = &bigger[t->nqueues++];
	*q = (struct queue){.slot = NO_QUEUE,
			    .vmm = it->vmm,
			    .backend = it->backend,
			    .device = it->device,
			    .index = it->index,
			    .kick = none,
			    .call = none,
			    .err = none};
	return q;
}

static void fill_kick(const struct found *f, struct queue *q, const struct item *it)
{
	const struct found_proc *p = found_proc_of(f, q->backend);

	q->mode = it->waited_by_backend || it->waited ? MODE_INTERRUPT
		  : p && p->running		      ? MODE_POLLING
						      : MODE_UNWATCHED;
	if (!it->store)
		return;
	q->notify_addr = it->store->ioeventfd.addr;
	q->notify_match = it->store->ioeventfd.match;
	q->notify_bus = it->store->ioeventfd.bus;
	q->notify_exact = !it->store->ioeventfd.wildcard;
}

static int fill_queue(const struct found *f, struct topo *t, const struct item *it)
{
	struct queue *q = queue_of(t, it);
	struct end *e;

	if (!q)
		return -ENOMEM;
	e = it->role == ROLE_KICK ? &q->kick : it->role == ROLE_CALL ? &q->call : &q->err;
	/* Two of a kind: an old one that was not closed yet.  The surer one stays. */
	if (e->obj && e->confidence >= it->confidence)
		return 0;
	*e = (struct end){it->obj,	   it->id,	     it->vmm_fd,
			  it->backend_fd,  it->vmm_file,     it->backend_file,
			  it->count,	   it->source,	     it->confidence};
	if (it->fact && it->fact->name[0])
		memcpy(q->name, it->fact->name, VU_MIN(sizeof(q->name), sizeof(it->fact->name)));
	if (it->role == ROLE_KICK)
		fill_kick(f, q, it);
	if (it->role == ROLE_CALL && it->irq) {
		q->gsi = it->irq->irqfd.gsi;
		q->msi_address = it->irq->irqfd.type == SCAN_ROUTE_MSI
					 ? it->irq->irqfd.msi_address
					 : 0;
		q->msi_data = it->irq->irqfd.msi_data;
	}
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct queue *x = a, *y = b;

	if (x->vmm != y->vmm)
		return x->vmm < y->vmm ? -1 : 1;
	if (x->backend != y->backend)
		return x->backend < y->backend ? -1 : 1;
	if (x->device != y->device)
		return x->device < y->device ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static void name_devices(const struct found *f, struct topo *t)
{
	for (size_t i = 0; i < t->nqueues; i++) {
		struct queue *q = &t->queues[i];
		const struct found_link *l = link_of(f, q->vmm, q->backend);

		if (!q->name[0] && l)
			memcpy(q->name, l->path, sizeof(q->name));
	}
}

int topo_build(const struct found *f, struct topo *out)
{
	struct build b = {.f = f};
	int ret;

	*out = (struct topo){0};
	ret = find_items(&b);
	if (!ret) {
		join_tables(&b);
		use_facts(&b);
		use_tables(&b);
		guess_rest(f, b.items, b.n);
	}
	for (size_t i = 0; i < b.n && !ret; i++) {
		if (b.items[i].role)
			ret = fill_queue(f, out, &b.items[i]);
		else
			out->unmatched++;
	}
	/* Errors without a queue of their own tell nothing of one. */
	for (size_t i = 0; i < out->nqueues;) {
		struct queue *q = &out->queues[i];

		if (q->kick.obj || q->call.obj) {
			i++;
			continue;
		}
		*q = out->queues[--out->nqueues];
		out->unmatched++;
	}
	free(b.items);
	if (ret) {
		topo_release(out);
		return ret;
	}
	if (out->nqueues)
		qsort(out->queues, out->nqueues, sizeof(*out->queues), by_place);
	name_devices(f, out);
	return 0;
}

void topo_release(struct topo *t)
{
	free(t->queues);
	*t = (struct topo){0};
}

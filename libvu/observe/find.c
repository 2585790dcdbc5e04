/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who shares what with whom.  All processes are looked at once; after that only those
 * that could be of interest, the new ones, and a part of the rest in turn.  One thread
 * at a time.
 */
#include "observe/find.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "observe/findimpl.h"

/* The rest is looked at in so many passes. */
#define TURNS 8
/* A process that has been seen so often has set up what it sets up. */
#define YOUNG 4

#define KINDS                                                                     \
	(VU_BIT(VU__FD_SOCKET) | VU_BIT(VU__FD_EVENTFD) | VU_BIT(VU__FD_KVM_VM) | \
	 VU_BIT(VU__FD_EPOLL))

struct vu__find *vu__find_new(const char *root)
{
	struct vu__find *f = calloc(1, sizeof(*f));
	int ret;

	if (!f)
		return NULL;
	ret = vu__procfs_open(&f->proc, root);
	if (ret) {
		free(f);
		errno = -ret;
		return NULL;
	}
	return f;
}

static void forget(struct vu__known *k)
{
	vu__procfs_fds_release(&k->fds);
	vu__qmp_release(&k->p.vm);
	free(k->p.cmdline);
	free(k->watched);
	free(k);
}

static void release_found(struct vu__found *out)
{
	free(out->procs);
	free(out->links);
	free(out->events);
	memset(out, 0, sizeof(*out));
}

void vu__find_free(struct vu__find *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->nknown; i++)
		forget(f->known[i]);
	free(f->known);
	release_found(&f->out);
	vu__unix_release(&f->socks);
	free(f->ends);
	vu__procfs_close(&f->proc);
	free(f);
}

/* --- processes --- */

/* Ends with a zero, also if it was cut. */
static void set_cmdline(struct vu__known *k, const char *text, size_t len)
{
	char *copy = malloc(len + 1);

	free(k->p.cmdline);
	k->p.cmdline = copy;
	k->p.cmdline_len = copy ? len : 0;
	if (copy) {
		memcpy(copy, text, len);
		copy[len] = '\0';
	}
}

static void describe(struct vu__find *f, struct vu__known *k)
{
	char path[32], exe[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "%d/exe", k->p.pid);
	n = readlinkat(f->proc.dir, path, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	n = vu__procfs_cmdline(&f->proc, k->p.pid, f->scratch, sizeof(f->scratch));
	set_cmdline(k, f->scratch, n > 0 ? n : 0);
	if (vu__procfs_uid(&f->proc, k->p.pid, &k->p.uid))
		k->p.uid = -1;
	k->p.kind =
		vu__find_kind(exe[0] ? exe : k->p.comm, k->p.cmdline, k->p.cmdline_len);
	vu__find_vm_name(k->p.cmdline, k->p.cmdline_len, k->p.vm_name,
			 sizeof(k->p.vm_name));
}

/* Reads its fds if it is its turn. */
static void look_at(struct vu__find *f, struct vu__known *k)
{
	bool events = false, socks = false;
	int ret;

	if (!k->candidate && k->looks >= YOUNG && (k->p.pid + f->pass) % TURNS)
		return;
	k->looks += k->looks < YOUNG;
	vu__procfs_fds_release(&k->fds);
	ret = vu__procfs_fds(&f->proc, k->p.pid, KINDS, &k->fds);
	k->hidden = ret == -EACCES || ret == -EPERM;
	k->p.kvm = false;
	for (size_t i = 0; i < k->fds.n; i++) {
		events = events || k->fds.fds[i].kind == VU__FD_EVENTFD;
		socks = socks || k->fds.fds[i].kind == VU__FD_SOCKET;
		k->p.kvm = k->p.kvm || k->fds.fds[i].kind == VU__FD_KVM_VM;
	}
	k->candidate = events && socks;
	/* A program may have become another one by exec. */
	if (k->candidate || k->looks < YOUNG)
		describe(f, k);
	k->p.trouble[0] = '\0';
	if (k->fds.cut)
		snprintf(k->p.trouble, sizeof(k->p.trouble),
			 "has more than %u file descriptors, the rest was not looked at",
			 VU__PROCFS_MAX_FDS);
}

static struct vu__known *meet(const struct vu__procfs_stat *st)
{
	struct vu__known *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->p.pid = st->pid;
	k->p.start_time = st->start_time;
	return k;
}

/* Goes through the processes there are, which are sorted, as the known ones are. */
static int look_at_all(struct vu__find *f)
{
	VU_CLEANUP_FREE pid_t *pids = NULL;
	struct vu__known **now;
	ssize_t n = vu__procfs_pids(&f->proc, &pids);
	size_t old = 0, count = 0;

	if (n < 0)
		return n;
	now = calloc(n ? n : 1, sizeof(struct vu__known *));
	if (!now)
		return -ENOMEM;
	for (ssize_t i = 0; i < n; i++) {
		struct vu__procfs_stat st;
		struct vu__known *k;

		if (vu__procfs_stat(&f->proc, pids[i], 0, &st) || st.kernel)
			continue;
		while (old < f->nknown && f->known[old]->p.pid < pids[i])
			forget(f->known[old++]);
		k = old < f->nknown && f->known[old]->p.pid == pids[i] ? f->known[old++]
								       : NULL;
		if (k && k->p.start_time != st.start_time) {
			forget(k);
			k = NULL;
		}
		if (!k)
			k = meet(&st);
		if (!k)
			continue;
		memcpy(k->p.comm, st.comm, sizeof(k->p.comm));
		k->ppid = st.ppid;
		k->index = -1;
		k->p.roles = 0;
		look_at(f, k);
		now[count++] = k;
	}
	while (old < f->nknown)
		forget(f->known[old++]);
	free(f->known);
	f->known = now;
	f->nknown = count;
	f->pass++;
	return 0;
}

/* --- the ends of sockets --- */

static int compare_ends(const void *a, const void *b)
{
	const struct vu__end *x = a, *y = b;

	if (x->inode != y->inode)
		return (x->inode > y->inode) - (x->inode < y->inode);
	return (x->known > y->known) - (x->known < y->known);
}

static int collect_ends(struct vu__find *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->nknown; i++)
		n += f->known[i]->candidate ? f->known[i]->fds.n : 0;
	free(f->ends);
	f->nends = 0;
	f->ends = calloc(n ? n : 1, sizeof(*f->ends));
	if (!f->ends)
		return -ENOMEM;
	for (size_t i = 0; i < f->nknown; i++) {
		const struct vu__known *k = f->known[i];

		for (size_t j = 0; k->candidate && j < k->fds.n; j++) {
			if (k->fds.fds[j].kind == VU__FD_SOCKET)
				f->ends[f->nends++] = (struct vu__end){
					k->fds.fds[j].inode, i, k->fds.fds[j].fd};
		}
	}
	if (f->nends)
		qsort(f->ends, f->nends, sizeof(*f->ends), compare_ends);
	return 0;
}

const struct vu__end *vu__find_end(const struct vu__find *f, uint64_t inode)
{
	size_t low = 0, high = f->nends;

	/* The first of those that hold it. */
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (f->ends[mid].inode < inode)
			low = mid + 1;
		else
			high = mid;
	}
	return low < f->nends && f->ends[low].inode == inode ? &f->ends[low] : NULL;
}

/* --- shared eventfds --- */

static int compare_events(const void *a, const void *b)
{
	int64_t x = ((const struct vu__procfs_fd *)a)->event;
	int64_t y = ((const struct vu__procfs_fd *)b)->event;

	return (x > y) - (x < y);
}

/* Eventfds by id, one fd each; to be freed.  NULL: none, or no memory. */
static struct vu__procfs_fd *events_of(const struct vu__known *k, size_t *n)
{
	struct vu__procfs_fd *e = calloc(k->fds.n ? k->fds.n : 1, sizeof(*e));
	size_t count = 0, to = 0;

	*n = 0;
	if (!e)
		return NULL;
	for (size_t i = 0; i < k->fds.n; i++) {
		if (k->fds.fds[i].kind == VU__FD_EVENTFD && k->fds.fds[i].event >= 0)
			e[count++] = k->fds.fds[i];
	}
	if (count)
		qsort(e, count, sizeof(*e), compare_events);
	for (size_t i = 0; i < count; i++) {
		if (!i || e[i].event != e[i - 1].event)
			e[to++] = e[i];
	}
	*n = to;
	return e;
}

static bool add_event(struct vu__find *f, int64_t id, int backend_fd, int vmm_fd)
{
	struct vu__found *out = &f->out;

	if (out->nevents == f->events_room) {
		size_t room = f->events_room ? 2 * f->events_room : 64;
		struct vu__found_event *more =
			reallocarray(out->events, room, sizeof(*more));

		if (!more)
			return false;
		out->events = more;
		f->events_room = room;
	}
	out->events[out->nevents++] =
		(struct vu__found_event){id, backend_fd, vmm_fd, VU__OBS_MAYBE};
	return true;
}

/* Adds those that both hold.  How many. */
static uint32_t share_events(struct vu__find *f, const struct vu__known *backend,
			     const struct vu__known *vmm)
{
	VU_CLEANUP_FREE struct vu__procfs_fd *a = NULL, *b = NULL;
	size_t na, nb, i = 0, j = 0;
	uint32_t n = 0;

	a = events_of(backend, &na);
	b = events_of(vmm, &nb);
	while (a && b && i < na && j < nb) {
		if (a[i].event < b[j].event)
			i++;
		else if (a[i].event > b[j].event)
			j++;
		else
			n += add_event(f, a[i].event, a[i].fd, b[j].fd), i++, j++;
	}
	return n;
}

/* --- links --- */

static bool is_vmm(const struct vu__known *k)
{
	return k->p.kvm || k->p.kind == VU__OBS_KIND_QEMU ||
	       k->p.kind == VU__OBS_KIND_CLOUD_HYPERVISOR ||
	       k->p.kind == VU__OBS_KIND_CROSVM;
}

static bool is_backend(const struct vu__known *k)
{
	return k->p.kind == VU__OBS_KIND_QSD || k->p.kind == VU__OBS_KIND_DPDK ||
	       k->p.kind == VU__OBS_KIND_SPDK || k->p.kind == VU__OBS_KIND_VIRTIOFSD;
}

/* Whether @a, which accepted the connection or did not, is the back-end; -1: neither. */
static int backend_is_first(const struct vu__known *a, bool a_accepted,
			    const struct vu__known *b)
{
	if (is_vmm(a) != is_vmm(b))
		return is_vmm(b);
	if (is_backend(a) != is_backend(b))
		return is_backend(a);
	/* Children inherit what a front-end and a back-end would share. */
	if (a->ppid == b->p.pid || b->ppid == a->p.pid || a->ppid == b->ppid)
		return -1;
	return a_accepted;
}

static struct vu__found_link *add_link(struct vu__find *f)
{
	struct vu__found *out = &f->out;

	if (out->nlinks == f->links_room) {
		size_t room = f->links_room ? 2 * f->links_room : 64;
		struct vu__found_link *more =
			reallocarray(out->links, room, sizeof(*more));

		if (!more)
			return NULL;
		out->links = more;
		f->links_room = room;
	}
	memset(&out->links[out->nlinks], 0, sizeof(*out->links));
	return &out->links[out->nlinks++];
}

/* The place of a process among those of interest. */
static uint32_t place_of(struct vu__find *f, struct vu__known *k)
{
	if (k->index < 0) {
		k->index = f->out.nprocs;
		f->out.procs[f->out.nprocs++] = &k->p;
	}
	return k->index;
}

static bool offers(const struct vu__known *k, const char *path)
{
	return path[0] && k->p.cmdline &&
	       vu__find_offers(k->p.kind, k->p.cmdline, k->p.cmdline_len, path);
}

static void link_pair(struct vu__find *f, const struct vu__end *a,
		      const struct vu__end *b, const char *path, bool a_accepted)
{
	struct vu__known *ka = f->known[a->known], *kb = f->known[b->known];
	int first = backend_is_first(ka, a_accepted, kb);
	uint32_t first_event = f->out.nevents, n;
	struct vu__found_link *l;

	if (first < 0 || ka == kb)
		return;
	n = first ? share_events(f, ka, kb) : share_events(f, kb, ka);
	/* While the machine is paused they share nothing, but the socket is the right
	 * one. */
	l = n || offers(first ? ka : kb, path) ? add_link(f) : NULL;
	if (!l)
		return;
	(first ? ka : kb)->p.roles |= VU__OBS_BACKEND;
	(first ? kb : ka)->p.roles |= VU__OBS_VMM;
	l->backend = place_of(f, first ? ka : kb);
	l->vmm = place_of(f, first ? kb : ka);
	l->inode = first ? a->inode : b->inode;
	l->peer_inode = first ? b->inode : a->inode;
	l->qmp_device = -1;
	l->first_event = first_event;
	l->nevents = n;
	snprintf(l->path, sizeof(l->path), "%s", path);
}

/* A connection whose two ends are in processes of interest. */
static void link_end(struct vu__find *f, const struct vu__end *a)
{
	const struct vu__unix_entry *sa = vu__unix_find(&f->socks, a->inode), *sb;
	const struct vu__end *b;

	if (!sa || !sa->s.stream || !sa->s.connected || !sa->peer || sa->peer < a->inode)
		return;
	sb = vu__unix_find(&f->socks, sa->peer);
	for (b = vu__find_end(f, sa->peer);
	     b && b < f->ends + f->nends && b->inode == sa->peer; b++)
		link_pair(f, a, b,
			  sa->s.path[0] ? sa->s.path
			  : sb		? sb->s.path
					: "",
			  sa->s.path[0]);
}

/* Without the kernel's word on peers: who was there when it was connected. */
static void link_by_pid(struct vu__find *f, const struct vu__end *a)
{
	const struct vu__unix_entry *sa = vu__unix_find(&f->socks, a->inode);
	const struct vu__known *ka = f->known[a->known];
	pid_t peer;

	if (!sa || !sa->s.stream || !sa->s.connected || !sa->s.path[0] || is_vmm(ka))
		return;
	peer = vu__procfs_peer(ka->p.pid, a->fd);
	for (size_t i = 0; peer > 0 && i < f->nknown; i++) {
		struct vu__end b = {.known = i};

		if (f->known[i]->p.pid == peer && f->known[i]->candidate)
			link_pair(f, a, &b, sa->s.path, true);
	}
}

static bool has_link(const struct vu__found *out, const struct vu__found_proc *p,
		     const char *path)
{
	for (size_t i = 0; i < out->nlinks; i++) {
		if (out->procs[out->links[i].backend] == p &&
		    !strcmp(out->links[i].path, path))
			return true;
	}
	return false;
}

/* A back-end's socket that nobody is connected to. */
static void link_listener(struct vu__find *f, const struct vu__end *a)
{
	const struct vu__unix_entry *s = vu__unix_find(&f->socks, a->inode);
	struct vu__known *k = f->known[a->known];
	struct vu__found_link *l;

	if (!s || !s->s.stream || !s->s.listening || !offers(k, s->s.path) ||
	    has_link(&f->out, &k->p, s->s.path))
		return;
	l = add_link(f);
	if (!l)
		return;
	k->p.roles |= VU__OBS_BACKEND;
	l->backend = place_of(f, k);
	l->vmm = -1;
	l->qmp_device = -1;
	l->inode = a->inode;
	snprintf(l->path, sizeof(l->path), "%s", s->s.path);
}

static int compare_links(const void *a, const void *b)
{
	const struct vu__found_link *x = a, *y = b;

	if (x->backend != y->backend)
		return x->backend < y->backend ? -1 : 1;
	return (x->inode > y->inode) - (x->inode < y->inode);
}

/*
 * The channel for a back-end's own requests is a second connection between the same
 * two, without a name and made after the first.
 */
static void drop_channels(struct vu__found *out)
{
	size_t to = 0;

	for (size_t i = 0; i < out->nlinks; i++) {
		const struct vu__found_link *l = &out->links[i];
		bool second = false;

		for (size_t j = 0; j < out->nlinks && !l->path[0]; j++) {
			const struct vu__found_link *o = &out->links[j];

			second =
				second || (o->backend == l->backend && o->vmm == l->vmm &&
					   (o->path[0] || o->inode < l->inode));
		}
		/* Those behind have not been moved yet, those before stay as they are. */
		if (!second)
			out->links[to++] = *l;
	}
	out->nlinks = to;
}

static void mark_shared(struct vu__found *out)
{
	for (size_t i = 0; i < out->nlinks; i++) {
		for (size_t j = 0; j < out->nlinks; j++) {
			if (i != j && out->links[i].backend == out->links[j].backend &&
			    out->links[i].vmm == out->links[j].vmm)
				out->links[i].shared = true;
		}
	}
}

static int link_all(struct vu__find *f)
{
	release_found(&f->out);
	f->events_room = f->links_room = 0;
	f->out.procs = calloc(f->nknown ? f->nknown : 1, sizeof(*f->out.procs));
	if (!f->out.procs)
		return -ENOMEM;
	for (size_t i = 0; i < f->nends; i++) {
		if (f->socks.peers)
			link_end(f, &f->ends[i]);
		else if (f->proc.real)
			link_by_pid(f, &f->ends[i]);
	}
	for (size_t i = 0; i < f->nends; i++)
		link_listener(f, &f->ends[i]);
	if (f->out.nlinks)
		qsort(f->out.links, f->out.nlinks, sizeof(*f->out.links), compare_links);
	drop_channels(&f->out);
	mark_shared(&f->out);
	for (size_t i = 0; i < f->nknown; i++)
		f->out.hidden += f->known[i]->hidden;
	if (f->out.hidden)
		snprintf(f->out.trouble, sizeof(f->out.trouble),
			 "the file descriptors of %u processes may not be seen: that "
			 "needs "
			 "CAP_SYS_PTRACE",
			 f->out.hidden);
	return 0;
}

int vu__find_look(struct vu__find *f, int budget_ms, const struct vu__found **out)
{
	int ret = look_at_all(f);

	if (!ret)
		ret = collect_ends(f);
	if (ret)
		return ret;
	vu__unix_release(&f->socks);
	ret = vu__unix_table(&f->proc, 0, &f->socks);
	if (!ret)
		ret = link_all(f);
	if (ret)
		return ret;
	vu__find_watched(f);
	vu__find_ask_monitors(f, budget_ms);
	*out = &f->out;
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is asked about the processes that were found to be connected: which eventfds a
 * back-end waits for, and what a machine's monitor says.  One thread at a time.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "observe/findimpl.h"

#define ASK_EVERY_MS   10000
#define RETRY_FIRST_MS 3000
#define RETRY_LAST_MS  60000
#define ASK_TIMEOUT_MS 600

static struct vu__known *known_of(struct vu__found_proc *p)
{
	return (struct vu__known *)((char *)p - offsetof(struct vu__known, p));
}

/* --- which eventfds are waited for --- */

static bool is_watched(const struct vu__known *k, int64_t id)
{
	for (size_t i = 0; i < k->nwatched; i++) {
		if (k->watched[i] == id)
			return true;
	}
	return false;
}

static void watch(struct vu__known *k, int fd)
{
	for (size_t i = 0; i < k->fds.n; i++) {
		const struct vu__procfs_fd *e = &k->fds.fds[i];
		int64_t *more;

		if (e->fd != fd || e->kind != VU__FD_EVENTFD || e->event < 0 ||
		    is_watched(k, e->event))
			continue;
		more = reallocarray(k->watched, k->nwatched + 1, sizeof(*more));
		if (!more)
			return;
		k->watched = more;
		k->watched[k->nwatched++] = e->event;
	}
}

static void watch_all(struct vu__known *k, const int *fds, ssize_t n)
{
	k->seen = k->seen || n > 0;
	for (ssize_t i = 0; i < n && i < (ssize_t)VU__PROCFS_MAX_FDS; i++)
		watch(k, fds[i]);
}

/* A thread that happens to run now was seen asleep before, or will be. */
static void look_at_threads(struct vu__find *f, struct vu__known *k, int *fds)
{
	VU_CLEANUP_FREE pid_t *tids = NULL;
	ssize_t n = vu__procfs_tids(&f->proc, k->p.pid, &tids);

	for (ssize_t i = 0; i < n; i++) {
		struct vu__obs_worker w;

		if (!vu__procfs_worker(&f->proc, k->p.pid, tids[i], &w))
			watch_all(k, fds,
				  vu__procfs_worker_fds(&f->proc, k->p.pid, &w, fds,
							VU__PROCFS_MAX_FDS));
	}
}

void vu__find_watched(struct vu__find *f)
{
	VU_CLEANUP_FREE int *fds = calloc(VU__PROCFS_MAX_FDS, sizeof(*fds));
	int64_t last = -1;

	for (size_t i = 0; fds && i < f->out.nlinks; i++) {
		struct vu__found_link *l = &f->out.links[i];
		struct vu__known *k = known_of(f->out.procs[l->backend]);

		if (l->backend != last) {
			k->seen = false;
			for (size_t j = 0; j < k->fds.n; j++) {
				if (k->fds.fds[j].kind == VU__FD_EPOLL)
					watch_all(k, fds,
						  vu__procfs_epoll(&f->proc, k->p.pid,
								   k->fds.fds[j].fd, fds,
								   VU__PROCFS_MAX_FDS));
			}
			look_at_threads(f, k, fds);
		}
		last = l->backend;
		l->seen = k->seen;
		for (uint32_t e = 0; e < l->nevents; e++) {
			struct vu__found_event *event =
				&f->out.events[l->first_event + e];

			event->watched =
				is_watched(k, event->id) ? VU__OBS_YES : VU__OBS_NO;
		}
	}
}

/* --- monitors --- */

/* Who holds the other end of a connection to @path of @k; 0: nobody, -1: it is not known.
 */
static pid_t holder_of(const struct vu__find *f, const struct vu__known *k,
		       const char *path, const char **comm)
{
	for (size_t i = 0; i < k->fds.n; i++) {
		const struct vu__unix_entry *s = NULL;
		const struct vu__end *end;

		if (k->fds.fds[i].kind == VU__FD_SOCKET)
			s = vu__unix_find(&f->socks, k->fds.fds[i].inode);
		if (!s || !s->s.connected || strcmp(s->s.path, path))
			continue;
		end = s->peer ? vu__find_end(f, s->peer) : NULL;
		*comm = end ? f->known[end->known]->p.comm : "";
		return end ? f->known[end->known]->p.pid : -1;
	}
	return 0;
}

/* The path of a socket that was given as a descriptor. */
static bool path_of_fd(const struct vu__find *f, const struct vu__known *k, int fd,
		       char *out, size_t size)
{
	for (size_t i = 0; i < k->fds.n; i++) {
		const struct vu__unix_entry *s;

		if (k->fds.fds[i].fd != fd || k->fds.fds[i].kind != VU__FD_SOCKET)
			continue;
		s = vu__unix_find(&f->socks, k->fds.fds[i].inode);
		if (!s || !s->s.listening || s->s.path[0] != '/')
			return false;
		snprintf(out, size, "%s", s->s.path);
		return true;
	}
	return false;
}

/* A machine may have a file system and a working directory of its own. */
static int ask_at(struct vu__known *k, const char *path, int timeout_ms)
{
	struct vu__qmp_vm vm;
	char full[256];
	int ret;

	snprintf(full, sizeof(full), "/proc/%d/%s/%s", k->p.pid,
		 path[0] == '/' ? "root" : "cwd", path[0] == '/' ? path + 1 : path);
	ret = vu__qmp_ask(full, timeout_ms, &vm, k->p.qmp_trouble,
			  sizeof(k->p.qmp_trouble));
	if (ret)
		return ret;
	vu__qmp_release(&k->p.vm);
	k->p.vm = vm;
	k->p.qmp_known = true;
	if (vm.name[0])
		memcpy(k->p.vm_name, vm.name, sizeof(k->p.vm_name));
	return 0;
}

static void say_busy(struct vu__known *k, pid_t holder, const char *comm)
{
	static const char one[] = "its monitor serves one client at a time";

	if (holder > 0)
		snprintf(k->p.qmp_trouble, sizeof(k->p.qmp_trouble),
			 "%s: %s (pid %d) is it", one, comm, holder);
	else
		snprintf(k->p.qmp_trouble, sizeof(k->p.qmp_trouble), "%s, and has one",
			 one);
}

/* Tries the monitors of a machine in turn. */
static int ask(const struct vu__find *f, struct vu__known *k, int timeout_ms)
{
	char path[sizeof(k->p.qmp_socket)];
	const char *comm;
	int fd, ret = -ENOENT;
	pid_t holder;

	snprintf(k->p.qmp_trouble, sizeof(k->p.qmp_trouble),
		 "has no monitor to ask (-qmp unix:PATH,server=on,wait=off)");
	for (unsigned int i = 0; ret && vu__find_monitor(k->p.cmdline, k->p.cmdline_len,
							 i, path, sizeof(path), &fd);
	     i++) {
		if (!path[0] && !path_of_fd(f, k, fd, path, sizeof(path)))
			continue;
		memcpy(k->p.qmp_socket, path, sizeof(path));
		holder = holder_of(f, k, path, &comm);
		if (holder) {
			say_busy(k, holder, comm);
			ret = -EBUSY;
			continue;
		}
		ret = ask_at(k, path, timeout_ms);
	}
	return ret;
}

static bool is_due(const struct vu__known *k)
{
	return k->p.kind == VU__OBS_KIND_QEMU && k->p.roles & VU__OBS_VMM &&
	       vu__now_ms() >= k->ask_at;
}

static void match_devices(struct vu__found *out);

void vu__find_ask_monitors(struct vu__find *f, int budget_ms)
{
	int64_t deadline = vu__now_ms() + budget_ms;

	for (size_t i = 0; i < f->out.nprocs; i++) {
		struct vu__known *k = known_of(f->out.procs[i]);
		int64_t left = deadline - vu__now_ms();

		if (left <= 0)
			break;
		if (!is_due(k))
			continue;
		if (!ask(f, k, VU_MIN(left, (int64_t)ASK_TIMEOUT_MS))) {
			k->failures = 0;
			k->ask_at = vu__now_ms() + ASK_EVERY_MS;
		} else {
			int64_t wait = (int64_t)RETRY_FIRST_MS << VU_MIN(k->failures, 8u);

			k->failures++;
			k->ask_at = vu__now_ms() + VU_MIN(wait, (int64_t)RETRY_LAST_MS);
		}
	}
	match_devices(&f->out);
}

void vu__find_ask_again(struct vu__find *f, pid_t pid)
{
	for (size_t i = 0; i < f->nknown; i++) {
		/* One that does not answer is not asked more often for that. */
		if (f->known[i]->p.pid == pid && !f->known[i]->failures)
			f->known[i]->ask_at = 0;
	}
}

/* --- which of a machine's devices is behind which connection --- */

static bool device_path(const struct vu__found_proc *vmm, const struct vu__qmp_device *d,
			char *out, size_t size)
{
	char chardev[64];

	snprintf(chardev, sizeof(chardev), "%s", d->chardev);
	if (!chardev[0] &&
	    (!d->netdev[0] ||
	     !vu__find_netdev_chardev(vmm->cmdline, vmm->cmdline_len, d->netdev, chardev,
				      sizeof(chardev))))
		return false;
	return vu__find_chardev_path(vmm->cmdline, vmm->cmdline_len, chardev, out, size);
}

static int32_t match_by_path(const struct vu__found_proc *vmm,
			     const struct vu__found_link *l)
{
	char path[128];

	for (uint32_t i = 0; i < vmm->vm.ndevs; i++) {
		const struct vu__qmp_device *d = &vmm->vm.devs[i];

		if (device_path(vmm, d, path, sizeof(path)) &&
		    vu__find_same_path(path, l->path))
			return i;
	}
	return -1;
}

/* The only device that could be, of the only connection there is. */
static int32_t match_alone(const struct vu__found *out, const struct vu__found_link *l)
{
	const struct vu__found_proc *vmm = out->procs[l->vmm];
	int32_t found = -1;

	for (size_t i = 0; i < out->nlinks; i++) {
		if (&out->links[i] != l && out->links[i].vmm == l->vmm)
			return -1;
	}
	for (uint32_t i = 0; i < vmm->vm.ndevs; i++) {
		/* A network device without a chardev may be the kernel's. */
		if ((!vmm->vm.devs[i].vhost && !vmm->vm.devs[i].netdev[0]) ||
		    (vmm->vm.devs[i].netdev[0] &&
		     !memmem(vmm->cmdline, vmm->cmdline_len, "vhost-user,", 11)))
			continue;
		if (found >= 0)
			return -1;
		found = i;
	}
	return found;
}

static void match_devices(struct vu__found *out)
{
	for (size_t i = 0; i < out->nlinks; i++) {
		struct vu__found_link *l = &out->links[i];

		if (l->vmm < 0 || !out->procs[l->vmm]->qmp_known)
			continue;
		l->qmp_device = match_by_path(out->procs[l->vmm], l);
		if (l->qmp_device < 0)
			l->qmp_device = match_alone(out, l);
	}
}

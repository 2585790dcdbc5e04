/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is who on this host: back-ends, machine monitors, and the connections between
 * them.
 *
 * libvu's back-ends say where they are, in the run directory.  Others are found by what
 * they share: two processes at the ends of a Unix stream socket that hold the same
 * eventfds are a front-end and a back-end; which is which, their programs tell, or KVM's
 * file descriptors.
 */
#ifndef VU_OBSERVE_FIND_H
#define VU_OBSERVE_FIND_H

#include "observe/model.h"
#include "observe/proc.h"
#include "observe/qmp.h"

/* An eventfd that both ends of a connection hold. */
struct vu__found_event {
	int64_t id;
	int backend_fd, vmm_fd;
	enum vu__obs_tri watched; /* the back-end waits for it: a kick */
};

/* A process of interest. */
struct vu__found_proc {
	pid_t pid;
	uint64_t start_time;
	uid_t uid;
	enum vu__obs_kind kind;
	uint8_t roles; /* VU__OBS_BACKEND, VU__OBS_VMM */
	bool kvm;
	char comm[VU__PROCFS_COMM];
	size_t cmdline_len;
	char *cmdline; /* zero-separated */
	char trouble[160];
	/* Of a VMM. */
	char vm_name[64];
	char qmp_socket[108];
	char qmp_trouble[96];
	bool qmp_known; /* vm is of use */
	struct vu__qmp_vm vm;
};

/* A vhost-user connection, or a socket that waits for one. */
struct vu__found_link {
	uint32_t backend; /* index into procs */
	int32_t vmm;	  /* ...; -1: nobody is connected */
	uint64_t inode;	  /* the back-end's end; or its listening socket */
	uint64_t peer_inode;
	char path[108];
	int32_t qmp_device;	       /* index into the VMM's; -1 not known */
	uint32_t first_event, nevents; /* those of both processes, by id */
	bool seen; /* what the back-end waits for was: a busy one does not wait */
	bool shared; /* they have other connections: whose the events are, is not known */
};

struct vu__found {
	size_t nprocs, nlinks, nevents;
	struct vu__found_proc **procs; /* by pid */
	struct vu__found_link *links;  /* by back-end, inode */
	struct vu__found_event *events;
	unsigned int hidden; /* processes whose fds may not be seen */
	char trouble[160];   /* "" */
};

struct vu__find;

/* @root: of /proc, NULL for the real one.  NULL and errno. */
struct vu__find *vu__find_new(const char *root);
void vu__find_free(struct vu__find *f);

/*
 * Looks at the host.  @budget_ms: for all monitors together; those that took too long
 * are left alone for a while.  *@out: valid until the next call.  0 or -errno.
 */
VU_MUST_CHECK int vu__find_look(struct vu__find *f, int budget_ms,
				const struct vu__found **out);

/* Asks the monitor of machine @pid at the next look: what it said seems not to hold. */
void vu__find_ask_again(struct vu__find *f, pid_t pid);

/* What a program called @exe, with this command line, is. */
VU_MUST_CHECK enum vu__obs_kind vu__find_kind(const char *exe, const char *cmdline,
					      size_t len);

/*
 * The monitor socket of a QEMU, from its command line: a path, into @out.  @nth: which
 * of several, from 0.  *@fd: -1, or what it was started with instead of a path.
 */
bool vu__find_monitor(const char *cmdline, size_t len, unsigned int nth, char *out,
		      size_t size, int *fd);

/* Its machine's name. */
void vu__find_vm_name(const char *cmdline, size_t len, char *out, size_t size);

/* The path of character device @id, or of network back-end @netdev's, of a QEMU. */
bool vu__find_chardev_path(const char *cmdline, size_t len, const char *id, char *out,
			   size_t size);
bool vu__find_netdev_chardev(const char *cmdline, size_t len, const char *netdev,
			     char *out, size_t size);

/* Whether a back-end of this kind and command line offers vhost-user at @path. */
bool vu__find_offers(enum vu__obs_kind kind, const char *cmdline, size_t len,
		     const char *path);

/* Whether @a, as one process named it, may be @b, as another did. */
bool vu__find_same_path(const char *a, const char *b);

/* --- segments in run directories --- */

struct vu__found_segment {
	char dir[128];
	char name[64];
	pid_t pid;
	unsigned int number;
};

/*
 * Telemetry files in @dir (NULL: the run directory), sorted by pid and number; *@out to
 * be freed.  How many; -ENOENT: there is no such folder; -errno.
 */
ssize_t vu__find_segments(const char *dir, struct vu__found_segment **out);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is connected to whom, and what libvu's back-ends tell.  The main thread. */
#include "worldimpl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libvu/telemetry.h"
#include "observe/find.h"

/* --- sockets --- */

/* Who has a socket open. */
struct holder {
	uint64_t inode;
	uint32_t tgid;
	int fd;
};

static void find_holders(struct world *w, struct list *holders)
{
	const struct found_proc *procs = w->procs.at;

	for (size_t i = 0; i < w->procs.n; i++) {
		struct vu__procfs_fds fds;

		if (vu__procfs_fds(&w->proc, procs[i].tgid, 1U << VU__FD_SOCKET, &fds))
			continue;
		for (size_t j = 0; j < fds.n; j++) {
			struct holder *h = world_append(holders, sizeof(*h));

			if (!h)
				break;
			*h = (struct holder){fds.fds[j].inode, procs[i].tgid, fds.fds[j].fd};
		}
		vu__procfs_fds_release(&fds);
	}
}

static void add_link(struct world *w, uint32_t server, uint32_t client, const char *path)
{
	struct found_link *l = world_append(&w->links, sizeof(*l));

	if (!l)
		return;
	l->server = server;
	l->client = client;
	memcpy(l->path, path, sizeof(l->path));
}

/*
 * The accepted end @e, of @a, has the listener's path; its other end is somebody's.
 * Where the kernel does not tell whose, the socket itself does: who connected it.
 */
static void find_peer(struct world *w, const struct list *holders, bool peers,
		      const struct holder *a, const struct vu__unix_entry *e)
{
	if (!peers) {
		pid_t peer = e->s.connected ? vu__procfs_peer(a->tgid, a->fd) : -1;

		if (peer > 0 && (uint32_t)peer != a->tgid)
			add_link(w, a->tgid, peer, e->s.path);
		return;
	}
	for (size_t i = 0; e->peer && i < holders->n; i++) {
		const struct holder *b = (struct holder *)holders->at + i;

		if (b->inode == e->peer && b->tgid != a->tgid)
			add_link(w, a->tgid, b->tgid, e->s.path);
	}
}

void world_find_links(struct world *w)
{
	struct list holders = {0};
	struct vu__unix_table table;

	w->links.n = 0;
	if (vu__unix_table(&w->proc, 0, &table))
		return;
	find_holders(w, &holders);
	for (size_t i = 0; i < holders.n; i++) {
		const struct holder *a = (struct holder *)holders.at + i;
		const struct vu__unix_entry *e = vu__unix_find(&table, a->inode);

		if (e && e->s.path[0] && !e->s.listening)
			find_peer(w, &holders, table.peers, a, e);
	}
	free(holders.at);
	vu__unix_release(&table);
}

/* --- telemetry --- */

static void add_told(struct world *w, const struct vu_telemetry *t,
		     const struct vu_telemetry_device *d, unsigned int queue)
{
	const struct vu_telemetry_header *h = vu_telemetry_header(t);
	struct vu_telemetry_queue q;

	if (vu_telemetry_queue(t, queue, &q) || q.torn)
		return;
	for (uint8_t role = ROLE_KICK; role <= ROLE_ERR; role++) {
		int64_t id = role == ROLE_KICK   ? q.config.kick_id
			     : role == ROLE_CALL ? q.config.call_id
						 : q.config.err_id;
		struct found_fact *f;

		if (id < 0 || id > INT32_MAX || w->facts.n >= MAX_FACTS)
			continue;
		f = world_append(&w->facts, sizeof(*f));
		if (!f)
			return;
		*f = (struct found_fact){.backend = h->pid,
					 .device = h->number,
					 .id = id,
					 .role = role,
					 .source = SRC_TELEMETRY,
					 .index = queue};
		/* A longer name's beginning will do. */
		snprintf(f->name, sizeof(f->name), "%.63s",
			 d->block.socket[0] ? d->block.socket : d->block.name);
	}
}

void world_find_told(struct world *w)
{
	struct found_fact *facts = w->facts.at;
	struct vu__found_segment *list = NULL;
	ssize_t n = vu__find_segments(NULL, &list);
	size_t kept = 0;

	for (size_t i = 0; i < w->facts.n; i++) {
		if (facts[i].source == SRC_MESSAGE)
			facts[kept++] = facts[i];
	}
	w->facts.n = kept;
	for (ssize_t i = 0; i < n; i++) {
		struct vu_telemetry_device d;
		struct vu_telemetry *t;
		char path[256];

		snprintf(path, sizeof(path), "%s/%s", list[i].dir, list[i].name);
		if (vu_telemetry_open(path, &t, NULL, 0))
			continue;
		vu_telemetry_device(t, &d);
		if (vu_telemetry_process(t) != VU_TELEMETRY_DEAD && !d.torn)
			for (unsigned int q = 0; q < vu_telemetry_header(t)->queues; q++)
				add_told(w, t, &d, q);
		vu_telemetry_close(t);
	}
	free(list);
}

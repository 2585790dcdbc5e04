/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The descriptors of a device, for the one that takes it over.  Control thread. */
#include <errno.h>

#include "base/sys.h"
#include "state/give.h"
#include "state/memfile.h"
#include "state/swap.h"

#define DATA_MAX 4096u /* of a state in the offer itself */

#define KIND(name) VU__CONTROL__FILES__KIND__##name

static void add(struct vu__give *g, Vu__Control__Files__Kind kind, unsigned int index, int fd)
{
	if (fd >= 0)
		g->files[g->nfiles++] = (struct vu__give_file){kind, index, fd};
}

static unsigned int queue_files(const VuVirtq *vq, unsigned int i, struct vu__give_file *to)
{
	const struct vu__give_file all[] = {
		{KIND(KICK), i, vq->kick_fd},
		{KIND(CALL), i, vq->call_fd},
		{KIND(ERR), i, vq->err_fd},
	};
	unsigned int n = 0;

	for (unsigned int k = 0; k < VU_ARRAY_SIZE(all); k++) {
		if (all[k].fd >= 0)
			to[n++] = all[k];
	}
	return n;
}

int vu__give_list_files(struct vu__dev *d, struct vu__give *g)
{
	const VuDev *dev = d->pub;

	g->files = vu__sys.calloc(6 + d->map->n + 3u * dev->max_queues, sizeof(*g->files));
	if (!g->files)
		return -ENOMEM;
	add(g, KIND(SOCKET), 0, dev->sock);
	add(g, KIND(LISTENER), 0, vu__find_listener(dev->sock));
	add(g, KIND(CHANNEL), 0, dev->backend_fd);
	for (unsigned int i = 0; i < d->map->n; i++)
		add(g, KIND(REGION), i, d->map->regions[i]->fd);
	for (unsigned int i = 0; i < dev->max_queues; i++) {
		g->fd_epochs[i] = d->queues[i].fd_epoch;
		g->nfiles += queue_files(&dev->vq[i], i, &g->files[g->nfiles]);
	}
	if (d->log)
		add(g, KIND(LOG), 0, d->log->fd);
	add(g, KIND(LOG_CALL), 0, dev->log_call_fd);
	if (d->inflight)
		add(g, KIND(INFLIGHT), 0, d->inflight->fd);
	return 0;
}

static int send_some(struct vu__give *g, unsigned int n)
{
	Vu__Control__Handover m = VU__CONTROL__HANDOVER__INIT;
	Vu__Control__Files files = VU__CONTROL__FILES__INIT;
	Vu__Control__Files__File all[VU__HANDOVER_FDS], *list[VU__HANDOVER_FDS];
	int fds[VU__HANDOVER_FDS];

	for (unsigned int i = 0; i < n; i++) {
		const struct vu__give_file *f = &g->files[g->sent + i];

		vu__control__files__file__init(&all[i]);
		all[i].kind = f->kind;
		all[i].index = f->index;
		list[i] = &all[i];
		fds[i] = f->fd;
	}
	files.files = list;
	files.n_files = n;
	m.what_case = VU__CONTROL__HANDOVER__WHAT_FILES;
	m.files = &files;
	return vu__handover_send(g->chan, &m, fds, n);
}

int vu__give_send_files(struct vu__give *g)
{
	while (g->sent < g->nfiles) {
		unsigned int n = VU_MIN(g->nfiles - g->sent, VU__HANDOVER_FDS);
		int ret = send_some(g, n);

		/* The kernel limits what is under way, in bytes and in descriptors. */
		if (ret == -EAGAIN || ret == -ETOOMANYREFS)
			return 0;
		/* One that does not want them has said why, which is there to be read. */
		if (ret == -EPIPE || ret == -ECONNRESET)
			return 0;
		if (ret)
			return ret;
		g->sent += n;
	}
	return 1;
}

int vu__give_changed_files(struct vu__dev *d, const struct vu__give *g,
			   struct vu__give_file list[VU__HANDOVER_FDS])
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		if (d->queues[i].fd_epoch == g->fd_epochs[i])
			continue;
		/* One place stays for the device's state. */
		if (n + 3 > VU__HANDOVER_FDS - 1)
			return -E2BIG;
		n += queue_files(&d->pub->vq[i], i, &list[n]);
	}
	return n;
}

int vu__give_add_state(const struct vu__give *g, Vu__Control__Offer *offer, int *fd)
{
	uint64_t bytes;
	int ret;

	if (!g->snap.blob.present)
		return 0;
	if (g->takes_data && g->snap.blob.len && g->snap.blob.len <= DATA_MAX) {
		offer->data = (ProtobufCBinaryData){g->snap.blob.len, g->snap.blob.data};
		return 0;
	}
	ret = vu__memfile_write(&g->snap, &bytes);
	if (ret < 0)
		return ret;
	*fd = ret;
	offer->state = true;
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A live device as a struct vu__snap.  Control thread. */
#include "state/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <time.h>

#include "base/sys.h"
#include "core/packed.h"
#include "core/split.h"

#define COPY_TEXT(to, from) snprintf(to, sizeof(to), "%s", from)

/* --- files --- */

static void describe_file(int fd, struct vu__snap_file *f)
{
	char link[32];
	struct statfs fs;
	struct stat st;
	ssize_t n;
	int seals;

	if (fd < 0 || fstat(fd, &st))
		return;
	f->device = st.st_dev;
	f->inode = st.st_ino;
	f->size = st.st_size;
	f->page_size = fstatfs(fd, &fs) ? 0 : (uint64_t)fs.f_bsize;
	seals = fcntl(fd, F_GET_SEALS);
	f->seals = seals < 0 ? 0 : seals;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, f->name, sizeof(f->name) - 1);
	f->name[n < 0 ? 0 : n] = '\0';
}

/* A number behind @label in what the kernel says of an fd; 0 if it does not. */
static uint64_t info_number(const char *text, const char *label)
{
	const char *at = strstr(text, label);

	return at ? strtoull(at + strlen(label), NULL, 16) : 0;
}

static void describe_eventfd(int fd, struct vu__snap_notifier *n)
{
	VU_CLEANUP_FD int info = -1;
	char text[256];
	ssize_t len;

	n->present = fd >= 0;
	n->eventfd_id = 0;
	n->count = 0;
	if (fd < 0)
		return;
	snprintf(text, sizeof(text), "/proc/self/fdinfo/%d", fd);
	info = open(text, O_RDONLY | O_CLOEXEC);
	len = info < 0 ? -1 : read(info, text, sizeof(text) - 1);
	if (len < 0)
		return;
	text[len] = '\0';
	/* The count is in hexadecimal, the id in decimal digits. */
	n->count = info_number(text, "eventfd-count:");
	if (strstr(text, "eventfd-id:"))
		n->eventfd_id = strtoull(strstr(text, "eventfd-id:") + 11, NULL, 10);
}

/* --- inventory and device --- */

static void make_id(char id[33])
{
	uint8_t bytes[16];

	if (getrandom(bytes, sizeof(bytes), GRND_NONBLOCK) != sizeof(bytes))
		memset(bytes, 0, sizeof(bytes));
	for (int i = 0; i < 16; i++)
		snprintf(id + 2 * i, 3, "%02x", bytes[i]);
}

static void describe_inventory(struct vu__snap *s)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	COPY_TEXT(s->inventory.writer, "libvu");
	COPY_TEXT(s->inventory.version, vu_version());
	make_id(s->inventory.id);
	s->inventory.time_ns = (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	if (gethostname(s->inventory.host, sizeof(s->inventory.host) - 1))
		s->inventory.host[0] = '\0';
	s->inventory.pid = getpid();
	COPY_TEXT(s->inventory.program, program_invocation_short_name);
	s->inventory.page_size = sysconf(_SC_PAGESIZE);
	s->inventory.big_endian = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
}

const char *vu__snapshot_name(const struct vu__dev *d)
{
	return d->ext.state_name ? d->ext.state_name : program_invocation_short_name;
}

unsigned int vu__snapshot_config(struct vu__dev *d, uint8_t to[VU__SNAP_CONFIG_MAX])
{
	const VuDevIface *iface = d->pub->iface;
	unsigned int len = iface->get_config ? VU__SNAP_CONFIG_MAX : 0;

	/* A device may refuse to give more than it has, and that is not known otherwise. */
	for (; len; len -= 4) {
		memset(to, 0, VU__SNAP_CONFIG_MAX);
		if (!iface->get_config(d->pub, to, len))
			break;
	}
	return len;
}

void vu__snapshot_socket(int sock, char *path, size_t size)
{
	struct sockaddr_un addr = {.sun_family = AF_UNSPEC};
	socklen_t len = sizeof(addr), head = offsetof(struct sockaddr_un, sun_path);

	path[0] = '\0';
	if (getsockname(sock, (struct sockaddr *)&addr, &len) || addr.sun_family != AF_UNIX ||
	    len <= head)
		return;
	snprintf(path, size, "%.*s", (int)(len - head), addr.sun_path);
}

static void describe_device(struct vu__dev *d, struct vu__snap *s)
{
	VuDev *dev = d->pub;

	COPY_TEXT(s->device.name, vu__snapshot_name(d));
	s->device.features = dev->features;
	s->device.protocol_features = dev->protocol_features;
	s->device.offered_features = vu__offered_features(d);
	s->device.offered_protocol_features = vu__offered_protocol_features(d);
	s->device.max_queues = dev->max_queues;
	s->device.config_len = vu__snapshot_config(d, s->device.config);
	pthread_mutex_lock(&dev->backend_mutex);
	s->device.has_channel = dev->backend_fd >= 0;
	pthread_mutex_unlock(&dev->backend_mutex);
	vu__snapshot_socket(dev->sock, s->device.socket, sizeof(s->device.socket));
	s->device.log_reply_size = d->log_reply_size;
}

static int describe_memory(struct vu__dev *d, struct vu__snap *s)
{
	s->regions = vu__sys.calloc(d->map->n + 1, sizeof(*s->regions));
	if (!s->regions)
		return -ENOMEM;
	s->nregions = d->map->n;
	for (unsigned int i = 0; i < d->map->n; i++) {
		const struct vu__region *r = d->map->regions[i];

		s->regions[i].gpa = r->desc.gpa;
		s->regions[i].size = r->desc.size;
		s->regions[i].uaddr = r->desc.uaddr;
		s->regions[i].file_offset = r->desc.mmap_offset;
		describe_file(r->fd, &s->regions[i].file);
	}
	return 0;
}

static void describe_shared(struct vu__dev *d, struct vu__snap *s)
{
	if (d->inflight) {
		s->inflight.present = true;
		s->inflight.size = d->inflight->size;
		s->inflight.file_offset = d->inflight->offset;
		s->inflight.queues = d->inflight->queues;
		s->inflight.queue_size = d->inflight->queue_size;
		describe_file(d->inflight->fd, &s->inflight.file);
	}
	if (d->log) {
		s->log.present = true;
		s->log.size = d->log->size;
		s->log.file_offset = d->log->offset;
		s->log.data = d->log_data;
		describe_file(d->log->fd, &s->log.file);
	}
}

/* Something has been said of it. */
static bool is_set_up(const struct vu__queue *q)
{
	const VuVirtq *vq = q->ring.vq;

	return vq->vring.num || q->has_addr || vq->started || vq->enable || vq->call_fd >= 0 ||
	       vq->err_fd >= 0 || vq->last_avail_idx;
}

void vu__snapshot_set_up(struct vu__dev *d, struct vu__snap *s)
{
	for (uint32_t i = 0; i < s->nqueues; i++) {
		free(s->queues[i].heads);
		free(s->queues[i].descs);
	}
	s->nqueues = 0;
	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		struct vu__snap_queue *to = &s->queues[s->nqueues];
		const VuVirtq *vq = &d->pub->vq[i];

		if (!is_set_up(&d->queues[i]))
			continue;
		memset(to, 0, sizeof(*to));
		to->index = i;
		to->kick.present = vq->kick_fd >= 0;
		to->call.present = vq->call_fd >= 0;
		to->err.present = vq->err_fd >= 0;
		s->nqueues++;
	}
}

int vu__snapshot_describe(struct vu__dev *d, struct vu__snap *s)
{
	int ret;

	memset(s, 0, sizeof(*s));
	describe_inventory(s);
	describe_device(d, s);
	ret = describe_memory(d, s);
	s->queues = vu__sys.calloc(d->pub->max_queues, sizeof(*s->queues));
	if (ret || !s->queues)
		return -ENOMEM;
	describe_shared(d, s);
	vu__snapshot_set_up(d, s);
	for (uint32_t i = 0; i < s->nqueues; i++) {
		struct vu__snap_queue *to = &s->queues[i];
		const VuVirtq *vq = &d->pub->vq[to->index];

		describe_eventfd(vq->kick_fd, &to->kick);
		describe_eventfd(vq->call_fd, &to->call);
		describe_eventfd(vq->err_fd, &to->err);
	}
	return 0;
}

/* --- queues --- */

/* Heads in flight, the one popped last first; those of an earlier back-end come last. */
static unsigned int collect_heads(const struct vu__ring *r, uint16_t *heads)
{
	const VuVirtq *vq = r->vq;
	uint64_t seen[VU__SNAP_RING_MAX / 64] = {0};
	unsigned int n = 0;

	for (unsigned int i = 1; i <= vq->vring.num; i++) {
		uint16_t head = r->popped[(uint16_t)(vq->last_avail_idx - i) & r->mask];

		if (head == VU__NO_HEAD || !r->head_gen[head] ||
		    vu__has_bit(seen[head / 64], head % 64))
			continue;
		seen[head / 64] |= VU_BIT(head % 64);
		heads[n++] = head;
	}
	for (unsigned int head = 0; head < vq->vring.num; head++) {
		if (r->head_gen[head] && !vu__has_bit(seen[head / 64], head % 64))
			heads[n++] = head;
	}
	return n;
}

/* The same of a packed ring, whose order of popping is in r->popped, in turns. */
static unsigned int collect_packed(const struct vu__ring *r, uint16_t *heads)
{
	const struct vu__packed *p = &r->packed;
	uint64_t seen[VU__SNAP_RING_MAX / 64] = {0};
	unsigned int num = r->vq->vring.num, n = 0;

	for (unsigned int i = 1; i <= num; i++) {
		uint16_t head = r->popped[(p->turn + num - i) % num];

		if (head == VU__NO_HEAD || !r->head_gen[head] ||
		    vu__has_bit(seen[head / 64], head % 64))
			continue;
		seen[head / 64] |= VU_BIT(head % 64);
		heads[n++] = head;
	}
	for (unsigned int head = 0; head < num; head++) {
		if (r->head_gen[head] && !vu__has_bit(seen[head / 64], head % 64))
			heads[n++] = head;
	}
	return n;
}

/* Puts what is in flight of a packed ring in place of its entries: ids, and the chains. */
static int take_chains(const struct vu__ring *r, struct vu__snap_queue *q)
{
	const struct vu__packed *p = &r->packed;

	q->descs = vu__sys.calloc(r->vq->vring.num, sizeof(*q->descs));
	if (!q->descs)
		return -ENOMEM;
	for (uint32_t i = 0; i < q->nheads; i++) {
		uint16_t head = q->heads[i], at = head;

		for (unsigned int k = 0; k < p->chains[head].num; k++) {
			const struct vring_desc *d = &p->kept[at];

			q->descs[q->ndescs++] = (struct vu__snap_desc){
				le64toh(d->addr), le32toh(d->len), le16toh(d->flags), 0};
			at = le16toh(d->next);
		}
		q->heads[i] = p->chains[head].id;
	}
	return 0;
}

static int take_heads(const struct vu__ring *r, struct vu__snap_queue *q)
{
	unsigned int n;

	free(vu__steal_ptr(&q->heads));
	free(vu__steal_ptr(&q->descs));
	q->nheads = 0;
	q->ndescs = 0;
	if (!r->can_push || !r->vq->inuse)
		return 0;
	q->heads = vu__sys.calloc(r->vq->vring.num, sizeof(*q->heads));
	if (!q->heads)
		return -ENOMEM;
	n = r->is_packed ? collect_packed(r, q->heads) : collect_heads(r, q->heads);
	for (unsigned int i = 0; i < n / 2; i++) {
		uint16_t head = q->heads[i];

		q->heads[i] = q->heads[n - 1 - i];
		q->heads[n - 1 - i] = head;
	}
	q->nheads = n;
	return r->is_packed ? take_chains(r, q) : 0;
}

/*
 * The event suppression structures stand in for what a split ring has of that; and
 * whether there is something to pop, as that is all that costs no walk.
 */
static void see_packed(const struct vu__packed *p, struct vu__snap_queue *q)
{
	uint32_t driver = vu__packed_event(p->driver), device = vu__packed_event(p->device);
	const struct vring_packed_desc *next = &p->desc[vu__packed_slot(p->avail)];

	q->seen.avail_index = vu__packed_available(vu__packed_flags(next), p->avail);
	q->seen.avail_flags = driver >> 16;
	q->seen.used_flags = device >> 16;
	q->seen.used_event = driver;
	q->seen.avail_event = device;
}

static void take_seen(const struct vu__ring *r, struct vu__snap_queue *q)
{
	const VuRing *v = &r->vq->vring;

	q->seen.present = r->can_push;
	if (!r->can_push)
		return;
	if (r->is_packed) {
		see_packed(&r->packed, q);
		return;
	}
	q->seen.avail_index = vu__split_avail_idx(v->avail);
	q->seen.avail_flags = vu__split_avail_flags(v->avail);
	q->seen.used_index = vu__split_used_idx(v->used);
	q->seen.used_flags = vu__split_used_flags(v->used);
	if (!r->event_idx)
		return;
	q->seen.used_event = vu__split_used_event(v->avail, v->num);
	q->seen.avail_event = vu__split_avail_event(v->used, v->num);
}

static int take_queue(struct vu__queue *from, struct vu__snap_queue *q)
{
	const struct vu__ring *r = &from->ring;
	const VuVirtq *vq = r->vq;
	const VuDevIface *iface = from->dev->pub->iface;

	q->size = vq->vring.num;
	q->started = vq->started;
	q->enabled = vq->enable;
	q->has_addresses = from->has_addr;
	q->descriptors = from->has_addr ? vq->vra.desc_user_addr : 0;
	q->driver = from->has_addr ? vq->vra.avail_user_addr : 0;
	q->device = from->has_addr ? vq->vra.used_user_addr : 0;
	q->log = from->has_addr ? vq->vra.log_guest_addr : 0;
	q->flags = from->has_addr ? vq->vra.flags : 0;
	q->packed = vu__queue_is_packed(from);
	q->last_avail = q->packed ? vu__packed_slot(vq->last_avail_idx) : vq->last_avail_idx;
	q->used = q->packed ? vu__packed_slot(vq->used_idx) : vq->used_idx;
	q->avail_wrap = q->packed && vq->last_avail_idx & VU__PACKED_WRAP;
	q->used_wrap = q->packed && vq->used_idx & VU__PACKED_WRAP;
	q->signalled_used = vq->signalled_used;
	q->signalled_used_valid = vq->signalled_used_valid;
	q->notification = vq->notification;
	q->in_order = iface->queue_is_processed_in_order &&
		      iface->queue_is_processed_in_order(from->dev->pub, q->index);
	COPY_TEXT(q->broken, r->broken);
	take_seen(r, q);
	return take_heads(r, q);
}

int vu__snapshot_queues(struct vu__dev *d, struct vu__snap *s)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < s->nqueues; i++) {
		struct vu__queue *q = &d->queues[s->queues[i].index];
		bool live = q->ring.can_push;

		if (live)
			vu__queue_quiesce(q);
		ret = take_queue(q, &s->queues[i]);
		if (live)
			vu__queue_resume(q);
	}
	return ret;
}

int vu__snapshot_blob(struct vu__dev *d, struct vu__snap *s)
{
	void *data = NULL;
	size_t len = 0;
	int ret;

	if (!d->ext.state_name || !d->ext.save_state)
		return 0;
	ret = d->ext.save_state(d->pub, &data, &len);
	if (ret)
		return vu__refuse(d, ret, "the device cannot save its state: %s", strerror(-ret));
	s->blob.present = true;
	COPY_TEXT(s->blob.name, d->ext.state_name);
	s->blob.version = d->ext.state_version;
	s->blob.data = data;
	s->blob.len = len;
	if (len > VU__SNAP_BLOB_MAX)
		return vu__refuse(d, -EFBIG, "a state of %zu bytes", len);
	return 0;
}

bool vu__snapshot_can_hold(struct vu__dev *d, char *why, size_t why_size)
{
	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		const VuVirtq *vq = &d->pub->vq[i];

		if (!vq->started || vq->handler || (d->ext.quiesce && d->ext.resume))
			continue;
		snprintf(why, why_size, "queue %u is served by a thread that the device does not "
			 "let the library keep out (quiesce, resume)", i);
		return false;
	}
	return true;
}

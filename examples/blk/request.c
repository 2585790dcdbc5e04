/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver's requests: virtio 1.2 "Block Device", "Device Operation".
 *
 * A request is one element: a header the device reads, data either way, a status byte
 * the device writes.  The driver may cut that into buffers as it likes.  Everything in
 * the buffers is the guest's and may change under us: what is decided upon is copied
 * first.  Queue's thread.
 */
#include "blk/blk.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/falloc.h>

struct request {
	VuVirtqElement elem; /* first: vu_queue_pop() makes the whole */
	struct queue *q;
	uint8_t *status; /* in the guest; NULL if there is no room for one */
	struct iovec *data;
	unsigned int ndata;
	uint64_t bytes;	   /* of data or of zeroes, yet to be done */
	uint64_t offset;   /* in the image, of the rest */
	uint32_t in_bytes; /* of data written to the guest */
	uint32_t type;
	struct virtio_blk_discard_write_zeroes *segs; /* ours */
	unsigned int nsegs, seg;
	bool writing; /* zeroes, because the file system cannot make them */
	bool syncing; /* the last step of zeroes without a write cache */
};

#define ZEROES (1u << 20) /* bytes written at once */

/* --- iovecs: the element's own, taken apart in place --- */

static uint64_t iov_bytes(const struct iovec *iov, unsigned int n)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

/* Drops @len bytes from the front; false if there are fewer. */
static bool iov_skip(struct iovec **iov, unsigned int *n, uint64_t len)
{
	while (len) {
		uint64_t here;

		if (!*n)
			return false;
		here = (*iov)->iov_len < len ? (*iov)->iov_len : len;
		(*iov)->iov_base = (char *)(*iov)->iov_base + here;
		(*iov)->iov_len -= here;
		len -= here;
		if (!(*iov)->iov_len) {
			++*iov;
			--*n;
		}
	}
	return true;
}

/* Copies @len bytes out and drops them. */
static bool iov_take(struct iovec **iov, unsigned int *n, void *to, uint64_t len)
{
	while (len) {
		uint64_t here;

		if (!*n)
			return false;
		here = (*iov)->iov_len < len ? (*iov)->iov_len : len;
		memcpy(to, (*iov)->iov_base, here);
		to = (char *)to + here;
		len -= here;
		if (!iov_skip(iov, n, here))
			return false;
	}
	return true;
}

static uint64_t iov_fill(struct iovec *iov, unsigned int n, const char *from, uint64_t len)
{
	uint64_t done = 0;

	for (unsigned int i = 0; i < n && done < len; i++) {
		uint64_t here = iov[i].iov_len < len - done ? iov[i].iov_len : len - done;

		memcpy(iov[i].iov_base, from + done, here);
		done += here;
	}
	return done;
}

/* --- the end of a request --- */

/* Puts it into the used ring; the driver sees it at the next show(). */
static void finish(struct request *r, uint8_t status)
{
	struct queue *q = r->q;
	VuDev *dev = &q->blk->dev;

	if (r->status)
		*r->status = status;
	if (!r->status || status != VIRTIO_BLK_S_OK)
		vu_queue_failed(dev, &dev->vq[q->idx], 1);
	vu_queue_fill(dev, &dev->vq[q->idx], &r->elem, r->in_bytes + !!r->status, q->filled);
	q->filled++;
	free(r->segs);
	free(r);
}

static void show(struct queue *q)
{
	VuDev *dev = &q->blk->dev;

	if (!q->filled)
		return;
	vu_queue_flush(dev, &dev->vq[q->idx], q->filled);
	q->filled = 0;
	vu_queue_notify(dev, &dev->vq[q->idx]);
}

static uint8_t status_of(int err)
{
	return err ? err == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR :
		     VIRTIO_BLK_S_OK;
}

/* --- the file --- */

static struct io_uring_sqe *get_sqe(struct queue *q)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&q->ring);

	/* There are as many places as requests in flight: submitting makes room. */
	while (!sqe && io_uring_submit(&q->ring) >= 0)
		sqe = io_uring_get_sqe(&q->ring);
	return sqe;
}

static bool aligned(const struct request *r, unsigned int align)
{
	if (r->offset % align)
		return false;
	for (unsigned int i = 0; i < r->ndata; i++) {
		if ((uintptr_t)r->data[i].iov_base % align || r->data[i].iov_len % align)
			return false;
	}
	return true;
}

/* The guest aligns as it likes; what direct I/O would refuse goes through the cache. */
static int file_for(const struct request *r)
{
	struct image *im = &r->q->blk->image;

	if (im->direct_fd >= 0 && aligned(r, im->align))
		return im->direct_fd;
	if (r->type == VIRTIO_BLK_T_OUT)
		__atomic_store_n(&im->cached, true, __ATOMIC_RELAXED);
	return im->fd;
}

static bool start_transfer(struct request *r)
{
	struct io_uring_sqe *sqe = get_sqe(r->q);
	bool through = !__atomic_load_n(&r->q->blk->writeback, __ATOMIC_RELAXED);

	if (!sqe)
		return false;
	if (r->type == VIRTIO_BLK_T_IN) {
		io_uring_prep_readv(sqe, file_for(r), r->data, r->ndata, r->offset);
	} else {
		io_uring_prep_writev(sqe, file_for(r), r->data, r->ndata, r->offset);
		sqe->rw_flags = through ? RWF_DSYNC : 0;
	}
	io_uring_sqe_set_data(sqe, r);
	return true;
}

static bool start_flush(struct request *r)
{
	struct io_uring_sqe *sqe = get_sqe(r->q);

	if (!sqe)
		return false;
	io_uring_prep_fsync(sqe, r->q->blk->image.fd, IORING_FSYNC_DATASYNC);
	io_uring_sqe_set_data(sqe, r);
	return true;
}

static bool start_segment(struct request *r)
{
	static const char zeroes[ZEROES];
	const struct virtio_blk_discard_write_zeroes *s = &r->segs[r->seg];
	bool unmap = r->type == VIRTIO_BLK_T_DISCARD ||
		     s->flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	struct io_uring_sqe *sqe = get_sqe(r->q);
	int fd = r->q->blk->image.fd;

	if (!sqe)
		return false;
	if (r->writing) {
		__atomic_store_n(&r->q->blk->image.cached, true, __ATOMIC_RELAXED);
		io_uring_prep_write(sqe, fd, zeroes, r->bytes < ZEROES ? r->bytes : ZEROES,
				    r->offset);
	} else {
		io_uring_prep_fallocate(sqe, fd,
					FALLOC_FL_KEEP_SIZE | (unmap ? FALLOC_FL_PUNCH_HOLE :
								       FALLOC_FL_ZERO_RANGE),
					s->sector << SECTOR_SHIFT,
					(uint64_t)s->num_sectors << SECTOR_SHIFT);
	}
	io_uring_sqe_set_data(sqe, r);
	return true;
}

/* Not at all, or not in units as small as these. */
static bool cannot(int res)
{
	return res == -EOPNOTSUPP || res == -EINVAL;
}

/*
 * What comes after a step that went well: zeroes to be written still, the next segment,
 * what makes them safe.  False if nothing does.
 */
static bool next_step(struct request *r, bool (**start)(struct request *r))
{
	*start = start_segment;
	if (r->writing && r->bytes)
		return true;
	r->writing = false;
	if (++r->seg < r->nsegs)
		return true;
	*start = start_flush;
	r->syncing = r->type == VIRTIO_BLK_T_WRITE_ZEROES &&
		     !__atomic_load_n(&r->q->blk->writeback, __ATOMIC_RELAXED);
	return r->syncing;
}

/* A segment has come back with @res.  True if the request is over, with *@err. */
static bool segment_done(struct request *r, int res, int *err)
{
	const struct virtio_blk_discard_write_zeroes *s = &r->segs[r->seg];
	bool (*start)(struct request *r) = start_segment;

	*err = 0;
	if (r->syncing) {
		*err = res < 0 ? res : 0;
		return true;
	}
	/* A discard is a hint; zeroes are a promise. */
	if (cannot(res) && r->type == VIRTIO_BLK_T_DISCARD)
		res = 0;
	if (cannot(res) && !r->writing) {
		r->writing = true;
		r->offset = s->sector << SECTOR_SHIFT;
		r->bytes = (uint64_t)s->num_sectors << SECTOR_SHIFT;
	} else if (res < 0 || (r->writing && !res)) {
		*err = res ? res : -EIO;
		return true;
	} else {
		r->offset += res;
		r->bytes -= r->writing ? res : 0;
		if (!next_step(r, &start))
			return true;
	}
	if (start(r))
		return false;
	*err = -EIO;
	return true;
}

/* Data has been moved, perhaps not all.  True if the request is over. */
static bool transfer_done(struct request *r, int res, int *err)
{
	*err = 0;
	if (res == -EAGAIN || res == -EINTR) {
		res = 0;
	} else if (res <= 0) {
		/* Nothing to read where the image says there is: it was cut. */
		*err = res ? res : -EIO;
		return true;
	}
	if (r->type == VIRTIO_BLK_T_IN)
		r->in_bytes += res;
	r->offset += res;
	r->bytes -= res;
	if (!r->bytes || !iov_skip(&r->data, &r->ndata, res))
		return true;
	if (start_transfer(r))
		return false;
	*err = -EIO;
	return true;
}

static bool op_done(struct request *r, int res, int *err)
{
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		return transfer_done(r, res, err);
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return segment_done(r, res, err);
	default:
		*err = res < 0 ? res : 0;
		return true;
	}
}

/* --- the beginning: each returns -EINPROGRESS, or how it ended --- */

static int begin(struct request *r, bool (*start)(struct request *r))
{
	if (!start(r))
		return -EIO;
	r->q->inflight++;
	return -EINPROGRESS;
}

static bool sectors_ok(const struct blk *b, uint64_t sector, uint64_t count)
{
	uint64_t capacity = le64toh(b->config.capacity);

	return sector <= capacity && count <= capacity - sector;
}

static int begin_transfer(struct request *r, uint64_t sector)
{
	struct blk *b = r->q->blk;

	if (r->type == VIRTIO_BLK_T_OUT && b->image.read_only)
		return -EROFS;
	r->bytes = iov_bytes(r->data, r->ndata);
	if (!r->bytes || r->bytes % SECTOR_SIZE ||
	    !sectors_ok(b, sector, r->bytes >> SECTOR_SHIFT))
		return -EINVAL;
	r->offset = sector << SECTOR_SHIFT;
	return begin(r, start_transfer);
}

static int check_segment(const struct request *r, struct virtio_blk_discard_write_zeroes *s)
{
	s->sector = le64toh(s->sector);
	s->num_sectors = le32toh(s->num_sectors);
	s->flags = le32toh(s->flags);
	if (s->flags & ~VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP)
		return -EOPNOTSUPP;
	if (r->type == VIRTIO_BLK_T_DISCARD && s->flags)
		return -EOPNOTSUPP;
	if (!s->num_sectors || s->num_sectors > DISCARD_MAX ||
	    !sectors_ok(r->q->blk, s->sector, s->num_sectors))
		return -EINVAL;
	return 0;
}

static int begin_segments(struct request *r)
{
	uint64_t bytes = iov_bytes(r->data, r->ndata);

	if (r->q->blk->image.read_only)
		return -EROFS;
	if (!bytes || bytes % sizeof(*r->segs) || bytes / sizeof(*r->segs) > DISCARD_SEGS)
		return -EINVAL;
	r->nsegs = bytes / sizeof(*r->segs);
	r->segs = malloc(bytes);
	if (!r->segs)
		return -ENOMEM;
	if (!iov_take(&r->data, &r->ndata, r->segs, bytes))
		return -EINVAL;
	for (unsigned int i = 0; i < r->nsegs; i++) {
		int err = check_segment(r, &r->segs[i]);

		if (err)
			return err;
	}
	return begin(r, start_segment);
}

static int give_id(struct request *r)
{
	char id[SERIAL_SIZE] = {0};
	const char *serial = r->q->blk->opt->serial;

	memcpy(id, serial, strnlen(serial, sizeof(id)));
	r->in_bytes = iov_fill(r->data, r->ndata, id, sizeof(id));
	return 0;
}

static int dispatch(struct request *r, uint64_t sector)
{
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		return begin_transfer(r, sector);
	case VIRTIO_BLK_T_FLUSH:
		return begin(r, start_flush);
	case VIRTIO_BLK_T_GET_ID:
		return give_id(r);
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return begin_segments(r);
	default:
		return -EOPNOTSUPP;
	}
}

/* The last byte the driver gave us to write is the status; cuts it off. */
static void cut_status(struct request *r)
{
	VuVirtqElement *e = &r->elem;
	struct iovec *last;

	if (!e->in_num)
		return;
	last = &e->in_sg[e->in_num - 1];
	last->iov_len--;
	r->status = (uint8_t *)last->iov_base + last->iov_len;
	if (!last->iov_len)
		e->in_num--;
}

static void begin_request(struct queue *q, struct request *r)
{
	struct virtio_blk_outhdr header;
	struct iovec *out = r->elem.out_sg;
	unsigned int nout = r->elem.out_num;
	int err = -EINVAL;

	r->q = q;
	r->status = NULL;
	r->segs = NULL;
	r->nsegs = 0;
	r->seg = 0;
	r->writing = r->syncing = false;
	r->in_bytes = 0;
	cut_status(r);
	if (r->status && iov_take(&out, &nout, &header, sizeof(header))) {
		r->type = le32toh(header.type);
		r->data = out;
		r->ndata = nout;
		if (r->type == VIRTIO_BLK_T_IN || r->type == VIRTIO_BLK_T_GET_ID) {
			r->data = r->elem.in_sg;
			r->ndata = r->elem.in_num;
		}
		err = dispatch(r, le64toh(header.sector));
	}
	if (err != -EINPROGRESS)
		finish(r, status_of(err));
}

/* --- what queue.c calls --- */

/* What the kernel does not take now, for want of memory, is tried again soon. */
static void submit(struct queue *q)
{
	uint64_t one = 1;

	if (io_uring_submit(&q->ring) < 0 && write(q->ring_event, &one, sizeof(one)) < 0)
		say("queue %d: %s", q->idx, strerror(errno));
}

static void serve_available(struct queue *q)
{
	VuDev *dev = &q->blk->dev;
	VuVirtq *vq = &dev->vq[q->idx];
	struct request *r;

	while (q->inflight < q->blk->opt->depth &&
	       (r = vu_queue_pop(dev, vq, sizeof(*r))))
		begin_request(q, r);
	submit(q);
	show(q);
}

void requests_serve(struct queue *q)
{
	VuDev *dev = &q->blk->dev;
	VuVirtq *vq = &dev->vq[q->idx];

	if (!vu_queue_enabled(dev, vq))
		return;
	do {
		vu_queue_set_notification(dev, vq, 0);
		serve_available(q);
		vu_queue_set_notification(dev, vq, 1);
		/* What came before the driver saw that we want kicks again. */
	} while (q->inflight < q->blk->opt->depth && !vu_queue_empty(dev, vq));
}

/* It was cancelled, or there would be more to do. */
static bool interrupted(const struct request *r, int res)
{
	if (res == -ECANCELED || res == -EINTR)
		return true;
	if (r->type == VIRTIO_BLK_T_IN || r->type == VIRTIO_BLK_T_OUT ||
	    (r->writing && r->seg + 1 == r->nsegs))
		return res >= 0 && (uint64_t)res < r->bytes;
	return r->nsegs && res >= 0 && r->seg + 1 < r->nsegs;
}

/* The next back-end does it again from the start, which does no harm. */
static void give_up(struct request *r)
{
	VuDev *dev = &r->q->blk->dev;

	vu_queue_abandon(dev, &dev->vq[r->q->idx], &r->elem);
	free(r->segs);
	free(r);
}

static void complete(struct queue *q, struct io_uring_cqe *cqe)
{
	struct request *r = io_uring_cqe_get_data(cqe);
	int res = cqe->res, err;

	io_uring_cqe_seen(&q->ring, cqe);
	/* The answer to a cancel. */
	if (!r)
		return;
	if (q->cancelling && interrupted(r, res)) {
		q->inflight--;
		give_up(r);
		return;
	}
	if (!op_done(r, res, &err))
		return;
	q->inflight--;
	finish(r, status_of(err));
}

void requests_complete(struct queue *q, bool wait_for_all)
{
	struct io_uring_cqe *cqe;

	while (io_uring_peek_cqe(&q->ring, &cqe) == 0)
		complete(q, cqe);
	submit(q);
	while (wait_for_all && q->inflight) {
		int ret = io_uring_submit_and_wait(&q->ring, 1);

		if (ret < 0 && ret != -EINTR && ret != -EAGAIN && ret != -EBUSY) {
			say("queue %d: waiting for %u requests: %s", q->idx, q->inflight,
			    strerror(-ret));
			break;
		}
		while (io_uring_peek_cqe(&q->ring, &cqe) == 0)
			complete(q, cqe);
	}
	show(q);
}

void requests_cancel(struct queue *q)
{
	struct io_uring_sqe *sqe = get_sqe(q);

	q->cancelling = true;
	/* A kernel that cannot cancel all at once completes them instead. */
	if (sqe) {
		io_uring_prep_cancel(sqe, NULL, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
		io_uring_sqe_set_data(sqe, NULL);
		io_uring_submit(&q->ring);
	}
}

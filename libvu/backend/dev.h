/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device behind its public face.
 *
 * What the peer decides (memory, features, fds) is true here and mirrored into VuDev in
 * dev.c; ring indices live in VuVirtq itself.  All of it belongs to the control thread,
 * except what the comments say.
 */
#ifndef VU_BACKEND_DEV_H
#define VU_BACKEND_DEV_H

#include "core/dirtylog.h"
#include "core/inflight.h"
#include "core/memmap.h"
#include "core/postcopy.h"
#include "core/ring.h"
#include "core/telemetry.h"
#include "libvu/ext.h"
#include "wire/sock.h"

#define VU__MAX_QUEUES	256
#define VU__MAX_REGIONS 512
#define VU__SERVICES_MAX 2

/* What a handler of a request says besides -errno. */
enum {
	VU__DONE = 0,	  /* an ack, if it is asked for */
	VU__REPLY = 1,	  /* the answer is in the message */
	VU__DEFERRED = 2, /* the answer comes later */
};

struct vu__dev;

/* A queue: the ring, and what is not looked at for every element. */
struct vu__queue {
	struct vu__ring ring;
	struct vu__dev *dev;
	/*
	 * The fd number that call eventfds are moved onto.  It stays open until the
	 * queue is given up, so that a thread which is about to signal it never hits
	 * a file that is not the queue's.  err_slot likewise.
	 */
	int call_slot;
	int err_slot;
	bool call_any; /* the call eventfd is none: vu__event_signal_any() */
	bool kick_any; /* likewise */
	bool watched;  /* the kick eventfd is in the event loop */
	bool has_addr; /* vq->vra was set */
	bool has_base; /* the front-end has said where to begin, or it has begun */
	bool told;     /* ... was told where the ring is, and it has not begun since */
	uint16_t told_avail;
	bool stopping; /* GET_VRING_BASE waits for what is in flight */
	bool suspending; /* ... which is handed over */
	bool hushed;	 /* calls wait for the end of a hold: vu__hold_speak() */
	uint32_t stop_request;
	uint64_t fd_epoch;
	unsigned int kept_out; /* how often vu__queue_quiesce() was called without resume */
};

/* A device's state on its way through a pipe. */
struct vu__transfer {
	int fd; /* -1: there is none on its way */
	bool load;
	bool watched;
	uint8_t *data;
	size_t len;  /* to be saved; room for what is loaded */
	size_t done; /* of those */
	int result;  /* of the last one: 0 or -errno */
};

enum vu__can_postcopy { VU__POSTCOPY_UNKNOWN, VU__POSTCOPY_NO, VU__POSTCOPY_YES };

/* What an image says that the front-end's queues will be like. */
struct vu__expect_queue {
	bool waits; /* for the front-end to start it */
	uint32_t num;
	uint16_t used, last_avail;
	const uint16_t *heads; /* in flight */
	uint32_t nheads;
	/* A packed ring's: puts their chains into @p, and where they are into @heads. */
	void (*put_back)(struct vu__packed *p, uint16_t *heads, const void *opaque);
	const void *opaque;
};

struct vu__expect {
	const char *id;
	uint64_t features;
	bool begun; /* some queue was started: the image is not the latest word any more */
	struct vu__expect_queue queues[VU__MAX_QUEUES];
};

struct vu__dev {
	VuDev *pub;
	vu_read_msg_cb read_msg;
	struct vu__msg in; /* the message at hand, or as much of it as has arrived */
	struct vu__arrival arrival;
	struct vu_ext_ops ext;
	struct vu__memmap *map;
	struct vu__queue *queues;
	struct vu__log *log;
	struct vu__log **shadow;  /* a queue's own each, while log is not used; or NULL */
	bool log_data;		  /* LOG_ALL */
	bool logging;		  /* both, as last told */
	pthread_mutex_t log_lock; /* over those two and the log's eventfd */
	unsigned int log_reply_size;
	struct vu__inflight_area *inflight;
	struct vu__transfer transfer;
	pthread_t control; /* the thread inside vu_dispatch(), if in_dispatch */
	bool in_dispatch;
	/* Queues whose GET_VRING_BASE has not been answered, in the order asked. */
	uint16_t stopping[VU__MAX_QUEUES];
	unsigned int nstopping;
	int drained_fd;	 /* eventfd: a stopping queue has nothing in flight */
	int drain_timer; /* timerfd */
	unsigned int drain_ms;
	struct vu__postcopy postcopy;
	enum vu__can_postcopy can_postcopy;
	/* A memory table that nobody may use before the front-end has acknowledged it. */
	struct vu__memmap *next_map;
	bool next_by_regions; /* made by ADD_MEM_REG, not by SET_MEM_TABLE */
	struct vu__telemetry *telemetry;
	unsigned int number;	 /* in this process: names its files */
	pthread_t shown_control; /* whose thread id is shown */
	bool hurry;		 /* kicks, calls, what is shown of eventfds: the caller's, later */
	/* Nothing is popped: hold.c.  Told when nothing is in flight any more. */
	bool held;
	void (*on_held_drained)(void *opaque);
	void *held_opaque;
	struct vu__expect *expect; /* NULL unless an image was restored */
	/* Counts requests that changed more than queues; q->fd_epoch a queue's eventfds. */
	uint64_t epoch;
	void *service_data[VU__SERVICES_MAX];
	char why[256]; /* why the request at hand was refused */
};

/*
 * What lives beside a device, from floors above this one: services.c at the top of the
 * library has them.  Each has its place in service_data.
 */
enum vu__dispatch { VU__DISPATCH, VU__DISPATCH_LATER, VU__DISPATCH_END };

struct vu__service {
	/* At the end of vu_init(); the event loop may not be there yet. */
	void (*begin)(struct vu__dev *d, void **data);
	/* Before vu_dispatch() reads a message: shall it? */
	enum vu__dispatch (*dispatch)(struct vu__dev *d, void *data);
	/* At the beginning of vu_stop_queues(): threads must not be kept out any more. */
	void (*stop)(struct vu__dev *d, void *data);
	/* At the beginning of vu_deinit(). */
	void (*end)(struct vu__dev *d, void *data);
};

extern const struct vu__service *const vu__services[]; /* up to NULL */

static inline struct vu__dev *vu__dev_of(const VuDev *dev)
{
	return dev->priv;
}

static inline struct vu__queue *vu__queue_of(const VuVirtq *vq)
{
	return vq->priv;
}

static inline int vu__queue_index(const struct vu__queue *q)
{
	return (int)(q - q->dev->queues);
}

static inline VuVirtq *vu__queue_pub(const struct vu__queue *q)
{
	return q->ring.vq;
}

static inline bool vu__dev_has(const struct vu__dev *d, unsigned int protocol_feature)
{
	return vu__has_bit(d->pub->protocol_features, protocol_feature);
}

/* Any thread: a queue's may be the one that breaks it. */
static inline bool vu__dev_broken(const VuDev *dev)
{
	return VU_UNLIKELY(__atomic_load_n(&dev->broken, __ATOMIC_RELAXED));
}

/* Records why a request is refused; returns @err, a negative errno. */
int vu__refuse(struct vu__dev *d, int err, const char *fmt, ...) VU_PRINTF(3, 4);

/* The connection cannot go on: marks it broken and calls the panic callback, once.
 * Any thread. */
void vu__dev_panic(struct vu__dev *d, const char *fmt, ...) VU_PRINTF(2, 3);

/* Stops every queue and forgets what is in flight; the connection goes on. */
void vu__dev_stop_queues(struct vu__dev *d);

/* Shows the memory map in the public structure. */
void vu__dev_mirror_regions(struct vu__dev *d);

/* --- queues' life: vring.c --- */

/*
 * Sets r->map and vq->vring from the addresses the front-end gave, in @map.  0 or
 * -errno with the reason recorded.  *@ring is only written on success.
 */
VU_MUST_CHECK int vu__queue_resolve(struct vu__queue *q, const struct vu__memmap *map,
				    VuRing *ring);

/* Whether its ring is a packed one. */
static inline bool vu__queue_is_packed(const struct vu__queue *q)
{
	return vu__has_bit(q->dev->pub->features, VU__F_RING_PACKED);
}

/* Where the queue is, as VHOST_USER_GET_VRING_BASE says it, and SET_VRING_BASE. */
uint32_t vu__queue_base(const struct vu__queue *q);
void vu__queue_set_base(struct vu__queue *q, uint32_t base);

/* Bytes of its used ring, with what follows the entries; of a packed ring's device area. */
uint64_t vu__queue_used_size(const struct vu__queue *q);

/* Starts a queue that has all it needs; a queue that has not just counts as started. */
VU_MUST_CHECK int vu__queue_start(struct vu__queue *q);

/* Tells the device to stop the queue; then nothing is popped.  Not yet the end. */
void vu__queue_begin_stop(struct vu__queue *q);

/* The end of a stop: forgets the ring and gives its kick eventfd back. */
void vu__queue_end_stop(struct vu__queue *q);

/* ... after which somebody else goes on: what the driver is to hear, it hears before. */
void vu__queue_hand_back(struct vu__queue *q);

/* Whether it has a ring that the driver has not broken. */
bool vu__queue_is_whole(struct vu__queue *q);

/* Another kick eventfd, -1 for none, for a queue that is whole and started; takes it. */
void vu__queue_replace_kick(struct vu__queue *q, int fd);

/*
 * Readies an fd that came as an eventfd.  As vu__event_kind(): 1 if it is none but can be
 * written to like one.
 */
VU_MUST_CHECK int vu__take_event(int fd);

/*
 * Starts the queue with its kick eventfd, -1 for none, which it takes; @kind as
 * vu__take_event() said.  0 or -errno.
 */
VU_MUST_CHECK int vu__queue_use_kick(struct vu__queue *q, int fd, int kind);

/* Makes the queue look at its ring although nobody has kicked. */
void vu__queue_kick_self(struct vu__queue *q);

/* Calls the driver although the device has not asked to. */
void vu__queue_call_self(struct vu__queue *q);

/* Calls the queue's handler, for @kicks signals of the driver's. */
void vu__queue_run_handler(struct vu__queue *q, uint64_t kicks);

/* Puts the kick eventfd into or out of the event loop, as handler and fd ask. */
void vu__queue_update_watch(struct vu__queue *q);

/* Keeps the queue's thread out of the library, if the device has such threads.  Nests. */
void vu__queue_quiesce(struct vu__queue *q);
void vu__queue_resume(struct vu__queue *q);

/* --- answering GET_VRING_BASE: drain.c --- */

/*
 * Answers @request now or when nothing is in flight any more; @skip: the device gives up
 * what it can, for the next back-end to do.  VU__DEFERRED or -errno.
 */
int vu__drain_begin(struct vu__dev *d, struct vu__queue *q, uint32_t request, bool skip);

/* Answers every pending one, whatever is in flight.  */
void vu__drain_force(struct vu__dev *d);

/* Releases the fds. */
void vu__drain_destroy(struct vu__dev *d);

/* Makes the eventfd that rings signal when they have drained.  0 or -errno. */
VU_MUST_CHECK int vu__drain_watch(struct vu__dev *d);

/* --- memory: req_memory.c --- */

/* Makes @map the device's, if every running ring is in it and the log has room for it. */
VU_MUST_CHECK int vu__memory_use(struct vu__dev *d, struct vu__memmap *map);

/* --- postcopy: req_postcopy.c --- */

/* Whether this host can do it.  Says why not, once. */
bool vu__postcopy_offered(struct vu__dev *d);

/* Whether a page that is touched may be missing.  Any thread. */
static inline bool vu__postcopy_listening(const VuDev *dev)
{
	return VU_UNLIKELY(__atomic_load_n(&dev->postcopy_listening, __ATOMIC_RELAXED));
}

/* Registers what is new in @map, which is used when the front-end acknowledges it. */
VU_MUST_CHECK int vu__postcopy_defer(struct vu__dev *d, struct vu__memmap *map,
				     bool by_regions);

/*
 * Sees every message first.  True, and *@ret is its result, if it acknowledges a memory
 * table, or may not come before that.
 */
bool vu__postcopy_filter(struct vu__dev *d, const struct vu__msg *m, int *ret);

/*
 * Pops an element of which all that the device reads has come, into @arena unless that is
 * NULL.  Queue's thread.
 */
void *vu__postcopy_pop(struct vu__queue *q, size_t size, struct vu__arena *arena);

/* The connection ends, perhaps too early for the memory: frees those who wait for it. */
void vu__postcopy_abandon(struct vu__dev *d);

/* ... which is reported, if vu_dispatch() finds it out. */
void vu__postcopy_cut_off(struct vu__dev *d);

/* --- holding queues: hold.c --- */

/*
 * From now on no queue pops anything, nor does one that is started later.  What is in
 * flight comes to its end; each time something has, @drained is called.  @hush: the driver
 * is not called for it until vu__hold_speak() or the end.  0 or -errno.
 */
VU_MUST_CHECK int vu__hold_begin(struct vu__dev *d, bool hush, void (*drained)(void *opaque),
				 void *opaque);

/* The driver is called for what it was not called for, and from now on as always. */
void vu__hold_speak(struct vu__dev *d);

/* What is in flight on all queues together, or yet to be taken up. */
unsigned int vu__hold_in_flight(struct vu__dev *d);

/* Queues go on, and look at their rings. */
void vu__hold_end(struct vu__dev *d);

/* A queue that is started while the device is held; its thread is kept out. */
void vu__hold_ring(struct vu__queue *q);

/* --- what a restored image says: expect.c --- */

/* 0; -EPROTO with the reason recorded if the image has other features. */
VU_MUST_CHECK int vu__expect_features(struct vu__dev *d, uint64_t features);

/*
 * Where a queue about to start with @ring goes on, and what it has in flight; @tracked:
 * an inflight region has said that already.  1; 0 if nothing was expected of it; -errno
 * with the reason recorded.
 */
VU_MUST_CHECK int vu__expect_resume(struct vu__queue *q, const VuRing *ring, bool tracked);

/* The driver begins anew: of queues that it has not started yet nothing is known any more. */
void vu__expect_lapse(struct vu__dev *d);

/* Takes a queue's kick eventfd out of the event loop, or puts it back. */
void vu__queue_unwatch(struct vu__queue *q);

/* --- features: req_feature.c --- */

uint64_t vu__offered_features(struct vu__dev *d);
uint64_t vu__offered_protocol_features(struct vu__dev *d);

/* --- the dirty log: req_log.c --- */

/* Tells every queue of the log, as features, log and eventfd are now. */
void vu__log_apply(struct vu__dev *d);

/*
 * Logs what each queue writes into a log of its own, while no front-end logs; takes the
 * array of max_queues of them.  0; -EBUSY, or -ENOSPC if there is no room in @logs, which
 * then stay the caller's.
 */
VU_MUST_CHECK int vu__log_shadow(struct vu__dev *d, struct vu__log **logs);
void vu__log_unshadow(struct vu__dev *d);

/* Ends it if the logs have no room for @map, or for what has become of the rings. */
void vu__log_check_shadow(struct vu__dev *d, const struct vu__memmap *map);

/* Whether @log, which may be NULL, has a bit for all of a map, of a used ring. */
VU_MUST_CHECK int vu__log_check_map(struct vu__dev *d, const struct vu__log *log,
				    const struct vu__memmap *map);
VU_MUST_CHECK int vu__log_check_ring(struct vu__queue *q, const struct vu__log *log);

/* Something was written that cannot be logged: ends the connection.  Any thread. */
void vu__log_too_short(struct vu__dev *d, const struct vu__log *log, uint64_t gpa,
		       uint64_t len);
void vu__log_release(struct vu__dev *d);

/* --- requests in flight: req_inflight.c --- */

/*
 * Finds out what the last back-end has left in flight of a queue about to start with
 * @ring.  Sets where it goes on, and whether the region knew.  0 or -errno with the
 * reason recorded.
 */
VU_MUST_CHECK int vu__inflight_resume(struct vu__queue *q, const VuRing *ring, bool *tracked);
VU_MUST_CHECK int vu__inflight_resume_packed(struct vu__queue *q, const VuRing *ring,
					     bool *tracked);

/* The device was reset: nothing is in flight any more. */
void vu__inflight_forget(struct vu__dev *d);
void vu__inflight_release(struct vu__dev *d);

/* --- the device's own state: req_state.c --- */

/* Whether the device can save and load its state, or says that it has none. */
bool vu__state_supported(const struct vu__dev *d);
void vu__state_release(struct vu__dev *d);

/* --- what is shown to tools: telemetry.c --- */

/* Makes the telemetry segment, and ends with it.  0 or -ENOMEM. */
VU_MUST_CHECK int vu__show_begin(struct vu__dev *d);
void vu__show_end(struct vu__dev *d);

/* Who is at the other end, again after a hand-over. */
void vu__show_connection(struct vu__dev *d);

/* Features and phase, memory, the end of the connection. */
void vu__show_device(struct vu__dev *d);
void vu__show_regions(struct vu__dev *d);
void vu__show_gone(struct vu__dev *d);
void vu__show_panic(struct vu__dev *d, const char *text);

/* A message; what it changed about queues too.  The first gives what the second takes. */
uint64_t vu__show_message_begin(struct vu__dev *d, const struct vu__msg *m);
void vu__show_message_end(struct vu__dev *d, uint32_t request, int queue, int result,
			  uint64_t began);

/* A queue's state, its eventfds when they are others, and what happens to it. */
void vu__show_queue(struct vu__queue *q);
void vu__show_eventfds(struct vu__queue *q);
void vu__show_start(struct vu__queue *q);
void vu__show_stop(struct vu__queue *q, int left);
void vu__show_enable(struct vu__queue *q);
void vu__show_break(struct vu__queue *q);

/* An event without a text into the black box; @queue -1: the device's. */
void vu__tell(struct vu__dev *d, enum vu_telemetry_event_kind kind, int queue, int result,
	      uint64_t value);

/* --- dispatch.c --- */

/* Sends an answer; a failure ends the connection.  0 or -errno. */
int vu__send_reply(struct vu__dev *d, struct vu__msg *m);

/* --- channel.c: requests of the back-end's own --- */

/*
 * Sends @m on the channel and, with REPLY_ACK and @wait, waits for the answer.
 * -ENOTCONN: there is no channel; -EREMOTEIO: the front-end refused; other -errno: the
 * channel is of no more use and was closed.  Any thread.
 */
int vu__channel_request(struct vu__dev *d, struct vu__msg *m, bool wait);

/* Replaces the channel; takes the fd.  -1 closes it. */
void vu__channel_set(struct vu__dev *d, int fd);

/* --- handlers of requests, by subject --- */

typedef int vu__handler(struct vu__dev *d, struct vu__msg *m);

vu__handler vu__req_get_features, vu__req_set_features, vu__req_set_owner,
	vu__req_reset_owner, vu__req_get_protocol_features, vu__req_set_protocol_features,
	vu__req_get_queue_num, vu__req_reset_device;
vu__handler vu__req_set_mem_table, vu__req_add_mem_reg, vu__req_rem_mem_reg,
	vu__req_get_max_mem_slots;
vu__handler vu__req_postcopy_advise, vu__req_postcopy_listen, vu__req_postcopy_end;
vu__handler vu__req_set_vring_num, vu__req_set_vring_addr, vu__req_set_vring_base,
	vu__req_get_vring_base, vu__req_skip_drain, vu__req_set_vring_kick, vu__req_set_vring_call,
	vu__req_set_vring_err, vu__req_set_vring_enable, vu__req_vring_kick;
vu__handler vu__req_set_log_base, vu__req_set_log_fd;
vu__handler vu__req_set_device_state_fd, vu__req_check_device_state;
vu__handler vu__req_get_inflight_fd, vu__req_set_inflight_fd;
vu__handler vu__req_get_config, vu__req_set_config, vu__req_set_backend_req_fd;

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a back-end may use beyond the libvhost-user interface.
 *
 * Threads: as <libvu/libvhost-user.h> says; calls here belong to the control thread
 * unless they say otherwise.
 */
#ifndef LIBVU_EXT_H
#define LIBVU_EXT_H

#include <libvu/libvhost-user.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/*
 * A protocol feature that <libvu/libvhost-user.h> does not name: get_protocol_features may
 * ask for it by this bit.  The front-end then names rings by guest physical address,
 * which stays the same when the monitor is restarted.  Not offered by default: to
 * rust-vmm 0.16 the bit means something else.
 */
#define VU_PROTOCOL_F_GPA_ADDRESSES 21

/*
 * Callbacks a libvhost-user device does not know.  Zero the structure, set size to
 * sizeof(struct vu_ext_ops), then what is wanted; it may grow in later versions.
 */
struct vu_ext_ops {
	size_t size;
	/*
	 * For a device that serves queues in threads of their own.  After quiesce
	 * returns, the thread of queue @qidx is outside every vu_*() call, does not read
	 * the queue's kick eventfd, and stays so until resume is called; the library then
	 * changes what that queue uses (its memory map, its ring), or hands it over: a
	 * thread that finds its queue not started (vu_queue_started()) after resume leaves
	 * the kick eventfd to its new owner.  Called in the control thread, whether the
	 * queue is started or not, always in pairs, never nested for one queue.
	 */
	void (*quiesce)(VuDev *dev, int qidx);
	void (*resume)(VuDev *dev, int qidx);
	/*
	 * The front-end sent VHOST_USER_RESET_DEVICE: every queue has been stopped and
	 * disabled; the device forgets what the driver told it.
	 */
	void (*reset)(VuDev *dev);
	/*
	 * The driver broke queue @qidx; @why is a text for a person, valid during the
	 * call.  Called once a break, in the thread that served the queue.
	 */
	void (*queue_broken)(VuDev *dev, int qidx, const char *why);
	/*
	 * The front-end enabled or disabled queue @qidx (VHOST_USER_SET_VRING_ENABLE).
	 */
	void (*queue_enabled)(VuDev *dev, int qidx, bool enabled);
	/*
	 * The front-end wants queue @qidx stopped without waiting, and takes over what is
	 * in flight ("VHOST_USER_GET_VRING_BASE_SKIP_DRAIN").  The device ends each
	 * element of it as soon as it can: with vu_queue_push() if it is done, with
	 * vu_queue_abandon() if it was cancelled; during the call, when queue_set_started
	 * says stop, or later.  A device with this callback offers the protocol features
	 * GET_VRING_BASE_INFLIGHT and GET_VRING_BASE_SKIP_DRAIN.  Control thread; the
	 * queue's thread is not kept out.
	 */
	void (*cancel)(VuDev *dev, int qidx);
	/*
	 * The state the device keeps beside its queues, for a migration or a snapshot
	 * ("Migrating back-end state").  A device that sets state_name, of up to 27 bytes,
	 * offers the protocol feature DEVICE_STATE; one that sets it and neither callback
	 * says that it has no such state.  It is not offered by default: a monitor would
	 * then migrate a device whose state is left behind.  The name must stay valid for
	 * as long as the device; a state is only given to a device of the same name.
	 */
	const char *state_name;
	uint32_t state_version; /* the device's own, of what save_state makes */
	/*
	 * Makes the state: *@len bytes, at most 1 GiB, at *@data from malloc(), which the
	 * library frees.  All queues are stopped.  The device must be able to go on from
	 * where it is: the migration may fail.  Control thread.  0 or negative errno.
	 */
	int (*save_state)(VuDev *dev, void **data, size_t *len);
	/*
	 * Takes a state that has come whole and undamaged from a device of the same name,
	 * whose state_version was @version: all of it, or, with a negative errno,
	 * nothing.  What is in it may still be wrong.  No queue has been started.
	 * Control thread.
	 */
	int (*load_state)(VuDev *dev, uint32_t version, const void *data, size_t len);
	/*
	 * Hand-over of a device from one process to another ("vu-migrate handover"); it
	 * works without these, too.  All in the control thread.
	 *
	 * The new process: queue @qidx will be started here soon, and then it should be
	 * quick.  The device gets ready what takes time: files, memory, threads.  It may
	 * not come to it; queue_set_started tells if it does, vu_deinit() if not.
	 */
	void (*queue_prepare)(VuDev *dev, int qidx);
	/*
	 * The new process: the device serves the front-end of the old one now, on
	 * dev->sock; its queues have been started.  @listener is the socket where the old
	 * one listened for front-ends, to listen there from now on, or -1; it is the
	 * callback's to close.
	 */
	void (*adopt)(VuDev *dev, int listener);
	/*
	 * The old process: another one serves the front-end now.  Queues have been
	 * stopped; vu_dispatch() returns false, as if the front-end had left; it is not to
	 * be waited for, nor is its socket's path to be removed.
	 */
	void (*handed_over)(VuDev *dev);
	/*
	 * Queue @qidx pops nothing for the time being: for a snapshot or a hand-over, which
	 * waits until nothing of it is in flight.  The device pushes what is done by now;
	 * the rest as it would otherwise.  Between quiesce and resume, in the control
	 * thread.
	 */
	void (*finish)(VuDev *dev, int qidx);
};

/**
 * vu_set_ext_ops - give a device further callbacks
 * @dev: after vu_init(), before the first vu_dispatch()
 * @ops: copied
 *
 * Returns: 0; -EINVAL if @ops has a size this library cannot read: smaller than its
 * first member, or larger than it knows with something set there.
 */
int vu_set_ext_ops(VuDev *dev, const struct vu_ext_ops *ops);

/**
 * vu_stop_queues - stop every started queue
 * @dev: the device
 *
 * Calls queue_set_started(false) for each, as VHOST_USER_GET_VRING_BASE does, and
 * forgets what is then still in flight.  For a device that must finish with its threads
 * before vu_deinit(), which does not call back.  Threads that wait for a page in
 * postcopy are freed first; see vu_set_postcopy().
 */
void vu_stop_queues(VuDev *dev);

/**
 * vu_reconnect - serve another front-end, or the same one come back, in place
 * @dev: a device whose connection has ended, or is to
 * @socket: the new one; the old one stays the caller's to close
 *
 * As vu_stop_queues(), vu_deinit() and vu_init() with the same arguments; what
 * vu_set_ext_ops() and vu_set_*() were told stays.  Memory, queues, file descriptors and
 * the log of the old connection are released; queues are found anew with
 * vu_get_queue().  Not from within a callback of @dev's.
 *
 * Returns: false if memory is short; the device is then as after vu_deinit().
 */
bool vu_reconnect(VuDev *dev, int socket);

/**
 * vu_set_drain_timeout - how long a stopping queue may finish what is in flight
 * @dev: the device
 * @ms: milliseconds, 10,000 unless set; 0: not at all
 *
 * VHOST_USER_GET_VRING_BASE is answered when every popped element has been pushed, or
 * after this time; what is pushed later is dropped.  The memory of such elements stays
 * mapped until vu_deinit().
 */
void vu_set_drain_timeout(VuDev *dev, unsigned int ms);

/**
 * vu_queue_abandon - give an element up without completing it
 * @dev: the device
 * @vq: the queue
 * @elem: popped and not pushed; still the caller's to free
 *
 * The device does not touch its memory any more.  The request stays in flight for the
 * back-end that serves the queue next, which pops it again ("Inflight I/O tracking").
 * For a device that was told to cancel, or that is about to end.
 *
 * Queue's thread.  Returns: false if the queue's requests are not tracked, so that it
 * would be lost, or @elem is not in flight; nothing has happened then.
 */
bool vu_queue_abandon(VuDev *dev, VuVirtq *vq, const VuVirtqElement *elem);

/*
 * Bursts, for devices that take several requests at once, do them, and complete them, as
 * network cards do.  They save the heap: elements of a burst are in memory of its own,
 * which is used again.
 *
 *	struct vu_burst *b = vu_burst_new(32, sizeof(VuVirtqElement));
 *
 *	while ((n = vu_queue_pop_burst(dev, vq, b, elems, 32)) > 0) {
 *		... each of elems[0] to elems[n - 1]; lens[i] bytes written ...
 *		vu_queue_push_burst(dev, vq, elems, lens, n);
 *	}
 *	vu_queue_notify(dev, vq);
 */
struct vu_burst;

/**
 * vu_burst_new - room for elements that are popped together
 * @max: elements, 1 to 1024
 * @size: bytes of each, as vu_queue_pop() takes it: sizeof(VuVirtqElement) or of a
 *	structure that begins with one
 *
 * For one thread at a time, and any queue.
 *
 * Returns: the burst, to be given to vu_burst_free(); NULL and EINVAL or ENOMEM.
 */
struct vu_burst *vu_burst_new(unsigned int max, size_t size);

/**
 * vu_burst_free - release a burst
 * @b: may be NULL; its elements have been pushed, or given up
 */
void vu_burst_free(struct vu_burst *b);

/**
 * vu_queue_pop_burst - pop several elements at once
 * @dev: the device
 * @vq: the queue
 * @b: where they are made
 * @elems: gets them, in the order the driver made them available
 * @n: how many at most; no more than the burst has room for
 *
 * An element is valid, and not to be freed, until the next call with the same burst.  One
 * that takes longer than that is popped with vu_queue_pop(), or into another burst.  All
 * else is as vu_queue_pop() has it.  Elements of very many buffers end a burst early.
 *
 * Queue's thread.  Returns: how many were popped, 0 if there is none.
 */
unsigned int vu_queue_pop_burst(VuDev *dev, VuVirtq *vq, struct vu_burst *b,
				VuVirtqElement **elems, unsigned int n);

/**
 * vu_queue_push_burst - complete several elements at once
 * @dev: the device
 * @vq: the queue
 * @elems: popped in any way, in any order
 * @lens: of each: bytes written, as vu_queue_push() takes them
 * @n: how many
 *
 * The driver sees all of them, or none: they are vu_queue_fill()ed and flushed.  Those
 * that are not in flight are left out.  Queue's thread.
 */
void vu_queue_push_burst(VuDev *dev, VuVirtq *vq, VuVirtqElement *const *elems,
			 const unsigned int *lens, unsigned int n);

/**
 * vu_log_write - note that the device wrote guest memory by other means than a queue
 * @dev: the device
 * @gpa: guest physical address
 * @len: bytes
 *
 * For a migration to miss nothing, call it after the write.  What is in an element and
 * counted in vu_queue_push()'s length is noted by that call.  Costs a lock; does nothing
 * while nobody migrates.  A range the log has no room for ends the connection.
 *
 * Any thread.
 */
void vu_log_write(VuDev *dev, uint64_t gpa, uint64_t len);

/**
 * vu_set_log_reply_size - how long the answer to VHOST_USER_SET_LOG_BASE is
 * @dev: the device
 * @bytes: 16: the request's payload, as QEMU and current rust-vmm front-ends take it
 *	(unless set); 8: a u64, as rust-vmm's did before 0.16; 0: a header alone
 *
 * The specification names no payload and implementations differ.
 *
 * Returns: 0; -EINVAL for other sizes.
 */
int vu_set_log_reply_size(VuDev *dev, unsigned int bytes);

/**
 * vu_set_postcopy - whether postcopy migration may be offered
 * @dev: after vu_init(), before the first vu_dispatch()
 * @offer: true unless set; it is offered if the host can do it (userfaultfd for shared
 *	memory and huge pages, with the right to serve faults of the kernel), else the
 *	reason is logged once a process
 *
 * VHOST_USER_PROTOCOL_F_PAGEFAULT.  While memory is still to come, whoever touches a
 * missing page waits for the front-end: a queue's thread inside vu_queue_pop(), the
 * device, the kernel in a system call on its behalf, vu_dispatch().  What an element's
 * out_sg points to has come when vu_queue_pop() returns it.  A thread of the library's
 * own looks on: when the front-end leaves, the waiting ends, missing pages read as
 * zeroes in this process only, nothing is popped any more and vu_dispatch() says false.
 *
 * A userfaultfd gives its holder a say over this process's address space, beyond the
 * guest's memory: offer it to a front-end that is trusted so far, and to no other.
 */
void vu_set_postcopy(VuDev *dev, bool offer);

/**
 * vu_get_region_count - how many regions of memory the guest has
 * @dev: the device
 */
unsigned int vu_get_region_count(VuDev *dev);

/**
 * vu_get_region - one of them
 * @dev: the device
 * @i: less than vu_get_region_count(); they are sorted by guest address
 * @region: out
 *
 * Returns: false if there are not so many.
 */
bool vu_get_region(VuDev *dev, unsigned int i, VuDevRegion *region);

/**
 * vu_queue_broken_reason - why the driver's mistake broke a queue
 * @dev: the device
 * @vq: the queue
 *
 * Returns: a text, valid until the queue is started again; NULL if it is not broken.
 */
const char *vu_queue_broken_reason(VuDev *dev, VuVirtq *vq);

/**
 * vu_read_kick - read a queue's kick eventfd, and count it
 * @dev: the device
 * @vq: the queue
 *
 * For a device that waits for vq->kick_fd itself, in the thread of the queue: with it
 * the library's telemetry knows of kicks and wake-ups.  Never blocks.
 *
 * Returns: how many signals there were, 0 for none; a negative errno if the eventfd
 * cannot be read.
 */
int64_t vu_read_kick(VuDev *dev, VuVirtq *vq);

/**
 * vu_queue_failed - count requests that failed
 * @dev: the device
 * @vq: the queue
 * @num: how many, that are or will be pushed with a status that says so
 *
 * What a failure is only the device knows.  Queue's thread.
 */
void vu_queue_failed(VuDev *dev, VuVirtq *vq, unsigned int num);

/**
 * vu_set_device_name - what tools call the device
 * @dev: the device
 * @name: up to 63 bytes of it are copied; unless set, the program's name
 *
 * Any thread.
 */
void vu_set_device_name(VuDev *dev, const char *name);

/**
 * vu_note - write a line into the device's black box
 * @dev: the device
 * @text: up to 87 bytes of it are kept, among the last events of the device
 *
 * For what somebody wants to know after the process has died.  Costs a lock.  Any
 * thread.
 */
void vu_note(VuDev *dev, const char *text);

/**
 * vu_version - the library's version, such as "0.1.0"
 *
 * Any thread.
 */
const char *vu_version(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif

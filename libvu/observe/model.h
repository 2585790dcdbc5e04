/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known of the vhost-user back-ends of a host, seen from outside: plain
 * structures without behaviour, which the tools show and diagnose.
 *
 * A snapshot holds processes > devices > queues in three flat arrays, each sorted by
 * key, a parent naming the range of its children.  A process is a back-end, a machine
 * monitor (VMM), or both.  Two snapshots are compared by key, never by position.
 *
 * Nothing here is certain to be known.  A queue is known in parts; each part comes from
 * one source, or from none and then its fields are 0 and mean nothing.  Times are
 * CLOCK_MONOTONIC nanoseconds; 0 is never.
 */
#ifndef VU_OBSERVE_MODEL_H
#define VU_OBSERVE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* --- how things are known --- */

enum vu__obs_source {
	VU__OBS_UNKNOWN,
	VU__OBS_TELEMETRY, /* the segment libvu writes */
	VU__OBS_PEEK,	   /* read from the memory of a process */
	VU__OBS_QMP,	   /* QEMU's monitor */
	VU__OBS_PROC,	   /* /proc: fdinfo, tasks */
	VU__OBS_TRACE,	   /* tracepoints of the kernel: by vu-trace only */
	VU__OBS_SOURCES
};

/* "telemetry" and so on; "unknown". */
const char *vu__obs_source_name(enum vu__obs_source source);

enum vu__obs_tri {
	VU__OBS_MAYBE, /* not known */
	VU__OBS_NO,
	VU__OBS_YES,
};

/* Parts a queue is known in. */
enum vu__obs_part {
	VU__OBS_SETUP,	  /* struct vu__obs_setup */
	VU__OBS_RING,	  /* of struct vu__obs_ring: avail_idx, used_idx, flags, events */
	VU__OBS_POSITION, /* ...: last_avail, head, pending, in_flight: the back-end's
			     side */
	VU__OBS_COUNTERS, /* counter[] where have_counter says */
	VU__OBS_TIMES,	  /* struct vu__obs_times */
	VU__OBS_KICK,	  /* kick.count */
	VU__OBS_CALL,	  /* call.count */
	VU__OBS_WORKER,	  /* struct vu__obs_worker */
	VU__OBS_KVM,	  /* struct vu__obs_kvm */
	VU__OBS_PARTS
};

/* --- counters --- */

/* They only grow, from 0 at generation's begin. */
enum vu__obs_counter {
	VU__OBS_KICKS,	       /* reads of the kick eventfd that found a signal */
	VU__OBS_KICK_VALUES,   /* sum of what was read there */
	VU__OBS_WAKEUPS,       /* the device was told to look, by whatever */
	VU__OBS_EMPTY_WAKEUPS, /* ... and nothing was popped */
	VU__OBS_AVAILABLE,     /* requests the driver made available */
	VU__OBS_POPPED,	       /* requests the back-end took */
	VU__OBS_COMPLETED,     /* requests given back */
	VU__OBS_FAILED,	       /* of those, ones the device says have failed */
	VU__OBS_DROPPED,       /* taken, and given up when the queue stopped */
	VU__OBS_UNPOPPED,      /* taken, and put back */
	VU__OBS_CHAINS,	       /* requests of more than one descriptor */
	VU__OBS_DESCRIPTORS,
	VU__OBS_INDIRECT,      /* requests with a table of their own */
	VU__OBS_BYTES_OUT,     /* from the guest */
	VU__OBS_BYTES_IN,      /* to the guest */
	VU__OBS_BATCHES,       /* looks at the ring that found something new */
	VU__OBS_LOOKS_EMPTY,   /* ... that did not */
	VU__OBS_CALLS,	       /* calls sent */
	VU__OBS_NOCALL_FLAG,   /* not sent: the driver's flag */
	VU__OBS_NOCALL_EVENT,  /* not sent: the driver's event index */
	VU__OBS_NOCALL_MASKED, /* not sent: the front-end took the eventfd away */
	VU__OBS_NOCALL_NOFD,   /* not sent: it never gave one */
	VU__OBS_CALL_ERRORS,   /* sending failed */
	VU__OBS_RING_FULL,     /* times every entry was in use */
	VU__OBS_FAULTS,	       /* addresses outside the memory table */
	VU__OBS_PAGES_FIRST,   /* dirty pages logged that were clean */
	VU__OBS_PAGES_AGAIN,   /* ... that were dirty already */
	VU__OBS_NCOUNTERS
};

struct vu__obs_counter_info {
	const char *name; /* a word in small letters, as in JSON */
	const char *unit; /* "" for a plain number, "bytes", "ns", "pages" */
	const char *help; /* a line for a person */
};

extern const struct vu__obs_counter_info vu__obs_counters[VU__OBS_NCOUNTERS];

/* --- a queue --- */

enum vu__obs_role {
	VU__OBS_ROLE_UNKNOWN,
	VU__OBS_ROLE_REQUEST, /* the device answers each in its own time */
	VU__OBS_ROLE_RX,      /* buffers wait for data to come */
	VU__OBS_ROLE_TX,
	VU__OBS_ROLE_CTRL,
	VU__OBS_ROLE_EVENT, /* buffers wait for events */
	VU__OBS_ROLES
};

/* "request", "rx", ... */
const char *vu__obs_role_name(enum vu__obs_role role);

/* The role of queue @index of a device of type @virtio_id (linux/virtio_ids.h, 0: not
 * known). */
enum vu__obs_role vu__obs_role_of(unsigned int virtio_id, unsigned int index,
				  unsigned int nqueues, uint64_t features);

/* One of a queue's eventfds. */
struct vu__obs_event {
	int fd;	    /* in the back-end; -1 none, -2 not known */
	int64_t id; /* eventfd-id of the kernel, the same in all processes; -1 not known
		     */
	uint64_t count; /* not consumed yet */
};

#define VU__OBS_FD_NONE	   (-1)
#define VU__OBS_FD_UNKNOWN (-2)

struct vu__obs_setup {
	uint32_t size; /* entries; 0: never told */
	bool packed;
	bool event_idx;
	enum vu__obs_tri started; /* has a kick fd, and was not stopped since */
	enum vu__obs_tri enabled;
	bool broken; /* the back-end has given it up; why[] tells */
	bool polled; /* the back-end looks without being kicked */
	char why[160];
	uint16_t base;		    /* last_avail when it was started */
	uint64_t features;	    /* acknowledged, of its device */
	uint64_t desc, avail, used; /* addresses in the process memory_of */
	uint64_t desc_gpa, avail_gpa, used_gpa;
	pid_t memory_of;
	uint64_t started_ns, stopped_ns, enabled_ns;
	uint32_t generation; /* another one: counters began anew */
};

/*
 * The ring as it is in memory, and the back-end's place in it.  In a packed ring there
 * are no indices: avail_idx, used_idx and last_avail are places, a descriptor with the
 * wrap counter in bit 15, as are the events (off_wrap words, of use if the flags are 2:
 * at a descriptor); the flags are those of the event suppression structures, and head
 * means nothing.  The driver's place is always known, the back-end's only if it tells or
 * as good as the descriptors do: see observe/peek.h.
 */
struct vu__obs_ring {
	bool torn; /* did not hold still while it was read */
	uint16_t avail_idx, used_idx;
	uint16_t avail_flags, used_flags; /* "no interrupt", "no notify" */
	uint16_t used_event, avail_event; /* with event_idx */
	/* Packed. */
	uint32_t outstanding; /* requests made available and not given back */
	uint32_t slots;	      /* descriptors they take */
	uint32_t past_event;  /* requests given back from used_event on */
	bool astray; /* at last_avail nothing is available, though the driver is ahead */
	/* VU__OBS_POSITION */
	uint16_t last_avail; /* the next the back-end fetches */
	uint16_t head;	     /* what stands there, if pending */
	uint32_t pending;    /* available, not fetched; may exceed size if corrupt */
	uint32_t in_flight;  /* fetched, not given back */
};

struct vu__obs_times {
	uint64_t kick_ns;  /* a kick was read */
	uint64_t wake_ns;  /* the handler was called */
	uint64_t empty_ns; /* it looked at the ring and found nothing new */
	uint64_t pop_ns;
	uint64_t push_ns;
	uint64_t call_ns;   /* a call was sent */
	uint64_t oldest_ns; /* the oldest request in flight was popped; 0: none, or not
			       kept */
	uint32_t in_flight_max;
	uint16_t called_used_idx; /* used index when the last call was sent or weighed */
	uint32_t untold;	  /* requests given back since */
};

/* The thread that serves a queue. */
struct vu__obs_worker {
	pid_t tid;
	char state;	     /* as in /proc: R S D T t Z X I; 0 not known */
	int32_t syscall;     /* number; -1 not in one (running), -2 not known */
	uint64_t arg0, arg1; /* its first arguments */
	enum vu__obs_tri
		waits; /* sleeps in poll, epoll, io_uring_enter or read of the kick */
	enum vu__obs_tri watches; /* what it waits for includes the kick fd */
	int16_t cpu;
	uint64_t cpu_ns; /* time on a CPU since it was started */
	char wchan[32];
	char comm[16];
};

/* What only tracing, or the tables of KVM, can tell; counts since tracing began. */
struct vu__obs_kvm {
	enum vu__obs_tri ioeventfd; /* the kick fd is in KVM's table */
	enum vu__obs_tri irqfd;	    /* the call fd is */
	enum vu__obs_tri counts;    /* those below are counted */
	uint64_t exits;		    /* of the guest at the queue's notification address */
	uint64_t signals;	    /* of the kick eventfd */
	uint64_t calls;		    /* writes of the call eventfd */
	uint64_t interrupts;	    /* injected for the queue */
	uint64_t last_exit_ns, last_signal_ns, last_interrupt_ns;
	enum vu__obs_tri vcpu_halted;
};

struct vu__obs_queue {
	uint32_t dev; /* index into the snapshot's devices */
	uint16_t index;
	uint8_t role;		     /* enum vu__obs_role */
	uint8_t from[VU__OBS_PARTS]; /* enum vu__obs_source */
	uint64_t mono_ns;	     /* when it was looked at */
	struct vu__obs_setup setup;
	struct vu__obs_ring ring;
	struct vu__obs_event kick, call, err;
	struct vu__obs_times times;
	struct vu__obs_worker worker;
	struct vu__obs_kvm kvm;
	uint64_t have_counter; /* bit per enum vu__obs_counter */
	uint64_t at_least;     /* bit per counter that may have missed a wrap */
	uint64_t counter[VU__OBS_NCOUNTERS];
};

static inline bool vu__obs_knows(const struct vu__obs_queue *q, enum vu__obs_part part)
{
	return q->from[part] != VU__OBS_UNKNOWN;
}

/* Requests made available and not given back, of a queue whose ring is known. */
static inline uint32_t vu__obs_outstanding(const struct vu__obs_queue *q)
{
	return q->setup.packed ? q->ring.outstanding
			       : (uint16_t)(q->ring.avail_idx - q->ring.used_idx);
}

/* --- latencies --- */

enum vu__obs_latency {
	VU__OBS_KICK_TO_POP,
	VU__OBS_SERVICE, /* pop to push */
	VU__OBS_BATCH,	 /* requests a flush, not ns */
	VU__OBS_LATENCIES
};

/* Kept only while somebody watches.  Buckets grow; those behind the last are empty. */
struct vu__obs_hist {
	unsigned int nbuckets;
	const uint64_t *upper; /* inclusive bound of each */
	uint64_t *count;
	uint64_t total;
	uint64_t max;
	double sum;
};

/* --- devices --- */

struct vu__obs_region {
	uint64_t gpa, size, uaddr;
	uint64_t addr; /* in the back-end */
	uint64_t offset;
};

enum vu__obs_phase {
	VU__OBS_NOT_MIGRATING,
	VU__OBS_LOGGING, /* dirty pages are logged */
	VU__OBS_STOPPED, /* all queues stopped after logging */
	VU__OBS_SAVING,	 /* device state is being read */
	VU__OBS_LOADING,
	VU__OBS_HANDOVER,
	VU__OBS_POSTCOPY,
};

struct vu__obs_device {
	uint32_t proc; /* index of the back-end's process */
	int32_t vmm;   /* index of the process at the other end; -1 not known, or none */
	uint32_t number; /* in its process, from 0 */
	uint32_t virtio_id;
	uint32_t generation; /* of the connection */
	uint8_t from;	     /* enum vu__obs_source, of features and the like */
	enum vu__obs_tri connected;
	enum vu__obs_phase phase;
	char name[64];	       /* what the back-end or the VMM calls it; "" */
	char socket[108];      /* path; "" */
	uint64_t socket_inode; /* of the connection, at the back-end's end */
	uint64_t features, protocol_features;
	uint64_t connected_ns;
	uint64_t messages, last_message_ns;
	uint32_t last_message; /* request number */
	uint32_t first_queue, nqueues;
	uint32_t first_region, nregions;
	bool log_on;
	uint64_t log_size;
	uint64_t heartbeat_ns; /* the library was last seen alive */
	/* Of one whose process is dead: */
	int32_t replaced_by; /* who serves its socket now; 0 nobody */
	bool peer_gone;	     /* its front-end is dead, too */
};

/* --- processes --- */

enum {
	VU__OBS_BACKEND = 1 << 0,
	VU__OBS_VMM = 1 << 1,
};

enum vu__obs_kind {
	VU__OBS_KIND_OTHER,
	VU__OBS_KIND_LIBVU,
	VU__OBS_KIND_QSD, /* qemu-storage-daemon */
	VU__OBS_KIND_DPDK,
	VU__OBS_KIND_SPDK,
	VU__OBS_KIND_VIRTIOFSD,
	VU__OBS_KIND_QEMU,
	VU__OBS_KIND_CLOUD_HYPERVISOR,
	VU__OBS_KIND_CROSVM,
	VU__OBS_KINDS
};

/* "libvu", "qemu-storage-daemon", ... */
const char *vu__obs_kind_name(enum vu__obs_kind kind);

struct vu__obs_process {
	pid_t pid;
	uint64_t start_time; /* clock ticks since boot: with pid, the key */
	uint8_t roles;	     /* VU__OBS_BACKEND | VU__OBS_VMM */
	enum vu__obs_kind kind;
	bool alive; /* false: only its black box is left */
	char state; /* of its first thread, as in /proc; 0 not known */
	uid_t uid;
	char comm[16];
	char cmdline[256];
	uint32_t nthreads;
	uint64_t cpu_ns;
	uint32_t first_dev, ndevs;
	char trouble[160]; /* what could not be seen of it and why; "" */
	/* Of a VMM. */
	char vm_name[64];
	char vm_uuid[37];
	char run_state[24];	    /* "running", "paused", ...; "" not known */
	char qmp_socket[108];	    /* "" none found */
	char qmp_trouble[96];	    /* why it does not answer */
	enum vu__obs_tri kvm;	    /* has a KVM virtual machine */
	enum vu__obs_tri vcpus_run; /* not paused */
};

/* --- a snapshot --- */

struct vu__obs_snapshot {
	uint64_t mono_ns, real_ns; /* when it was begun */
	uint64_t took_ns;
	uint32_t nprocs, ndevs, nqueues, nregions;
	struct vu__obs_process *procs;	/* by pid, start_time */
	struct vu__obs_device *devs;	/* by process, number */
	struct vu__obs_queue *queues;	/* by device, index */
	struct vu__obs_region *regions; /* by device */
	uint32_t retries;  /* reads that were done again because a writer was at it */
	uint32_t missed;   /* queues that could not be read in time */
	char trouble[160]; /* of the whole host: no permission, ...; "" */
};

static inline const struct vu__obs_device *
vu__obs_device_of(const struct vu__obs_snapshot *s, const struct vu__obs_queue *q)
{
	return &s->devs[q->dev];
}

static inline const struct vu__obs_process *
vu__obs_process_of(const struct vu__obs_snapshot *s, const struct vu__obs_device *d)
{
	return &s->procs[d->proc];
}

/* NULL: not known. */
static inline const struct vu__obs_process *
vu__obs_vmm_of(const struct vu__obs_snapshot *s, const struct vu__obs_device *d)
{
	return d->vmm < 0 ? NULL : &s->procs[d->vmm];
}

/* --- rates: rates.c --- */

struct vu__obs_rates {
	double dt;	   /* seconds between the two looks, measured; 0: no rates */
	uint64_t have;	   /* bit per counter */
	uint64_t at_least; /* bit per counter: the true one may be higher */
	double per_s[VU__OBS_NCOUNTERS];
	double delta[VU__OBS_NCOUNTERS]; /* not divided by dt */
};

/* --- verdicts: diagnose.c --- */

enum vu__obs_severity {
	VU__OBS_OK,
	VU__OBS_INFO,	  /* worth a look, nothing is stuck */
	VU__OBS_WARNING,  /* may be stuck, or will be */
	VU__OBS_CRITICAL, /* stuck */
	VU__OBS_SEVERITIES
};

enum vu__obs_confidence {
	VU__OBS_POSSIBLE,
	VU__OBS_LIKELY,
	VU__OBS_CERTAIN,
};

/* Names are stable: monitoring compares them.  vu-verdicts(7) explains each. */
enum vu__obs_verdict_id {
	VU__V_UNSEEN, /* not enough is known for a verdict, or not yet */
	VU__V_IDLE,
	VU__V_MOVING,
	VU__V_ARMED_IDLE,
	VU__V_NOT_IN_USE, /* no driver has set it up */
	VU__V_RING_CORRUPT,
	VU__V_BACKEND_GONE,
	VU__V_FRONTEND_GONE,
	VU__V_VM_PAUSED,
	VU__V_STOPPED_WITH_WORK,
	VU__V_DISABLED_WITH_WORK,
	VU__V_KICK_EATEN_BEFORE_ENABLE,
	VU__V_KICK_NOT_WATCHED,
	VU__V_BACKEND_STALLED,
	VU__V_KICK_CONSUMED_NO_WORK,
	VU__V_NOTIFY_LEFT_DISABLED,
	VU__V_KICK_SUPPRESSED_STALE_EVENT,
	VU__V_IOEVENTFD_MISSING,
	VU__V_IOEVENTFD_MISMATCH,
	VU__V_KICK_LOST_IN_GUEST,
	VU__V_BACKEND_SLOW,
	VU__V_BACKEND_IO_STALLED,
	VU__V_RX_STARVED,
	VU__V_CALL_LOST,
	VU__V_CALL_SUPPRESSED,
	VU__V_CALL_NO_FD,
	VU__V_CALL_UNCONSUMED,
	VU__V_IRQ_NOT_INJECTED,
	VU__V_GUEST_NOT_CONSUMING,
	VU__V_CALL_SATURATED,
	VU__V_SPURIOUS_KICKS,
	VU__V_STUCK, /* work waits, nothing moves, and what is known does not say why */
	VU__V_COUNT
};

struct vu__obs_verdict_info {
	const char *name; /* "CALL_LOST" */
	enum vu__obs_severity severity;
	const char *summary; /* half a line for a person */
};

extern const struct vu__obs_verdict_info vu__obs_verdicts[VU__V_COUNT];

struct vu__obs_verdict {
	enum vu__obs_verdict_id id;
	enum vu__obs_severity severity;
	enum vu__obs_confidence confidence;
	char evidence[256]; /* the numbers it rests on, one line */
	char next[160];	    /* what to look at or do next, one line */
};

const char *vu__obs_severity_name(enum vu__obs_severity severity);
const char *vu__obs_confidence_name(enum vu__obs_confidence confidence);

#endif

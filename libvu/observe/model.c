/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of what the model is made of, and what follows from them.  Any thread. */
#include "observe/model.h"

#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>

#include "base/util.h"

static const char *const source_names[] = {
	[VU__OBS_UNKNOWN] = "unknown", [VU__OBS_TELEMETRY] = "telemetry",
	[VU__OBS_PEEK] = "peek",       [VU__OBS_QMP] = "qmp",
	[VU__OBS_PROC] = "proc",       [VU__OBS_TRACE] = "trace",
};
static const char *const role_names[] = {
	[VU__OBS_ROLE_UNKNOWN] = "unknown", [VU__OBS_ROLE_REQUEST] = "request",
	[VU__OBS_ROLE_RX] = "rx",	    [VU__OBS_ROLE_TX] = "tx",
	[VU__OBS_ROLE_CTRL] = "ctrl",	    [VU__OBS_ROLE_EVENT] = "event",
};
static const char *const kind_names[] = {
	[VU__OBS_KIND_OTHER] = "other",
	[VU__OBS_KIND_LIBVU] = "libvu",
	[VU__OBS_KIND_QSD] = "qemu-storage-daemon",
	[VU__OBS_KIND_DPDK] = "dpdk",
	[VU__OBS_KIND_SPDK] = "spdk",
	[VU__OBS_KIND_VIRTIOFSD] = "virtiofsd",
	[VU__OBS_KIND_QEMU] = "qemu",
	[VU__OBS_KIND_CLOUD_HYPERVISOR] = "cloud-hypervisor",
	[VU__OBS_KIND_CROSVM] = "crosvm",
};
static const char *const severity_names[] = {
	[VU__OBS_OK] = "ok",
	[VU__OBS_INFO] = "info",
	[VU__OBS_WARNING] = "warning",
	[VU__OBS_CRITICAL] = "critical",
};
static const char *const confidence_names[] = {
	[VU__OBS_POSSIBLE] = "possible",
	[VU__OBS_LIKELY] = "likely",
	[VU__OBS_CERTAIN] = "certain",
};

_Static_assert(VU_ARRAY_SIZE(source_names) == VU__OBS_SOURCES, "a name each");
_Static_assert(VU_ARRAY_SIZE(role_names) == VU__OBS_ROLES, "a name each");
_Static_assert(VU_ARRAY_SIZE(kind_names) == VU__OBS_KINDS, "a name each");
_Static_assert(VU_ARRAY_SIZE(severity_names) == VU__OBS_SEVERITIES, "a name each");
_Static_assert(VU__OBS_NCOUNTERS < 64, "a bit each");

#define NAME(names, i) ((size_t)(i) < VU_ARRAY_SIZE(names) ? names[i] : "?")

const char *vu__obs_source_name(enum vu__obs_source source)
{
	return NAME(source_names, source);
}

const char *vu__obs_role_name(enum vu__obs_role role)
{
	return NAME(role_names, role);
}

const char *vu__obs_kind_name(enum vu__obs_kind kind)
{
	return NAME(kind_names, kind);
}

const char *vu__obs_severity_name(enum vu__obs_severity severity)
{
	return NAME(severity_names, severity);
}

const char *vu__obs_confidence_name(enum vu__obs_confidence confidence)
{
	return NAME(confidence_names, confidence);
}

/* clang-format off */
const struct vu__obs_counter_info vu__obs_counters[VU__OBS_NCOUNTERS] = {
	[VU__OBS_KICKS] = {"kicks", "", "reads of the kick eventfd that found a signal"},
	[VU__OBS_KICK_VALUES] = {"kick_values", "", "kicks the driver sent, as counted there"},
	[VU__OBS_WAKEUPS] = {"wakeups", "", "calls of the queue's handler"},
	[VU__OBS_EMPTY_WAKEUPS] = {"empty_wakeups", "", "wake-ups that found nothing to do"},
	[VU__OBS_AVAILABLE] = {"available", "", "requests the driver made available"},
	[VU__OBS_POPPED] = {"popped", "", "requests the back-end took"},
	[VU__OBS_COMPLETED] = {"completed", "", "requests the back-end gave back"},
	[VU__OBS_FAILED] = {"failed", "", "requests that ended in an error of the device"},
	[VU__OBS_DROPPED] = {"dropped", "", "requests given up when the queue was stopped"},
	[VU__OBS_UNPOPPED] = {"unpopped", "", "requests taken and put back"},
	[VU__OBS_CHAINS] = {"chains", "", "requests of more than one descriptor"},
	[VU__OBS_DESCRIPTORS] = {"descriptors", "", "descriptors walked"},
	[VU__OBS_INDIRECT] = {"indirect", "", "requests with an indirect table"},
	[VU__OBS_BYTES_OUT] = {"bytes_out", "bytes", "bytes read from the guest"},
	[VU__OBS_BYTES_IN] = {"bytes_in", "bytes", "bytes written to the guest"},
	[VU__OBS_BATCHES] = {"batches", "", "looks at the ring that found something new"},
	[VU__OBS_LOOKS_EMPTY] = {"looks_empty", "", "looks at the ring that found nothing new"},
	[VU__OBS_CALLS] = {"calls", "", "calls sent to the driver"},
	[VU__OBS_NOCALL_FLAG] = {"nocall_flag", "", "calls the driver's flag held back"},
	[VU__OBS_NOCALL_EVENT] = {"nocall_event", "", "calls the driver's event index held back"},
	[VU__OBS_NOCALL_MASKED] = {"nocall_masked", "", "calls a masked vector held back"},
	[VU__OBS_NOCALL_NOFD] = {"nocall_nofd", "", "calls there was no eventfd for"},
	[VU__OBS_CALL_ERRORS] = {"call_errors", "", "calls that could not be sent"},
	[VU__OBS_RING_FULL] = {"ring_full", "", "times every entry was in use"},
	[VU__OBS_FAULTS] = {"faults", "", "guest addresses that are no memory"},
	[VU__OBS_PAGES_FIRST] = {"pages_first", "pages", "clean pages marked dirty"},
	[VU__OBS_PAGES_AGAIN] = {"pages_again", "pages", "marks on pages that were dirty already"},
};
/* clang-format on */

static enum vu__obs_role net_role(unsigned int index, unsigned int nqueues,
				  uint64_t features)
{
	/* The last of an odd number is the control queue, if there is one. */
	if (vu__has_bit(features, VIRTIO_NET_F_CTRL_VQ) && nqueues % 2 && index == nqueues - 1)
		return VU__OBS_ROLE_CTRL;
	return index % 2 ? VU__OBS_ROLE_TX : VU__OBS_ROLE_RX;
}

enum vu__obs_role vu__obs_role_of(unsigned int virtio_id, unsigned int index,
				  unsigned int nqueues, uint64_t features)
{
	static const uint8_t vsock[] = {VU__OBS_ROLE_RX, VU__OBS_ROLE_TX, VU__OBS_ROLE_EVENT};
	static const uint8_t input[] = {VU__OBS_ROLE_EVENT, VU__OBS_ROLE_TX};
	static const uint8_t scsi[] = {VU__OBS_ROLE_CTRL, VU__OBS_ROLE_EVENT};
	static const uint8_t console[] = {VU__OBS_ROLE_RX, VU__OBS_ROLE_TX, VU__OBS_ROLE_CTRL,
					  VU__OBS_ROLE_CTRL};
	static const uint8_t sound[] = {VU__OBS_ROLE_CTRL, VU__OBS_ROLE_EVENT,
					VU__OBS_ROLE_REQUEST, VU__OBS_ROLE_RX};

	switch (virtio_id) {
	case VIRTIO_ID_NET:
		return net_role(index, nqueues, features);
	case VIRTIO_ID_VSOCK:
		return index < VU_ARRAY_SIZE(vsock) ? vsock[index] : VU__OBS_ROLE_UNKNOWN;
	case VIRTIO_ID_INPUT:
		return index < VU_ARRAY_SIZE(input) ? input[index] : VU__OBS_ROLE_UNKNOWN;
	case VIRTIO_ID_SCSI:
		return index < VU_ARRAY_SIZE(scsi) ? scsi[index] : VU__OBS_ROLE_REQUEST;
	case VIRTIO_ID_CONSOLE:
		return index < VU_ARRAY_SIZE(console) ? console[index]
		       : index % 2		      ? VU__OBS_ROLE_TX
						      : VU__OBS_ROLE_RX;
	case VIRTIO_ID_SOUND:
		return index < VU_ARRAY_SIZE(sound) ? sound[index] : VU__OBS_ROLE_UNKNOWN;
	case VIRTIO_ID_GPU:
		return index ? VU__OBS_ROLE_REQUEST : VU__OBS_ROLE_CTRL;
	case VIRTIO_ID_RNG: /* buffers wait for entropy, but not for long */
	case VIRTIO_ID_BLOCK:
	case VIRTIO_ID_FS:
	case VIRTIO_ID_CRYPTO:
	case VIRTIO_ID_PMEM:
		return VU__OBS_ROLE_REQUEST;
	default:
		return VU__OBS_ROLE_UNKNOWN;
	}
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owner, features, protocol features, number of queues, reset.  Control thread. */
#include <errno.h>

#include "backend/dev.h"

/* What the library's virtqueues can do, whatever the device is. */
#define RING_FEATURES                                                                    \
	(VU_BIT(VU__F_NOTIFY_ON_EMPTY) | VU_BIT(VU__F_INDIRECT_DESC) |                   \
	 VU_BIT(VU__F_EVENT_IDX) | VU_BIT(VU__F_VERSION_1) | VU_BIT(VU__F_RING_PACKED) | \
	 VU_BIT(VU__F_LOG_ALL) | VU_BIT(VU__F_PROTOCOL_FEATURES))

/* May change while rings run. */
#define RUNTIME_FEATURES VU_BIT(VU__F_LOG_ALL)

#define OWN_PROTOCOL_FEATURES                                                            \
	(VU_BIT(VU__PF_MQ) | VU_BIT(VU__PF_LOG_SHMFD) | VU_BIT(VU__PF_REPLY_ACK) |       \
	 VU_BIT(VU__PF_BACKEND_REQ) |                                                    \
	 VU_BIT(VU__PF_BACKEND_SEND_FD) | VU_BIT(VU__PF_HOST_NOTIFIER) |                 \
	 VU_BIT(VU__PF_INFLIGHT_SHMFD) | VU_BIT(VU__PF_RESET_DEVICE) | VU_BIT(VU__PF_CONFIGURE_MEM_SLOTS))

/*
 * What a device may add to those: what the library only needs to be told about, and
 * what arrives at process_msg.
 */
#define DEVICE_PROTOCOL_FEATURES                                                         \
	(VU_BIT(VU__PF_RARP) | VU_BIT(VU__PF_MTU) | VU_BIT(VU__PF_CROSS_ENDIAN) |        \
	 VU_BIT(VU__PF_CRYPTO_SESSION) | VU_BIT(VU__PF_CONFIG) |                         \
	 VU_BIT(VU__PF_INBAND_NOTIFICATIONS) | VU_BIT(VU__PF_GPA_ADDRESSES))

/* Of a device that can give up what is in flight. */
#define HAND_OVER_FEATURES                                                               \
	(VU_BIT(VU__PF_GET_VRING_BASE_INFLIGHT) | VU_BIT(VU__PF_GET_VRING_BASE_SKIP_DRAIN))

/* What a feature is of no use without: the message that names it says "only if". */
static const struct {
	unsigned int feature;
	uint64_t needs;
} requirements[] = {
	{VU__PF_GET_VRING_BASE_INFLIGHT, VU_BIT(VU__PF_INFLIGHT_SHMFD)},
	{VU__PF_GET_VRING_BASE_SKIP_DRAIN,
	 VU_BIT(VU__PF_INFLIGHT_SHMFD) | VU_BIT(VU__PF_GET_VRING_BASE_INFLIGHT)},
};

uint64_t vu__offered_features(struct vu__dev *d)
{
	const VuDevIface *iface = d->pub->iface;
	uint64_t device = iface->get_features ? iface->get_features(d->pub) : 0;

	/* An IOMMU is not the device's to promise. */
	device &= ~VU_BIT(VU__F_ACCESS_PLATFORM);
	return device | RING_FEATURES;
}

uint64_t vu__offered_protocol_features(struct vu__dev *d)
{
	const VuDevIface *iface = d->pub->iface;
	uint64_t offer = OWN_PROTOCOL_FEATURES;

	if (iface->get_config && iface->set_config)
		offer |= VU_BIT(VU__PF_CONFIG);
	if (vu__state_supported(d))
		offer |= VU_BIT(VU__PF_DEVICE_STATE);
	if (d->ext.cancel)
		offer |= HAND_OVER_FEATURES;
	if (vu__postcopy_offered(d))
		offer |= VU_BIT(VU__PF_PAGEFAULT);
	if (iface->get_protocol_features)
		offer |= iface->get_protocol_features(d->pub) & DEVICE_PROTOCOL_FEATURES;
	return offer;
}

int vu__req_get_features(struct vu__dev *d, struct vu__msg *m)
{
	vu__msg_make_reply_u64(m, vu__offered_features(d));
	return VU__REPLY;
}

static bool any_started(const struct vu__dev *d)
{
	for (unsigned int i = 0; i < d->pub->max_queues; i++) {
		if (d->pub->vq[i].started)
			return true;
	}
	return false;
}

int vu__req_set_features(struct vu__dev *d, struct vu__msg *m)
{
	VuDev *dev = d->pub;
	uint64_t features = m->payload.u64;
	uint64_t unknown = features & ~vu__offered_features(d);
	bool log_changes;

	if (unknown)
		return vu__refuse(d, -EINVAL, "features 0x%llx were not offered",
				  (unsigned long long)unknown);
	if (any_started(d) && (features ^ dev->features) & ~RUNTIME_FEATURES)
		return vu__refuse(d, -EBUSY, "features change from 0x%llx to 0x%llx while "
				  "queues run", (unsigned long long)dev->features,
				  (unsigned long long)features);
	if (vu__expect_features(d, features))
		return -EPROTO;
	if (!any_started(d))
		vu__expect_lapse(d);
	log_changes = vu__has_bit(features ^ dev->features, VU__F_LOG_ALL);
	dev->features = features;
	if (log_changes)
		vu__log_apply(d);
	/*
	 * "Starting and stopping": without the protocol features bit, rings begin
	 * enabled; with it, what was enabled stays so.
	 */
	if (!vu__has_bit(features, VU__F_PROTOCOL_FEATURES)) {
		for (unsigned int i = 0; i < dev->max_queues; i++)
			__atomic_store_n(&dev->vq[i].enable, 1, __ATOMIC_RELAXED);
	}
	if (dev->iface->set_features)
		dev->iface->set_features(dev, features);
	return VU__DONE;
}

int vu__req_set_owner(struct vu__dev *d, struct vu__msg *m)
{
	(void)d;
	(void)m;
	return VU__DONE;
}

/* "VHOST_USER_RESET_OWNER" is deprecated; what is left of it is disabling all rings. */
int vu__req_reset_owner(struct vu__dev *d, struct vu__msg *m)
{
	(void)m;
	for (unsigned int i = 0; i < d->pub->max_queues; i++)
		__atomic_store_n(&d->pub->vq[i].enable, 0, __ATOMIC_RELAXED);
	return VU__DONE;
}

int vu__req_get_protocol_features(struct vu__dev *d, struct vu__msg *m)
{
	vu__msg_make_reply_u64(m, vu__offered_protocol_features(d));
	return VU__REPLY;
}

int vu__req_set_protocol_features(struct vu__dev *d, struct vu__msg *m)
{
	VuDev *dev = d->pub;
	uint64_t features = m->payload.u64;
	uint64_t unknown = features & ~vu__offered_protocol_features(d);
	uint64_t inband = VU_BIT(VU__PF_INBAND_NOTIFICATIONS);
	uint64_t inband_needs = VU_BIT(VU__PF_BACKEND_REQ) | VU_BIT(VU__PF_REPLY_ACK);

	if (unknown)
		return vu__refuse(d, -EINVAL, "protocol features 0x%llx were not offered",
				  (unsigned long long)unknown);
	/* "In-band notifications": the back-end must close the connection then. */
	if (features & inband && (features & inband_needs) != inband_needs) {
		vu__dev_panic(d, "INBAND_NOTIFICATIONS without BACKEND_REQ and REPLY_ACK");
		return vu__refuse(d, -EPROTO, "in-band notifications need a channel");
	}
	for (size_t i = 0; i < VU_ARRAY_SIZE(requirements); i++) {
		if (vu__has_bit(features, requirements[i].feature) &&
		    (features & requirements[i].needs) != requirements[i].needs)
			return vu__refuse(d, -EINVAL, "%s without what it needs",
					  vu__protocol_feature_name(requirements[i].feature));
	}
	dev->protocol_features = features;
	if (dev->iface->set_protocol_features)
		dev->iface->set_protocol_features(dev, features);
	return VU__DONE;
}

int vu__req_get_queue_num(struct vu__dev *d, struct vu__msg *m)
{
	vu__msg_make_reply_u64(m, d->pub->max_queues);
	return VU__REPLY;
}

int vu__req_reset_device(struct vu__dev *d, struct vu__msg *m)
{
	VuDev *dev = d->pub;

	(void)m;
	vu__dev_stop_queues(d);
	vu__expect_lapse(d);
	vu__inflight_forget(d);
	for (unsigned int i = 0; i < dev->max_queues; i++) {
		VuVirtq *vq = &dev->vq[i];

		__atomic_store_n(&vq->enable, 0, __ATOMIC_RELAXED);
		vq->last_avail_idx = 0;
		vq->shadow_avail_idx = 0;
		vq->used_idx = 0;
		d->queues[i].has_base = false;
		vq->vring.num = 0;
		d->queues[i].has_addr = false;
		d->queues[i].ring.broken[0] = '\0';
	}
	vu__tell(d, VU_TELEMETRY_RESET, -1, 0, 0);
	if (d->ext.reset)
		d->ext.reset(dev);
	return VU__DONE;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration space and the back-end's channel.  Control thread. */
#include <errno.h>
#include <string.h>

#include "backend/dev.h"

static int check_range(struct vu__dev *d, const struct vu__config_payload *c)
{
	if (vu__range_within(c->offset, c->size, VU__CONFIG_MAX))
		return 0;
	return vu__refuse(d, -EINVAL, "%u bytes of configuration at %u", c->size, c->offset);
}

/* "VHOST_USER_GET_CONFIG".  The device only knows how to give its first bytes. */
int vu__req_get_config(struct vu__dev *d, struct vu__msg *m)
{
	struct vu__config_payload *c = &m->payload.config;
	const VuDevIface *iface = d->pub->iface;
	uint8_t space[VU__CONFIG_MAX] = {0};
	int ret = check_range(d, c);

	if (ret)
		return ret;
	if (!iface->get_config)
		return vu__refuse(d, -ENOTSUP, "the device has no configuration space");
	if (iface->get_config(d->pub, space, c->offset + c->size))
		return vu__refuse(d, -EIO, "the device failed to give its configuration");
	memcpy(c->data, space + c->offset, c->size);
	vu__msg_make_reply(m, VU__CONFIG_HEAD + c->size);
	return VU__REPLY;
}

int vu__req_set_config(struct vu__dev *d, struct vu__msg *m)
{
	const struct vu__config_payload *c = &m->payload.config;
	const VuDevIface *iface = d->pub->iface;
	int ret = check_range(d, c);

	if (ret)
		return ret;
	if (!iface->set_config)
		return vu__refuse(d, -ENOTSUP, "the device has no configuration space");
	if (iface->set_config(d->pub, c->data, c->offset, c->size, c->flags))
		return vu__refuse(d, -EIO, "the device refuses %u bytes of configuration at %u",
				  c->size, c->offset);
	return VU__DONE;
}

int vu__req_set_backend_req_fd(struct vu__dev *d, struct vu__msg *m)
{
	vu__channel_set(d, vu__msg_take_fd(m, 0));
	return VU__DONE;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The public structures are embedded by programs: their sizes and the places of their
 * members are part of the interface (x86-64).
 */
#include <stdio.h>

#include <libvu/ext.h>
#include <libvu/libvhost-user.h>

#define SIZE(type, n)		 _Static_assert(sizeof(type) == (n), #type " has another size")
#define PLACE(type, member, n)	 _Static_assert(offsetof(type, member) == (n), #type "." #member)
#define AFTER(type, a, b)	 _Static_assert(offsetof(type, a) < offsetof(type, b), #type "." #b)
#define VALUE(name, n)		 _Static_assert((name) == (n), #name)

SIZE(VhostUserMsg, 328);
SIZE(VuVirtq, 176);
SIZE(VuVirtqElement, 32);
PLACE(VuVirtqElement, in_sg, 16);
SIZE(VuRing, 48);
SIZE(VuDevRegion, 40);
SIZE(VuDescStateSplit, 16);
SIZE(VuVirtqInflight, 16);
SIZE(VhostUserMemory, 264);
SIZE(VhostUserMemRegMsg, 40);
SIZE(VhostUserConfig, 268);
SIZE(VhostUserInflight, 24);
SIZE(VuDev, 1456 + sizeof(void *));

PLACE(VhostUserMsg, payload, 12);
PLACE(VhostUserMsg, fds, 284);
PLACE(VhostUserMsg, fd_num, 316);
PLACE(VhostUserMsg, data, 320);
PLACE(VhostUserMemRegMsg, region, 8);
PLACE(VuDev, sock, 0);
PLACE(VuDev, regions, 8);
PLACE(VuDev, priv, 1456);
AFTER(VuDev, regions, vq);
AFTER(VuDev, vq, inflight_info);
AFTER(VuDev, inflight_info, log_call_fd);
AFTER(VuDev, log_call_fd, slave_mutex);
AFTER(VuDev, slave_mutex, slave_fd);
AFTER(VuDev, slave_fd, log_size);
AFTER(VuDev, log_table, features);
AFTER(VuDev, protocol_features, broken);
AFTER(VuDev, broken, max_queues);
AFTER(VuDev, max_queues, set_watch);
AFTER(VuDev, panic, iface);
AFTER(VuDev, iface, postcopy_ufd);
AFTER(VuDev, postcopy_listening, priv);
_Static_assert(offsetof(VuDev, slave_fd) == offsetof(VuDev, backend_fd), "one fd, two names");
_Static_assert(offsetof(VuDev, slave_mutex) == offsetof(VuDev, backend_mutex),
	       "one mutex, two names");
AFTER(VuVirtq, vring, inflight);
AFTER(VuVirtq, last_avail_idx, shadow_avail_idx);
AFTER(VuVirtq, inuse, handler);
AFTER(VuVirtq, call_fd, kick_fd);
AFTER(VuVirtq, started, vra);
AFTER(VuVirtq, vra, priv);

VALUE(VHOST_USER_F_PROTOCOL_FEATURES, 30);
VALUE(VHOST_LOG_PAGE, 4096);
VALUE(VIRTQUEUE_MAX_SIZE, 1024);
VALUE(VHOST_MEMORY_BASELINE_NREGIONS, 8);
VALUE(VHOST_USER_MAX_RAM_SLOTS, 32);
VALUE(VHOST_USER_MAX_CONFIG_SIZE, 256);
VALUE(VHOST_USER_CONFIG_HDR_SIZE, 12);
VALUE(VHOST_USER_PROTOCOL_F_MAX, 16);
VALUE(VHOST_USER_PROTOCOL_FEATURE_MASK, 0xffff);
VALUE(VHOST_USER_MAX, 39);
VALUE(VHOST_USER_SLAVE_MAX, 6);
VALUE((int)VHOST_USER_PROTOCOL_F_SLAVE_REQ, (int)VHOST_USER_PROTOCOL_F_BACKEND_REQ);
VALUE((int)VHOST_USER_SET_SLAVE_REQ_FD, (int)VHOST_USER_SET_BACKEND_REQ_FD);
VALUE((int)VHOST_SET_CONFIG_TYPE_MASTER, (int)VHOST_SET_CONFIG_TYPE_FRONTEND);

int main(void)
{
	/* All of it is checked by the compiler. */
	printf("1..1\nok 1 - layout\n");
	return 0;
}

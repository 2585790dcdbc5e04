/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program around a device in the fuzz targets: an event loop that waits for nothing. */
#ifndef VU_TESTS_FUZZ_LOOP_H
#define VU_TESTS_FUZZ_LOOP_H

#include <poll.h>

#include "libvu/libvhost-user.h"
#include "libvu/log.h"
#include "tests/fuzz/fuzz.h"

#define WATCHES 32

static struct {
	int fd;
	vu_watch_cb cb;
	void *data;
} watches[WATCHES];

static inline void quiet(enum vu_log_level level, const char *text, void *opaque)
{
	(void)level, (void)text, (void)opaque;
}

static inline void panic(VuDev *dev, const char *text)
{
	(void)dev;
	EXPECT(text[0]);
}

static inline void remove_watch(VuDev *dev, int fd)
{
	(void)dev;
	for (int i = 0; i < WATCHES; i++) {
		if (watches[i].fd == fd)
			watches[i].fd = -1;
	}
}

static inline void set_watch(VuDev *dev, int fd, int condition, vu_watch_cb cb, void *data)
{
	(void)condition;
	EXPECT(fd >= 0);
	remove_watch(dev, fd);
	for (int i = 0; i < WATCHES; i++) {
		if (watches[i].fd >= 0)
			continue;
		watches[i].fd = fd;
		watches[i].cb = cb;
		watches[i].data = data;
		return;
	}
}

static inline void forget_watches(void)
{
	for (int i = 0; i < WATCHES; i++)
		watches[i].fd = -1;
}

/* One turn. */
static inline void run_watches(VuDev *dev)
{
	for (int i = 0; i < WATCHES; i++) {
		struct pollfd p = {.fd = watches[i].fd, .events = POLLIN};

		if (p.fd >= 0 && poll(&p, 1, 0) == 1)
			watches[i].cb(dev, p.revents, watches[i].data);
	}
}

#endif

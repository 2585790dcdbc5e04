/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log callback and the LIBVU_DEBUG mask.  Any thread. */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static vu_log_cb log_cb;
static void *log_opaque;

static pthread_once_t debug_once = PTHREAD_ONCE_INIT;
static unsigned int debug_mask;

static const struct {
	const char *name;
	unsigned int mask;
	const char *help;
} debug_names[] = {
	{"msg", VU__DEBUG_MSG, "each protocol message"},
	{"ring", VU__DEBUG_RING, "starts, stops and breaks of queues"},
	{"mem", VU__DEBUG_MEM, "memory regions"},
	{"all", VU__DEBUG_MSG | VU__DEBUG_RING | VU__DEBUG_MEM, "all of these"},
};

static void default_cb(enum vu_log_level level, const char *text, void *opaque)
{
	(void)opaque;
	if (level <= VU_LOG_WARNING || level == VU_LOG_DEBUG)
		fprintf(stderr, "libvu: %s\n", text);
}

void vu_set_log_callback(vu_log_cb cb, void *opaque)
{
	log_opaque = opaque;
	log_cb = cb;
}

void vu__log(enum vu_log_level level, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(log_cb ? log_cb : default_cb)(level, text, log_opaque);
}

static void debug_add(const char *word, size_t len)
{
	for (size_t i = 0; i < VU_ARRAY_SIZE(debug_names); i++) {
		if (strlen(debug_names[i].name) == len &&
		    !strncmp(word, debug_names[i].name, len)) {
			debug_mask |= debug_names[i].mask;
			return;
		}
	}
	for (size_t i = 0; i < VU_ARRAY_SIZE(debug_names); i++)
		vu__log(VU_LOG_WARNING, "LIBVU_DEBUG knows '%s': %s", debug_names[i].name,
			debug_names[i].help);
}

static void debug_init(void)
{
	const char *s = getenv("LIBVU_DEBUG");

	while (s && *s) {
		size_t len = strcspn(s, ",");

		if (len)
			debug_add(s, len);
		s += len + (s[len] == ',');
	}
}

bool vu__debug_on(enum vu__debug subject)
{
	pthread_once(&debug_once, debug_init);
	return debug_mask & subject;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the library has to say to a person.
 *
 * Every line goes through one callback, the process's.  Without one, errors and
 * warnings go to standard error.  The environment variable LIBVU_DEBUG, a
 * comma-separated list of msg (each protocol message), ring (starts, stops and breaks
 * of queues), mem (regions) or all, adds debug lines; "help" prints the list.
 *
 * Threads: vu_set_log_callback() before the first vu_init(); the callback itself is
 * called from whatever thread has something to say and must not call the library.
 */
#ifndef LIBVU_LOG_H
#define LIBVU_LOG_H

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum vu_log_level {
	VU_LOG_ERROR = 0,
	VU_LOG_WARNING = 1,
	VU_LOG_INFO = 2,
	VU_LOG_DEBUG = 3,
};

/**
 * vu_log_cb - takes one line, without a newline at its end
 * @level: how serious
 * @text: valid during the call
 * @opaque: what vu_set_log_callback() was given
 */
typedef void (*vu_log_cb)(enum vu_log_level level, const char *text, void *opaque);

/**
 * vu_set_log_callback - where the library's lines go
 * @cb: the callback; NULL: back to standard error
 * @opaque: handed to it
 */
void vu_set_log_callback(vu_log_cb cb, void *opaque);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vu-top as a server of metrics.  The main thread looks at the host again and again;
 * libmicrohttpd's answers with what was seen last.  The model is under the lock.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vu-top/address.h"
#include "vu-top/run.h"
#include "vu-top/ui.h"

#ifndef HAVE_MHD

int top_run_listen(struct top_settings *s)
{
	(void)s;
	top_say("--listen: this vu-top was built without libmicrohttpd");
	return TOP_EXIT_UNSUPPORTED;
}

#else

#include <microhttpd.h>

/* A client that says nothing for so long has gone. */
#define TIMEOUT_S   10
#define CONNECTIONS 64

struct server {
	struct top_settings *s;
	pthread_mutex_t lock;
	struct top_model *m;
	struct top_collector *collector;
	struct top_want want;
	struct top_out_options out;
	struct MHD_Daemon *daemon;
	const char *path; /* of the socket, to be removed */
	int fd;
	bool quit;
};

/* --- answers: the server's thread --- */

static enum MHD_Result answer(struct MHD_Connection *c, unsigned int status, const char *type,
			      char *text, size_t size, enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(size, text, mode);
	enum MHD_Result ret;

	if (!r) {
		if (mode == MHD_RESPMEM_MUST_FREE)
			free(text);
		return MHD_NO;
	}
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	if (status == MHD_HTTP_OK)
		MHD_add_response_header(r, MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT);
	ret = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return ret;
}

static enum MHD_Result answer_text(struct MHD_Connection *c, unsigned int status,
				   const char *type, const char *text)
{
	return answer(c, status, type, (char *)text, strlen(text), MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result answer_metrics(struct server *v, struct MHD_Connection *c)
{
	const char *accept =
		MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
	enum top_exposition format;
	char *text = NULL;
	size_t size = 0;
	FILE *f;

	if (!top_negotiate(accept, &format))
		return answer_text(c, MHD_HTTP_NOT_ACCEPTABLE, "text/plain",
				   "There is application/openmetrics-text and text/plain.\n");
	f = open_memstream(&text, &size);
	if (!f)
		return MHD_NO;
	pthread_mutex_lock(&v->lock);
	if (v->m->frame)
		top_out_metrics(v->m, &v->out, format, f);
	pthread_mutex_unlock(&v->lock);
	if (fclose(f)) {
		free(text);
		return MHD_NO;
	}
	return answer(c, MHD_HTTP_OK, top_exposition_type(format), text, size,
		      MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result on_request(void *data, struct MHD_Connection *c, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **state)
{
	static int begun;
	struct server *v = data;

	(void)version;
	(void)upload;
	/* The first call is for the headers only; what a client uploads is thrown away. */
	if (!*state) {
		*state = &begun;
		return MHD_YES;
	}
	if (*upload_size) {
		*upload_size = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) && strcmp(method, MHD_HTTP_METHOD_HEAD))
		return answer_text(c, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain",
				   "GET and HEAD only.\n");
	if (!strcmp(url, "/metrics"))
		return answer_metrics(v, c);
	if (!strcmp(url, "/"))
		return answer_text(c, MHD_HTTP_OK, "text/html; charset=utf-8",
				   "<!doctype html><title>vu-top</title>"
				   "<p>vu-top: <a href=\"/metrics\">metrics</a>\n");
	return answer_text(c, MHD_HTTP_NOT_FOUND, "text/plain", "There is only /metrics.\n");
}

/* --- looking: the main thread --- */

static bool look(struct server *v)
{
	struct top_frame *f;
	int ret = top_collect(v->collector, &v->want, &f);

	if (!ret) {
		pthread_mutex_lock(&v->lock);
		ret = top_model_update(v->m, f);
		pthread_mutex_unlock(&v->lock);
	}
	if (ret)
		top_say("%s", strerror(-ret));
	return !ret;
}

static void serve(struct server *v)
{
	uint64_t next = top_now_ns(), end = UINT64_MAX;

	if (v->s->duration_ns)
		end = next + v->s->duration_ns;
	while (!v->quit) {
		(void)look(v);
		next = VU_MAX(next + v->s->interval_ns, top_now_ns());
		while (!v->quit && top_now_ns() < next) {
			uint64_t tick =
				top_now_ns() + top_collect_tick_ms(v->collector) * 1000000ull;
			unsigned int signals;

			(void)top_wait(NULL, 0, VU_MIN(VU_MIN(tick, next), end), &signals);
			if (signals & (TOP_SIG_END | TOP_SIG_HANGUP) || top_now_ns() >= end)
				v->quit = true;
			top_collect_tick(v->collector);
		}
	}
}

static int start(struct server *v)
{
	char why[200];

	v->collector = top_collector_new(&v->s->sample);
	if (!v->collector) {
		top_say("%s", strerror(errno));
		return TOP_EXIT_FAILED;
	}
	v->fd = top_listen_socket(v->s->listen, &v->path, why, sizeof(why));
	if (v->fd < 0) {
		top_say("--listen %s: %s", v->s->listen, why);
		return v->fd == -EACCES || v->fd == -EPERM ? TOP_EXIT_PERMISSION
							   : TOP_EXIT_FAILED;
	}
	/* Before anybody asks, there is an answer. */
	if (!look(v))
		return TOP_EXIT_FAILED;
	v->daemon = MHD_start_daemon(
		MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL, on_request, v,
		MHD_OPTION_LISTEN_SOCKET, v->fd, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned int)TIMEOUT_S, MHD_OPTION_CONNECTION_LIMIT, (unsigned int)CONNECTIONS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)16384, MHD_OPTION_END);
	if (!v->daemon) {
		top_say("--listen %s: the server does not start", v->s->listen);
		return TOP_EXIT_FAILED;
	}
	return 0;
}

static void make_want(struct server *v)
{
	top_want_for_filters(v->m, v->s->filter, v->s->latency, &v->want);
}

int top_run_listen(struct top_settings *s)
{
	struct server v = {.s = s, .m = top_make_model(s), .out = s->out, .fd = -1};
	int ret;

	if (!v.m)
		return TOP_EXIT_FAILED;
	pthread_mutex_init(&v.lock, NULL);
	top_signals_init(false);
	make_want(&v);
	ret = start(&v);
	if (!ret) {
		printf("vu-top: ready on %s\n", s->listen);
		fflush(stdout);
		serve(&v);
	}
	if (v.daemon)
		MHD_stop_daemon(v.daemon); /* closes the socket */
	else if (v.fd >= 0)
		close(v.fd);
	if (v.path)
		unlink(v.path);
	top_collector_free(v.collector);
	top_want_release(&v.want);
	top_model_free(v.m);
	pthread_mutex_destroy(&v.lock);
	return ret;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices, and the threads that serve their queues.  Pure. */
#include <stdio.h>
#include <string.h>

#include "vu-top/view.h"

/* --- devices --- */

enum {
	D_NAME, D_TYPE, D_PROCESS, D_CONNECTED, D_QUEUES, D_REQUESTS, D_IN, D_OUT, D_MEMORY,
	D_MESSAGES, D_AGE, D_LOG, D_SOCKET, D_HEALTH, D_COLUMNS
};

static void put_device(struct top_canvas *c, const struct top_scene *s,
		       const struct top_column *k, unsigned int row, const struct top_device *t)
{
	const struct vu__obs_snapshot *snap = s->m->frame->snap;
	const struct vu__obs_device *d = t->dev;
	const struct vu__obs_process *p = vu__obs_process_of(snap, d);
	enum top_units units = s->ui->units;
	bool told = d->from == VU__OBS_TELEMETRY;
	double memory = 0;
	char text[200];

	top_device_title(s, d, text, sizeof(text));
	top_column_put(c, row, &k[D_NAME], TOP_STRONG, text);
	top_column_put(c, row, &k[D_TYPE], TOP_NORMAL, top_type_name(d->virtio_id));
	snprintf(text, sizeof(text), "%s[%d]", p->comm, p->pid);
	top_column_put(c, row, &k[D_PROCESS], p->alive ? TOP_NORMAL : TOP_CRITICAL, text);
	top_column_put(c, row, &k[D_CONNECTED],
		       d->connected == VU__OBS_NO ? TOP_WARNING : TOP_NORMAL,
		       !p->alive		    ? "dead"
		       : d->connected == VU__OBS_YES ? "yes"
		       : d->connected == VU__OBS_NO  ? "no"
						     : "?");
	snprintf(text, sizeof(text), "%u/%u", t->nstarted, t->nqueues);
	top_column_put(c, row, &k[D_QUEUES], TOP_NORMAL, text);
	top_format_count(text, sizeof(text), s->m->dt ? t->requests : TOP_UNKNOWN);
	top_column_put(c, row, &k[D_REQUESTS], TOP_NORMAL, text);
	top_format_bytes(text, sizeof(text), s->m->dt && told ? t->bytes_in : TOP_UNKNOWN, units);
	top_column_put(c, row, &k[D_IN], TOP_NORMAL, text);
	top_format_bytes(text, sizeof(text), s->m->dt && told ? t->bytes_out : TOP_UNKNOWN, units);
	top_column_put(c, row, &k[D_OUT], TOP_NORMAL, text);
	for (uint32_t i = 0; i < d->nregions; i++)
		memory += snap->regions[d->first_region + i].size;
	top_format_bytes(text, sizeof(text), told ? memory : TOP_UNKNOWN, TOP_IEC);
	top_column_put(c, row, &k[D_MEMORY], TOP_NORMAL, text);
	top_format_count(text, sizeof(text), told ? d->messages : TOP_UNKNOWN);
	top_column_put(c, row, &k[D_MESSAGES], TOP_NORMAL, text);
	top_format_ns(text, sizeof(text),
		      d->connected_ns ? snap->mono_ns - d->connected_ns : TOP_UNKNOWN);
	top_column_put(c, row, &k[D_AGE], TOP_NORMAL, text);
	top_column_put(c, row, &k[D_LOG], d->log_on ? TOP_INFO : TOP_DIM, d->log_on ? "on" : "-");
	top_column_put(c, row, &k[D_SOCKET], TOP_DIM, d->socket);
	top_column_put(c, row, &k[D_HEALTH], top_severity_style(t->worst),
		       t->worst < VU__OBS_INFO || !t->worst_queue
			       ? "ok"
			       : vu__obs_verdicts[t->worst_queue->verdict.id].name);
}

void top_view_devices(struct top_canvas *c, const struct top_scene *s, struct top_area a)
{
	bool wide = c->cols >= 60;
	struct top_column k[D_COLUMNS] = {
		[D_NAME] = {.title = "DEVICE", .width = wide ? 20 : 14, .grows = 2},
		[D_TYPE] = {.title = "TYPE", .width = 5, .rank = 6},
		[D_PROCESS] = {.title = "PROCESS", .width = 16, .rank = 5},
		[D_CONNECTED] = {.title = "CONN", .width = 4, .rank = 3},
		[D_QUEUES] = {.title = "QUEUES", .width = 6, .right = true, .rank = 4},
		[D_REQUESTS] = {.title = "REQ/s", .width = 6, .right = true, .rank = 2},
		[D_IN] = {.title = "IN/s", .width = 6, .right = true, .rank = 7},
		[D_OUT] = {.title = "OUT/s", .width = 6, .right = true, .rank = 7},
		[D_MEMORY] = {.title = "MEMORY", .width = 6, .right = true, .rank = 9},
		[D_MESSAGES] = {.title = "MSGS", .width = 5, .right = true, .rank = 10},
		[D_AGE] = {.title = "SINCE", .width = 6, .right = true, .rank = 8},
		[D_LOG] = {.title = "LOG", .width = 3, .rank = 11},
		[D_SOCKET] = {.title = "SOCKET", .width = 24, .rank = 12, .grows = 1},
		[D_HEALTH] = {.title = "WORST", .width = wide ? 20 : 14, .rank = 1, .grows = 1},
	};
	size_t first, n;

	top_columns_fit(k, D_COLUMNS, c->cols);
	top_columns_header(c, a.first++, k, D_COLUMNS, NULL);
	a.rows--;
	n = top_list(c, s, &a, TOP_VIEW_DEVICES, s->m->ndevices, &first);
	for (size_t i = 0; i < n; i++) {
		put_device(c, s, k, a.first + i, s->m->devices[first + i]);
		if (first + i == s->ui->at[TOP_VIEW_DEVICES])
			top_select_row(c, a.first + i);
	}
}

/* --- threads: of each process, how evenly its queues are spread --- */

struct thread {
	const struct vu__obs_process *proc;
	const struct vu__obs_worker *worker; /* of one of its queues */
	pid_t tid;
	unsigned int nqueues, npending;
	double requests, busy, share; /* of its process's requests */
	enum vu__obs_severity worst;
	char queues[96];
};

static struct thread *thread_of(struct thread *all, size_t *n, const struct top_queue *t)
{
	struct thread *one;

	for (size_t i = 0; i < *n; i++) {
		if (all[i].proc == t->proc && all[i].tid == t->q->worker.tid)
			return &all[i];
	}
	one = &all[(*n)++];
	memset(one, 0, sizeof(*one));
	one->proc = t->proc;
	one->tid = t->q->worker.tid;
	one->worker = &t->q->worker;
	one->busy = TOP_UNKNOWN;
	return one;
}

static void add_queue(struct thread *one, const struct top_queue *t)
{
	size_t len = strlen(one->queues);
	char name[64];

	if (vu__obs_knows(t->q, VU__OBS_WORKER))
		one->worker = &t->q->worker;
	one->nqueues++;
	one->npending += top_depth(t->q) > 0;
	if (vu__obs_has_rate(&t->rates, VU__OBS_COMPLETED))
		one->requests += t->rates.per_s[VU__OBS_COMPLETED];
	if (top_known(t->busy))
		one->busy = t->busy;
	one->worst = VU_MAX(one->worst, t->verdict.severity);
	top_device_name(t->dev, name, sizeof(name));
	if (len < sizeof(one->queues) - 1)
		snprintf(one->queues + len, sizeof(one->queues) - len, "%s%s:%u", len ? " " : "",
			 name, t->q->index);
}

/* The busiest first, process by process. */
static int by_load(const void *a, const void *b)
{
	const struct thread *x = a, *y = b;

	if (x->proc != y->proc)
		return x->proc < y->proc ? -1 : 1;
	if (x->requests != y->requests)
		return x->requests < y->requests ? 1 : -1;
	return (x->tid > y->tid) - (x->tid < y->tid);
}

/* How many times the mean the busiest thread of a process does; TOP_UNKNOWN. */
static double imbalance(const struct thread *all, size_t n, const struct vu__obs_process *p)
{
	double sum = 0, most = 0;
	size_t threads = 0;

	for (size_t i = 0; i < n; i++) {
		if (all[i].proc != p || !all[i].tid)
			continue;
		sum += all[i].requests;
		most = VU_MAX(most, all[i].requests);
		threads++;
	}
	return threads > 1 && sum > 0 ? most / (sum / threads) : TOP_UNKNOWN;
}

enum {
	T_PROCESS, T_TID, T_NAME, T_STATE, T_CPU, T_BUSY, T_NQUEUES, T_WAITING, T_REQUESTS,
	T_SHARE, T_MAXMEAN, T_WHERE, T_QUEUES, T_COLUMNS
};

static void put_thread(struct top_canvas *c, const struct top_column *k, unsigned int row,
		       const struct thread *t, double max_mean, bool first_of_process)
{
	const struct vu__obs_worker *w = t->worker;
	char text[128];

	snprintf(text, sizeof(text), "%s[%d]", t->proc->comm, t->proc->pid);
	top_column_put(c, row, &k[T_PROCESS], first_of_process ? TOP_STRONG : TOP_DIM, text);
	if (t->tid)
		snprintf(text, sizeof(text), "%d", t->tid);
	else
		snprintf(text, sizeof(text), "not known");
	top_column_put(c, row, &k[T_TID], TOP_NORMAL, text);
	top_column_put(c, row, &k[T_NAME], TOP_NORMAL, w->comm[0] ? w->comm : "-");
	snprintf(text, sizeof(text), "%c", w->state ? w->state : '-');
	top_column_put(c, row, &k[T_STATE],
		       w->state == 'T' || w->state == 't' || w->state == 'D' ? TOP_WARNING
									     : TOP_NORMAL,
		       text);
	snprintf(text, sizeof(text), w->state ? "%d" : "-", w->cpu);
	top_column_put(c, row, &k[T_CPU], TOP_NORMAL, text);
	top_format_percent(text, sizeof(text), t->busy);
	top_column_put(c, row, &k[T_BUSY], t->busy >= 0.95 ? TOP_WARNING : TOP_NORMAL, text);
	snprintf(text, sizeof(text), "%u", t->nqueues);
	top_column_put(c, row, &k[T_NQUEUES], TOP_NORMAL, text);
	snprintf(text, sizeof(text), "%u", t->npending);
	top_column_put(c, row, &k[T_WAITING], TOP_NORMAL, text);
	top_format_count(text, sizeof(text), t->requests);
	top_column_put(c, row, &k[T_REQUESTS], TOP_NORMAL, text);
	top_put_bar(c, row, k[T_SHARE].at, k[T_SHARE].got, t->share, TOP_DATA1);
	top_format_count(text, sizeof(text), max_mean);
	top_column_put(c, row, &k[T_MAXMEAN], max_mean >= 2 ? TOP_WARNING : TOP_NORMAL,
		       first_of_process ? text : "");
	top_column_put(c, row, &k[T_WHERE], TOP_DIM, w->wchan[0] ? w->wchan : "-");
	top_column_put(c, row, &k[T_QUEUES], top_severity_style(t->worst) == TOP_DIM
						     ? TOP_NORMAL
						     : top_severity_style(t->worst),
		       t->queues);
}

static size_t gather(const struct top_model *m, struct thread *all)
{
	size_t n = 0;

	for (uint32_t i = 0; i < m->nqueues; i++) {
		const struct top_queue *t = m->queues[i];

		if (top_state_of(t) != TOP_UNUSED && top_state_of(t) != TOP_DEAD)
			add_queue(thread_of(all, &n, t), t);
	}
	qsort(all, n, sizeof(*all), by_load);
	for (size_t i = 0; i < n; i++) {
		double sum = 0;

		for (size_t k = 0; k < n; k++)
			sum += all[k].proc == all[i].proc ? all[k].requests : 0;
		all[i].share = sum > 0 ? all[i].requests / sum : 0;
	}
	return n;
}

void top_view_threads(struct top_canvas *c, const struct top_scene *s, struct top_area a)
{
	struct top_column k[T_COLUMNS] = {
		[T_PROCESS] = {.title = "PROCESS", .width = 14, .grows = 1, .rank = 4},
		[T_TID] = {.title = "THREAD", .width = 9, .right = true},
		[T_NAME] = {.title = "NAME", .width = 12, .rank = 8},
		[T_STATE] = {.title = "S", .width = 1, .rank = 3},
		[T_CPU] = {.title = "CPU", .width = 3, .right = true, .rank = 9},
		[T_BUSY] = {.title = "BUSY%", .width = 5, .right = true, .rank = 2},
		[T_NQUEUES] = {.title = "QUEUES", .width = 6, .right = true, .rank = 6},
		[T_WAITING] = {.title = "WORK", .width = 5, .right = true, .rank = 7},
		[T_REQUESTS] = {.title = "REQ/s", .width = 6, .right = true, .rank = 1},
		[T_SHARE] = {.title = "SHARE", .width = 10, .rank = 10},
		[T_MAXMEAN] = {.title = "MAX/MEAN", .width = 8, .right = true, .rank = 11},
		[T_WHERE] = {.title = "SLEEPS IN", .width = 16, .rank = 12},
		[T_QUEUES] = {.title = "SERVES", .width = 16, .rank = 5, .grows = 3},
	};
	VU_CLEANUP_FREE struct thread *all =
		calloc(s->m->nqueues ? s->m->nqueues : 1, sizeof(*all));
	size_t total, first, n;

	top_columns_fit(k, T_COLUMNS, c->cols);
	top_columns_header(c, a.first++, k, T_COLUMNS, NULL);
	a.rows--;
	if (!all)
		return;
	total = gather(s->m, all);
	n = top_list(c, s, &a, TOP_VIEW_THREADS, total, &first);
	for (size_t i = first; i < first + n; i++) {
		bool begins = !i || all[i].proc != all[i - 1].proc;

		put_thread(c, k, a.first + i - first, &all[i],
			   imbalance(all, total, all[i].proc), begins);
		if (i == s->ui->at[TOP_VIEW_THREADS])
			top_select_row(c, a.first + i - first);
	}
}

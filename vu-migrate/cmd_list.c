/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vu-migrate list: the back-ends of this host. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/rundir.h"
#include "state/waiting.h"
#include "tools/utf8.h"
#include "vu-migrate/client.h"
#include "vu-migrate/cmd.h"
#include "vu-migrate/json.h"

struct counts {
	unsigned int queues, started, in_flight, broken;
};

static struct counts count(const Vu__Control__Info *info)
{
	struct counts c = {0, 0, 0, 0};

	for (size_t i = 0; i < info->n_queues; i++) {
		const Vu__Control__Info__Queue *q = info->queues[i];

		c.queues++;
		c.started += q->started;
		c.in_flight += q->in_flight;
		c.broken += q->broken[0] != '\0';
	}
	return c;
}

static const char *state_of(const Vu__Control__Info *info)
{
	struct counts c = count(info);

	if (info->held[0])
		return "held";
	if (info->restored[0])
		return "restored";
	if (c.broken)
		return "broken";
	if (info->fresh)
		return "fresh";
	return c.started ? info->logging ? "migrating" : "running" : "stopped";
}

/* --- text --- */

static void print_line(const struct client *c)
{
	const Vu__Control__Info *i = c->info;
	struct counts n = count(i);
	char vm[40], queues[24];

	vm_name(i->frontend_pid, vm, sizeof(vm));
	snprintf(queues, sizeof(queues), "%u/%u", n.started, i->max_queues);
	printf("%-12s %-16s %-20s %7s %8u  %-9s %s\n", c->name, utf8_shown(i->name),
	       utf8_shown(vm), queues, n.in_flight, state_of(i),
	       i->n_obstacles ? utf8_shown(i->obstacles[0]) : "yes");
}

/* --- JSON --- */

static struct json_object *strings(char **list, size_t n)
{
	struct json_object *a = json_object_new_array();

	for (size_t i = 0; i < n; i++)
		json_object_array_add(a, json_object_new_string(list[i]));
	return a;
}

static struct json_object *queues(const Vu__Control__Info *info)
{
	struct json_object *a = json_object_new_array();

	for (size_t i = 0; i < info->n_queues; i++)
		json_object_array_add(a, json_of_message(&info->queues[i]->base));
	return a;
}

static struct json_object *to_json(const struct client *c)
{
	struct json_object *o = json_object_new_object();
	const Vu__Control__Info *i = c->info;
	char vm[200];

	json_object_object_add(o, "target", json_object_new_string(c->name));
	if (!i) {
		json_object_object_add(o, "error", json_object_new_string(c->why));
		return o;
	}
	vm_name(i->frontend_pid, vm, sizeof(vm));
	json_object_object_add(o, "pid", json_object_new_uint64(i->pid));
	json_object_object_add(o, "name", json_object_new_string(i->name));
	json_object_object_add(o, "library", json_object_new_string(i->library));
	json_object_object_add(o, "socket", json_object_new_string(i->socket));
	json_object_object_add(o, "vm", json_object_new_string(vm));
	json_object_object_add(o, "frontend_pid", json_object_new_uint64(i->frontend_pid));
	json_object_object_add(o, "state", json_object_new_string(state_of(i)));
	json_object_object_add(o, "features", json_mask(i->features));
	json_object_object_add(o, "protocol_features", json_mask(i->protocol_features));
	json_object_object_add(o, "memory_bytes", json_object_new_uint64(i->memory));
	json_object_object_add(o, "regions", json_object_new_uint64(i->regions));
	json_object_object_add(o, "max_queues", json_object_new_uint64(i->max_queues));
	json_object_object_add(o, "queues", queues(i));
	json_object_object_add(o, "movable", json_object_new_boolean(!i->n_obstacles));
	json_object_object_add(o, "obstacles", strings(i->obstacles, i->n_obstacles));
	json_object_object_add(o, "can", strings(i->can, i->n_can));
	return o;
}

/* --- both --- */

struct list {
	struct json_object *json;
	unsigned int n;
};

static void print_head(const struct list *l)
{
	if (!l->n)
		printf("%-12s %-16s %-20s %7s %8s  %-9s %s\n", "TARGET", "DEVICE", "VM",
		       "STARTED", "INFLIGHT", "STATE", "MOVABLE");
}

static void each(struct client *c, void *opaque)
{
	struct list *l = opaque;

	if (l->json) {
		json_object_array_add(l->json, to_json(c));
	} else if (c->info) {
		print_head(l);
		print_line(c);
	} else {
		say("%s: %s", c->name, c->why);
	}
	l->n++;
}

/* --- images that wait, where there is no back-end to ask --- */

static struct json_object *waiting_to_json(const struct vu__waiting *w, const char *why)
{
	struct json_object *o = json_object_new_object();
	char target[16], *obstacle = (char *)why;

	snprintf(target, sizeof(target), "%d", (int)w->pid);
	json_object_object_add(o, "target", json_object_new_string(target));
	json_object_object_add(o, "pid", json_object_new_int(w->pid));
	json_object_object_add(o, "name", json_object_new_string(w->device));
	json_object_object_add(o, "socket", json_object_new_string(w->socket));
	json_object_object_add(o, "state", json_object_new_string("restored"));
	json_object_object_add(o, "image", json_object_new_string(w->image));
	json_object_object_add(o, "movable", json_object_new_boolean(false));
	json_object_object_add(o, "obstacles", strings(&obstacle, 1));
	return o;
}

static void add_waiting(struct list *l, const struct vu__waiting *w)
{
	char why[400];

	snprintf(why, sizeof(why), "image %s waits for its front-end%s%s", w->image,
		 w->socket[0] ? " at " : "", w->socket);
	if (l->json) {
		json_object_array_add(l->json, waiting_to_json(w, why));
	} else {
		print_head(l);
		printf("%-12d %-16s %-20s %7s %8s  %-9s %s\n", (int)w->pid,
		       utf8_shown(w->device), "-", "-",
		       "-", "restored", utf8_shown(why));
	}
	l->n++;
}

static void list_waiting(struct list *l)
{
	int fd = vu__run_dir() ? open(vu__run_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct vu__waiting w;
	struct dirent *e;

	if (!dir && fd >= 0)
		close(fd);
	while (dir && (e = readdir(dir))) {
		int ret = vu__waiting_read(fd, e->d_name, &w);

		if (!ret)
			add_waiting(l, &w);
		else if (ret == -ESRCH)
			(void)unlinkat(fd, e->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

static int run_list(int argc, char **argv)
{
	struct list l = {.json = globals.json ? json_object_new_array() : NULL};
	int status = client_each(each, &l);

	if (!status)
		list_waiting(&l);
	(void)argc;
	(void)argv;
	if (l.json)
		json_print(l.json);
	else if (!status && !l.n && !globals.quiet)
		say("no back-end of this host has a control socket");
	return status;
}

static const struct opt no_opts[] = {{0}};

const struct command cmd_list = {
	.name = "list",
	.args = "",
	.what = "print the back-ends of this host, and whether they can be moved",
	.opts = no_opts,
	.run = run_list,
};

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vu-trace map: which eventfd is which queue's.  The main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "format.h"
#include "observe/model.h"
#include "select.h"
#include "session.h"

/* Nothing, if that side is not asked for. */
static const struct end *side(const struct session *s, const struct queue *q, enum role role)
{
	static const struct end none;

	if (!selects_side(s->opt, role))
		return &none;
	return role == ROLE_KICK ? &q->kick : &q->call;
}

static void end_text(char *buf, size_t size, const struct end *e)
{
	if (!e->obj)
		snprintf(buf, size, "-");
	else
		snprintf(buf, size, "%d (fd %d, %d)", e->id, e->vmm_fd, e->backend_fd);
}

static void table_row(const struct session *s, const struct slot_info *i)
{
	const struct queue *q = &i->queue;
	const struct end *k = side(s, q, ROLE_KICK), *c = side(s, q, ROLE_CALL);
	char kick[48], call[48], where[40] = "-", backend[40];

	end_text(kick, sizeof(kick), k);
	end_text(call, sizeof(call), c);
	if (q->notify_addr)
		snprintf(where, sizeof(where), "%s 0x%" PRIx64,
			 q->notify_bus == SCAN_BUS_PIO ? "port" : "mem", q->notify_addr);
	snprintf(backend, sizeof(backend), "%s/%u", world_comm(s->world, q->backend), q->backend);
	printf("%-30s %-8s %-24s %-18s %-9s %-8s %-18s %-9s %-8s %-9s %s\n", i->name,
	       vu__obs_role_name(i->role), backend, kick, source_name(k->source),
	       confidence_name(k->confidence), call, source_name(c->source),
	       confidence_name(c->confidence), mode_name(q->mode), where);
}

static void print_table(const struct session *s)
{
	printf("%-30s %-8s %-24s %-18s %-9s %-8s %-18s %-9s %-8s %-9s %s\n",
	       "VM:DEVICE:QUEUE", "ROLE", "BACK-END", "KICK ID (VMM, BACK)", "FROM", "SURE", "CALL ID", "FROM", "SURE",
	       "MODE", "GUEST NOTIFIES");
	for (uint32_t i = 0; i < s->nslots; i++) {
		if (s->slots[i].selected && s->slots[i].present)
			table_row(s, &s->slots[i]);
	}
}

static void json_end(struct json *j, const char *key, const struct end *e)
{
	if (!e->obj) {
		json_null(j, key);
		return;
	}
	json_open(j, key, '{');
	json_signed(j, "id", e->id);
	json_signed(j, "vmm_fd", e->vmm_fd);
	json_signed(j, "backend_fd", e->backend_fd);
	json_number(j, "count", e->count);
	json_text(j, "source", source_name(e->source));
	json_text(j, "confidence", confidence_name(e->confidence));
	json_close(j, '}');
}

static void json_process(struct json *j, const struct session *s, const char *key,
			 uint32_t tgid)
{
	const char *vm = world_vm(s->world, tgid);

	json_open(j, key, '{');
	json_number(j, "pid", tgid);
	json_text(j, "comm", world_comm(s->world, tgid));
	if (*vm)
		json_text(j, "name", vm);
	json_close(j, '}');
}

static void json_queue(struct json *j, const struct session *s, const struct slot_info *i)
{
	const struct queue *q = &i->queue;

	json_open(j, NULL, '{');
	json_text(j, "name", i->name);
	json_process(j, s, "vmm", q->vmm);
	json_process(j, s, "backend", q->backend);
	json_text(j, "device", q->name);
	json_number(j, "device_number", q->device);
	json_number(j, "queue", q->index);
	json_text(j, "role", vu__obs_role_name(i->role));
	json_end(j, "kick", side(s, q, ROLE_KICK));
	json_end(j, "call", side(s, q, ROLE_CALL));
	json_end(j, "err", &q->err);
	json_text(j, "mode", mode_name(q->mode));
	if (q->notify_addr) {
		json_open(j, "notify", '{');
		json_text(j, "bus", q->notify_bus == SCAN_BUS_PIO ? "port" : "memory");
		json_hex(j, "address", q->notify_addr);
		if (q->notify_exact)
			json_number(j, "value", q->notify_match);
		json_close(j, '}');
	}
	if (q->gsi) {
		json_open(j, "interrupt", '{');
		json_number(j, "gsi", q->gsi);
		if (q->msi_address) {
			json_hex(j, "address", q->msi_address);
			json_hex(j, "data", q->msi_data);
		}
		json_close(j, '}');
	}
	json_close(j, '}');
}

static void print_json(const struct session *s)
{
	struct json j = json_to(stdout);

	json_open(&j, NULL, '{');
	json_number(&j, "schema", 1);
	json_text(&j, "seen_by", world_has_bpf(s->world) ? "bpf" : "proc");
	json_open(&j, "queues", '[');
	for (uint32_t i = 0; i < s->nslots; i++) {
		if (s->slots[i].selected && s->slots[i].present)
			json_queue(&j, s, &s->slots[i]);
	}
	json_close(&j, ']');
	json_number(&j, "unmatched", world_topo(s->world)->unmatched);
	json_close(&j, '}');
	json_line(&j);
}

static void dot_text(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		putchar(*s);
	}
	putchar('"');
}

static void dot_edge(const char *from, const char *to, const struct end *e, const char *what)
{
	printf("  ");
	dot_text(from);
	printf(" -> ");
	dot_text(to);
	printf(" [label=\"%s %d\"%s];\n", what, e->id,
	       e->confidence == CONF_CERTAIN ? "" : " style=dashed");
}

static void print_dot(const struct session *s)
{
	puts("digraph queues {\n  rankdir=LR;\n  node [shape=box];");
	for (uint32_t i = 0; i < s->nslots; i++) {
		const struct queue *q = &s->slots[i].queue;
		char vmm[64], backend[64];

		if (!s->slots[i].selected || !s->slots[i].present)
			continue;
		snprintf(vmm, sizeof(vmm), "%s/%u", world_comm(s->world, q->vmm), q->vmm);
		snprintf(backend, sizeof(backend), "%s/%u", world_comm(s->world, q->backend),
			 q->backend);
		printf("  ");
		dot_text(s->slots[i].name);
		puts(" [shape=ellipse];");
		if (side(s, q, ROLE_KICK)->obj) {
			dot_edge(vmm, s->slots[i].name, &q->kick, "kick");
			dot_edge(s->slots[i].name, backend, &q->kick, "kick");
		}
		if (side(s, q, ROLE_CALL)->obj)
			dot_edge(backend, vmm, &q->call, "call");
	}
	puts("}");
}

int cmd_map(const struct options *o)
{
	struct session s;
	int ret = session_open(&s, o, NULL);

	if (ret < 0) {
		if (o->json)
			print_json(&s);
		else if (o->dot)
			print_dot(&s);
		else if (session_selected(&s))
			print_table(&s);
		if (!session_selected(&s))
			session_say_none(&s, "");
		if (s.no_bpf)
			say("without BPF (%s) KVM's tables are not seen",
			    bpf_error(-s.no_bpf));
		ret = session_selected(&s) ? EXIT_OK : EXIT_FAILED;
	}
	session_close(&s);
	return ret;
}

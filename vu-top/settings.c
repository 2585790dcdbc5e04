/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "vu-top/optionids.h"
#include "vu-top/options.h"

#define MIN_INTERVAL 50000000ull	/* 50 ms */
#define MAX_INTERVAL 3600000000000ull	/* an hour */
#define LONGEST	     (366 * 86400000000000ull)

/* --- values --- */

static bool wrong(char *why, size_t size, const char *arg, const char *what)
{
	snprintf(why, size, "'%.60s' is not %s", arg, what);
	return false;
}

static bool bytes(const char *arg, uint64_t min, uint64_t max, uint64_t *out, char *why,
		  size_t size)
{
	double v;

	if (!top_parse_number(arg, strlen(arg), TOP_BYTES, &v) || v < min || v > max)
		return wrong(why, size, arg, "a number of bytes within reason, such as 64M");
	*out = v;
	return true;
}

static bool count(const char *arg, uint64_t max, uint64_t *out, char *why, size_t size)
{
	char *end;

	errno = 0;
	*out = strtoull(arg, &end, 10);
	if (errno || end == arg || *end || *arg == '-' || !*out || *out > max)
		return wrong(why, size, arg, "a number from 1 on");
	return true;
}

static bool choice(const char *arg, const char *const *names, size_t n, unsigned int *out)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(arg, names[i])) {
			*out = i;
			return true;
		}
	}
	return false;
}

static bool filter(struct top_filter **to, const char *arg, char *why, size_t size)
{
	top_filter_free(*to);
	*to = top_filter_parse(arg, why, size);
	return *to;
}

static bool set_mode(struct top_settings *s, enum top_mode mode, char *why, size_t size)
{
	if (s->mode != TOP_MODE_SCREEN && s->mode != mode) {
		snprintf(why, size, "only one kind of output at a time");
		return false;
	}
	s->mode = mode;
	return true;
}

static bool set_alert(struct top_settings *s, const char *arg, char *why, size_t size)
{
	if (s->nalerts == TOP_MAX_ALERTS) {
		snprintf(why, size, "there are %d already", TOP_MAX_ALERTS);
		return false;
	}
	s->alerts[s->nalerts++] = arg;
	return true;
}

/* --- options by what they are about; each says by *@done whether it was one of its --- */

static bool set_what(struct top_settings *s, int id, const char *arg, bool *done, char *why,
		     size_t size)
{
	*done = true;
	switch (id) {
	case 'f':
		s->given_filter = arg;
		return true;
	case 'p':
		s->pids = arg;
		return true;
	case OPT_VM:
		s->vm = arg;
		return true;
	case OPT_DEVICE:
		s->device = arg;
		return true;
	case OPT_RUN_DIR:
		s->sample.run_dir = arg;
		return true;
	case OPT_LIBVU_ONLY:
		s->sample.libvu_only = true;
		return true;
	case OPT_LATENCY:
	case OPT_NO_LATENCY:
		s->latency = id == OPT_LATENCY ? VU__OBS_YES : VU__OBS_NO;
		return true;
	case OPT_PATIENCE:
		return top_parse_interval(arg, 100000000ull, 600000000000ull,
					  &s->model.patience_ns) ||
		       wrong(why, size, arg, "a time from 100ms to 10m");
	case OPT_REPLAY:
		s->replay = arg;
		return true;
	}
	*done = false;
	return true;
}

static bool set_when(struct top_settings *s, int id, const char *arg, bool *done, char *why,
		     size_t size)
{
	*done = true;
	switch (id) {
	case 'i':
	case OPT_DELAY:
		return top_parse_interval(arg, MIN_INTERVAL, MAX_INTERVAL, &s->interval_ns) ||
		       wrong(why, size, arg, "a time from 50ms to 1h");
	case 'n':
	case OPT_COUNT:
		return count(arg, UINT64_MAX, &s->count, why, size);
	case 'd':
		return top_parse_interval(arg, 1, LONGEST, &s->duration_ns) ||
		       wrong(why, size, arg, "a time, such as 30s or 8h");
	case OPT_ONCE:
		s->once = true;
		return true;
	}
	*done = false;
	return true;
}

static bool set_output(struct top_settings *s, int id, const char *arg, bool *done, char *why,
		       size_t size)
{
	*done = true;
	switch (id) {
	case 'b':
	case OPT_PLAIN:
		return set_mode(s, TOP_MODE_PLAIN, why, size);
	case 'j':
		return set_mode(s, TOP_MODE_JSON, why, size);
	case OPT_CSV:
		return set_mode(s, TOP_MODE_CSV, why, size);
	case OPT_OPENMETRICS:
		s->metrics_path = arg;
		return set_mode(s, TOP_MODE_METRICS, why, size);
	case OPT_LISTEN:
		s->listen = arg;
		return set_mode(s, TOP_MODE_LISTEN, why, size);
	case OPT_CHECK:
		/* The exit status of what is wrong depends on it. */
		return set_mode(s, TOP_MODE_CHECK, why, size) &&
		       (!arg || filter(&s->critical, arg, why, size));
	case OPT_WARNING:
		return filter(&s->warning, arg, why, size);
	case OPT_ALERT:
		return set_alert(s, arg, why, size);
	case OPT_RECORD:
		s->record = arg;
		return true;
	case OPT_RECORD_LIMIT:
		return bytes(arg, 1 << 16, 1ull << 50, &s->record_limit, why, size);
	}
	*done = false;
	return true;
}

static bool set_look(struct top_settings *s, int id, const char *arg, bool *done, char *why,
		     size_t size)
{
	static const char *const colours[] = {"auto", "always", "never"};
	static const char *const units[] = {"si", "iec"};
	unsigned int which = TOP_COLOUR_ALWAYS;

	*done = true;
	switch (id) {
	case OPT_VIEW:
		if (!choice(arg, top_view_names, TOP_VIEWS, &which))
			return wrong(why, size, arg, "a view");
		s->view = which;
		return true;
	case OPT_FLAT:
		s->flat = true;
		return true;
	case OPT_COLOR:
		if (arg && !choice(arg, colours, VU_ARRAY_SIZE(colours), &which))
			return wrong(why, size, arg, "auto, always or never");
		s->colour = which;
		return true;
	case OPT_MONO:
		s->colour = TOP_COLOUR_NEVER;
		return true;
	case OPT_LIGHT:
		s->light = true;
		return true;
	case OPT_ASCII:
	case OPT_UTF8:
		s->utf8 = id == OPT_UTF8 ? VU__OBS_YES : VU__OBS_NO;
		return true;
	case OPT_UNITS:
		if (!choice(arg, units, VU_ARRAY_SIZE(units), &which))
			return wrong(why, size, arg, "si or iec");
		s->out.units = which;
		return true;
	}
	*done = false;
	return true;
}

static bool set_rest(struct top_settings *s, int id, const char *arg, char *why, size_t size)
{
	uint64_t n;

	switch (id) {
	case 'o':
		return top_out_fields(&s->out, arg, why, size);
	case 's':
		return top_order_parse(&s->order, arg, why, size);
	case 'T':
		s->out.times = true;
		return true;
	case 'q':
		s->out.quiet = true;
		return true;
	case 'v':
		s->verbose++;
		return true;
	case OPT_HISTORY:
		if (!bytes(arg, 1 << 20, 1ull << 40, &n, why, size))
			return false;
		s->model.history_bytes = n;
		return true;
	case OPT_LABELS:
		return top_parse_labels(arg, s->labels, sizeof(s->labels), why, size);
	case OPT_MAX_QUEUES:
		if (!count(arg, UINT32_MAX, &n, why, size))
			return false;
		s->out.max_queues = n;
		return true;
	case OPT_NO_CREATED:
		s->out.no_created = true;
		return true;
	case OPT_NO_CONFIG:
		s->no_config = true;
		return true;
	}
	snprintf(why, size, "not possible here");
	return false;
}

bool top_settings_set(struct top_settings *s, int id, const char *arg, char *why,
		      size_t size)
{
	static bool (*const parts[])(struct top_settings *, int, const char *, bool *, char *,
				     size_t) = {set_what, set_when, set_output, set_look};

	for (size_t i = 0; i < VU_ARRAY_SIZE(parts); i++) {
		bool done, good = parts[i](s, id, arg, &done, why, size);

		if (done)
			return good;
	}
	return set_rest(s, id, arg, why, size);
}

/* --- the command line --- */

static int show(int id, const char *arg)
{
	switch (id) {
	case 'h':
		top_print_help(stdout);
		return TOP_EXIT_OK;
	case 'V':
		printf("vu-top %s\n", PACKAGE_VERSION);
		return TOP_EXIT_OK;
	case OPT_FIELDS:
		top_print_fields(stdout);
		return TOP_EXIT_OK;
	case OPT_COMPLETION:
		if (top_print_completion(arg, stdout))
			return TOP_EXIT_OK;
		top_say("--completion: '%.40s' is not bash, zsh or fish", arg);
		return TOP_EXIT_USAGE;
	}
	return -1;
}

/* getopt's idea of the table. */
static void make_getopt(struct option *options, char *letters)
{
	size_t n = 0;

	*letters++ = ':';
	for (const struct top_option *o = top_options; o->name; o++) {
		if (!o->id)
			continue;
		options[n].name = o->name;
		options[n].has_arg = !o->argument ? no_argument
				     : o->argument[0] == '[' ? optional_argument
							     : required_argument;
		options[n].flag = NULL;
		options[n++].val = o->id;
		if (o->id < 256) {
			*letters++ = o->id;
			if (o->argument)
				*letters++ = ':';
		}
	}
	*letters = '\0';
	memset(&options[n], 0, sizeof(options[n]));
}

static int usage(const struct top_settings *s)
{
	fputs("Try 'vu-top --help'.\n", stderr);
	/* A monitoring system takes 2 for critical. */
	return s->mode == TOP_MODE_CHECK ? TOP_CHECK_UNKNOWN : TOP_EXIT_USAGE;
}

static const char *option_name(int id)
{
	for (const struct top_option *o = top_options; o->name; o++) {
		if (o->id == id)
			return o->name;
	}
	return "?";
}

/* -1 to go on. */
static int read_options(struct top_settings *s, int argc, char **argv)
{
	struct option options[80];
	char letters[80], why[256];
	int c;

	make_getopt(options, letters);
	optind = 1;
	while ((c = getopt_long(argc, argv, letters, options, NULL)) >= 0) {
		int ret = show(c, optarg);

		if (ret >= 0)
			return ret;
		if (c == '?' || c == ':') {
			top_say(c == ':' ? "%s: what is it to be?" : "%s: there is no such option",
				argv[optind - 1]);
			return usage(s);
		}
		if (!top_settings_set(s, c, optarg, why, sizeof(why))) {
			top_say("--%s: %s", option_name(c), why);
			return usage(s);
		}
	}
	return -1;
}

/* [INTERVAL [COUNT]] */
static int read_operands(struct top_settings *s, int argc, char **argv)
{
	static const int ids[] = {'i', 'n'};
	char why[256];

	for (int i = 0; optind + i < argc; i++) {
		if (i == 2) {
			top_say("%s: not expected", argv[optind + i]);
			return usage(s);
		}
		if (!top_settings_set(s, ids[i], argv[optind + i], why, sizeof(why))) {
			top_say("%s", why);
			return usage(s);
		}
	}
	return -1;
}

/* All that chooses queues becomes one filter. */
static int make_filter(struct top_settings *s)
{
	char *to = s->filter_text, why[256];
	size_t size = sizeof(s->filter_text);
	int n = 0;

	if (s->pids)
		n += snprintf(to + n, size - n, "pid=%.200s ", s->pids);
	if (s->vm)
		n += snprintf(to + n, size - n, "vm=\"%.150s\" ", s->vm);
	if (s->device)
		n += snprintf(to + n, size - n, "device=\"%.150s\" ", s->device);
	if (s->given_filter && *s->given_filter) {
		if (strlen(s->given_filter) + n + 3 > size) {
			top_say("--filter: this is too long");
			return usage(s);
		}
		n += snprintf(to + n, size - n, n ? "(%s)" : "%s", s->given_filter);
	}
	if (!n)
		return -1;
	s->filter = top_filter_parse(to, why, sizeof(why));
	if (s->filter)
		return -1;
	top_say("--filter: %s", why);
	return usage(s);
}

static int check_alerts(struct top_settings *s)
{
	struct top_model *m = top_model_new(NULL);
	char why[256];

	for (unsigned int i = 0; m && i < s->nalerts; i++) {
		if (top_alert_add(m, s->alerts[i], why, sizeof(why))) {
			top_say("--alert: %s", why);
			top_model_free(m);
			return usage(s);
		}
	}
	top_model_free(m);
	return -1;
}

static int check_together(struct top_settings *s)
{
	if (s->warning && s->mode != TOP_MODE_CHECK) {
		top_say("--warning: goes with --check only");
		return usage(s);
	}
	if (s->replay && s->record) {
		top_say("--record: what is replayed has been recorded already");
		return usage(s);
	}
	if (s->replay && s->mode == TOP_MODE_LISTEN) {
		top_say("--listen: serves what is now, which --replay does not show");
		return usage(s);
	}
	/* A table is what one wants once. */
	if (s->mode == TOP_MODE_SCREEN && (s->once || s->count))
		s->mode = TOP_MODE_PLAIN;
	return -1;
}

int top_settings_parse(struct top_settings *s, int argc, char **argv)
{
	int ret = -1;

	memset(s, 0, sizeof(*s));
	s->interval_ns = 1000000000;
	s->record_limit = 1ull << 30;
	s->out.max_queues = 10000;
	for (int i = 1; i < argc; i++)
		s->no_config |= !strcmp(argv[i], "--no-config");
	if (!s->no_config)
		top_config_read(s);
	ret = read_options(s, argc, argv);
	ret = ret < 0 ? read_operands(s, argc, argv) : ret;
	ret = ret < 0 ? make_filter(s) : ret;
	ret = ret < 0 ? check_alerts(s) : ret;
	ret = ret < 0 ? check_together(s) : ret;
	s->out.filter = s->filter;
	s->out.labels = s->labels[0] ? s->labels : NULL;
	s->out.order = s->order.key[0] ? &s->order : NULL;
	return ret;
}

void top_settings_release(struct top_settings *s)
{
	top_filter_free(s->filter);
	top_filter_free(s->critical);
	top_filter_free(s->warning);
	for (unsigned int i = 0; i < s->nkept; i++)
		free(s->kept[i]);
	memset(s, 0, sizeof(*s));
}

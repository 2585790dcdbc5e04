/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of configuration: read before the command line, written on W. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "vu-top/optionids.h"
#include "vu-top/options.h"

/* --- files: "option = value" lines, # for comments --- */

static const struct top_option *find_option(const char *name, size_t len)
{
	for (const struct top_option *o = top_options; o->name; o++) {
		if (o->id && strlen(o->name) == len && !strncmp(o->name, name, len))
			return o;
	}
	return NULL;
}

/* What belongs on a command line only. */
static bool not_in_files(int id)
{
	return id == 'h' || id == 'V' || id == 'b' || id == OPT_PLAIN || id == 'j' ||
	       id == OPT_CSV || id == OPT_OPENMETRICS || id == OPT_LISTEN || id == OPT_CHECK ||
	       id == OPT_ONCE || id == OPT_REPLAY || id == OPT_FIELDS || id == OPT_COMPLETION ||
	       id == OPT_NO_CONFIG || id == 'n' || id == OPT_COUNT;
}

static bool set_line(struct top_settings *s, char *line, char *why, size_t size)
{
	const struct top_option *o;
	size_t len, value;

	line += strspn(line, " \t");
	line[strcspn(line, "\n")] = '\0';
	if (!*line || *line == '#')
		return true;
	len = strcspn(line, " \t=");
	value = len + strspn(line + len, " \t=");
	o = find_option(line, len);
	if (!o || not_in_files(o->id)) {
		snprintf(why, size, "'%.*s' is no option that can stand here",
			 (int)VU_MIN(len, 40u), line);
		return false;
	}
	if (!o->argument)
		return top_settings_set(s, o->id, NULL, why, size);
	if (!line[value] && o->argument[0] != '[') {
		snprintf(why, size, "%s: a value is missing", o->name);
		return false;
	}
	if (s->nkept == VU_ARRAY_SIZE(s->kept)) {
		snprintf(why, size, "there are too many lines");
		return false;
	}
	s->kept[s->nkept] = strdup(line + value);
	return s->kept[s->nkept] &&
	       top_settings_set(s, o->id, s->kept[s->nkept++], why, size);
}

/* A file that is not there is fine; a line that is wrong is left out, with a word. */
static void read_file(struct top_settings *s, const char *path)
{
	char line[1024], why[200];
	FILE *f = fopen(path, "re");

	if (!f) {
		if (errno != ENOENT && errno != ENOTDIR)
			top_say("%s: %s", path, strerror(errno));
		return;
	}
	for (unsigned int n = 1; fgets(line, sizeof(line), f); n++) {
		if (!set_line(s, line, why, sizeof(why)))
			top_say("%s:%u: %s", path, n, why);
	}
	fclose(f);
}

static bool user_file(char *path, size_t size, bool make)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	int n;

	if (xdg && xdg[0] == '/')
		n = snprintf(path, size, "%s", xdg);
	else if (home && home[0] == '/')
		n = snprintf(path, size, "%s/.config", home);
	else
		return false;
	if (n < 0 || (size_t)n + 20 > size)
		return false;
	if (make)
		(void)!mkdir(path, 0700);
	n += snprintf(path + n, size - n, "/vu");
	if (make)
		(void)!mkdir(path, 0700);
	snprintf(path + n, size - n, "/vu-top.conf");
	return true;
}

void top_config_read(struct top_settings *s)
{
	char path[512];

	read_file(s, SYSCONFDIR "/vu/vu-top.conf");
	if (user_file(path, sizeof(path), false))
		read_file(s, path);
}

static void write_config(const struct top_ui *ui, FILE *f)
{
	char order[100];

	fprintf(f, "# Written by vu-top; see vu-top(1).\n");
	fprintf(f, "interval = %.3g\n", ui->interval_ns / 1e9);
	if (ui->order.key[0]) {
		top_order_format(&ui->order, order, sizeof(order));
		fprintf(f, "sort = %s\n", order);
	}
	if (ui->ncolumns) {
		fputs("columns = ", f);
		for (unsigned int i = 0; i < ui->ncolumns; i++)
			fprintf(f, "%s%s", i ? "," : "", ui->columns[i]->name);
		fputc('\n', f);
	}
	if (ui->view < TOP_VIEWS)
		fprintf(f, "view = %s\n", top_view_names[ui->view]);
	if (ui->flat)
		fputs("flat\n", f);
	if (ui->filter)
		fprintf(f, "filter = %s\n", top_filter_text(ui->filter));
	fprintf(f, "units = %s\n", ui->units == TOP_IEC ? "iec" : "si");
	if (ui->colours == TOP_COLOURS_LIGHT)
		fputs("light\n", f);
}

int top_config_save(const struct top_ui *ui, char *path, size_t size)
{
	char made[600];
	FILE *f;
	int ret;

	if (!user_file(path, size, true))
		return -ENOENT;
	snprintf(made, sizeof(made), "%s.new", path);
	f = fopen(made, "we");
	if (!f)
		return -errno;
	write_config(ui, f);
	ret = fclose(f) || rename(made, path) ? -errno : 0;
	if (ret)
		unlink(made);
	return ret;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The language in which queues are chosen: a parser by recursive descent into nodes, and
 * what they say of a queue.  What people type may be anything: lengths and depths are
 * bounded.  Pure; any thread.
 */
#include "vu-top/filter.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MAX_TEXT  4096
#define MAX_NODES 512
#define MAX_DEPTH 64

enum op { EQ, NE, LT, LE, GT, GE, HAS, HASNT };

enum what { AND, OR, NOT, TERM, WORD };

struct node {
	enum what what;
	uint16_t a, b; /* of AND, OR, NOT */
	enum op op;
	const struct top_field *field;
	double number;	       /* what a number is compared with, but by EQ and NE */
	uint16_t begin, len;   /* the value, in text */
};

struct top_filter {
	char text[MAX_TEXT + 1];
	size_t n;
	uint16_t root;
	struct node nodes[]; /* MAX_NODES while it is parsed */
};

struct parser {
	struct top_filter *f;
	const char *at;
	unsigned int depth;
	char *why;
	size_t why_size;
	bool failed;
};

/* --- words --- */

VU_PRINTF(2, 3) static int fail(struct parser *p, const char *fmt, ...)
{
	va_list ap;
	int n = 0;

	if (p->failed)
		return -1;
	p->failed = true;
	va_start(ap, fmt);
	n = vsnprintf(p->why, p->why_size, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < p->why_size)
		snprintf(p->why + n, p->why_size - n, " (at character %zu)",
			 p->at - p->f->text + 1);
	return -1;
}

static void skip_space(struct parser *p)
{
	while (isspace((unsigned char)*p->at))
		p->at++;
}

static bool name_char(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("_/%.", c));
}

/* A word of its own: "or", but not the beginning of "order". */
static bool keyword(struct parser *p, const char *word)
{
	size_t n = strlen(word);

	skip_space(p);
	if (strncasecmp(p->at, word, n))
		return false;
	if (isalpha((unsigned char)*word) && (name_char(p->at[n]) || strchr("=<>~!", p->at[n])) &&
	    p->at[n])
		return false;
	p->at += n;
	return true;
}

static int add(struct parser *p, const struct node *n)
{
	if (p->f->n == MAX_NODES)
		return fail(p, "this is too long");
	p->f->nodes[p->f->n] = *n;
	return p->f->n++;
}

/* What a value is, up to a space or a parenthesis, or between quotation marks. */
static bool value(struct parser *p, struct node *n)
{
	const char *end;

	if (*p->at == '"') {
		end = strchr(++p->at, '"');
		if (!end) {
			fail(p, "there is no second quotation mark");
			return false;
		}
		n->begin = p->at - p->f->text;
		n->len = end - p->at;
		p->at = end + 1;
		return true;
	}
	end = p->at + strcspn(p->at, " \t\r\n\v\f()");
	n->begin = p->at - p->f->text;
	n->len = end - p->at;
	p->at = end;
	return true;
}

/* --- values --- */

static bool parse_value(const struct top_field *f, const char *text, size_t len, double *out)
{
	static const enum top_quantity quantity[] = {
		[TOP_F_NUMBER] = TOP_PLAIN, [TOP_F_COUNT] = TOP_PLAIN, [TOP_F_BYTES] = TOP_BYTES,
		[TOP_F_NS] = TOP_TIME,	    [TOP_F_SHARE] = TOP_PERCENT, [TOP_F_RATIO] = TOP_PLAIN};

	if (f->kind == TOP_F_HEALTH) {
		for (unsigned int s = 0; s < VU__OBS_SEVERITIES; s++) {
			const char *name = vu__obs_severity_name(s);

			if (strlen(name) == len && !strncasecmp(name, text, len)) {
				*out = s;
				return true;
			}
		}
		return false;
	}
	return top_parse_number(text, len, quantity[f->kind], out);
}

/* "3" or "3-5", of a whole number. */
static bool parse_range(const struct top_field *f, const char *text, size_t len, double *low,
			double *high)
{
	const char *dash = f->kind == TOP_F_NUMBER ? memchr(text, '-', len) : NULL;
	size_t first = dash ? (size_t)(dash - text) : len;

	if (!parse_value(f, text, first, low))
		return false;
	*high = *low;
	return !dash || parse_value(f, dash + 1, len - first - 1, high);
}

/* The next of the alternatives in a value; false: there are no more. */
static bool next_item(const char **text, size_t *left, const char **item, size_t *len)
{
	const char *comma;

	if (!*left)
		return false;
	comma = memchr(*text, ',', *left);
	*item = *text;
	*len = comma ? (size_t)(comma - *text) : *left;
	*left -= *len + (comma != NULL);
	*text += *len + (comma != NULL);
	return true;
}

static const char *example(const struct top_field *f)
{
	switch (f->kind) {
	case TOP_F_NS:
		return "a time, such as 1ms, 20us or 2s";
	case TOP_F_SHARE:
		return "a percentage, such as 50%";
	case TOP_F_BYTES:
		return "a number of bytes, such as 512, 4Ki or 10M";
	case TOP_F_HEALTH:
		return "ok, info, warning or critical";
	default:
		return "a number, such as 12 or 10k";
	}
}

static bool check_values(struct parser *p, struct node *n)
{
	const char *text = p->f->text + n->begin, *item;
	size_t left = n->len, len;
	double low, high;

	if (n->field->kind == TOP_F_TEXT)
		return true;
	if (n->op == HAS || n->op == HASNT) {
		fail(p, "%s is a number, which ~ cannot be used with", n->field->name);
		return false;
	}
	if (n->op != EQ && n->op != NE) {
		if (parse_value(n->field, text, n->len, &n->number))
			return true;
		fail(p, "%s: '%.*s' is not %s", n->field->name, (int)VU_MIN(n->len, 40u), text,
		     example(n->field));
		return false;
	}
	while (next_item(&text, &left, &item, &len)) {
		if (!parse_range(n->field, item, len, &low, &high)) {
			fail(p, "%s: '%.*s' is not %s", n->field->name,
			     (int)VU_MIN(len, 40u), item, example(n->field));
			return false;
		}
	}
	if (!n->len)
		fail(p, "%s: there is no value", n->field->name);
	return n->len;
}

/* --- the grammar --- */

static int parse_or(struct parser *p);

static bool operator(struct parser *p, enum op *op)
{
	static const struct {
		const char *text;
		enum op op;
	} ops[] = {{"==", EQ}, {"!=", NE}, {"<=", LE}, {">=", GE}, {"!~", HASNT},
		   {"=", EQ},  {"<", LT},  {">", GT},  {"~", HAS}};

	for (size_t i = 0; i < VU_ARRAY_SIZE(ops); i++) {
		size_t n = strlen(ops[i].text);

		if (!strncmp(p->at, ops[i].text, n)) {
			p->at += n;
			*op = ops[i].op;
			return true;
		}
	}
	return false;
}

static int parse_term(struct parser *p)
{
	struct node n = {.what = WORD};
	const char *name = p->at;
	size_t len = 0;

	if (keyword(p, "or") || keyword(p, "and") || keyword(p, "|") || keyword(p, "&&")) {
		p->at = name;
		return fail(p, "something is missing");
	}

	while (name_char(name[len]))
		len++;
	p->at += len;
	if (len && operator(p, &n.op)) {
		n.what = TERM;
		n.field = top_field_find(name, len);
		if (!n.field) {
			p->at = name;
			return fail(p, "'%.*s' is no field", (int)VU_MIN(len, 40u), name);
		}
		if (!value(p, &n) || !check_values(p, &n))
			return -1;
		/* The order of texts is of no use to anybody. */
		if (n.field->kind == TOP_F_TEXT && n.op >= LT && n.op <= GE)
			return fail(p, "%s is a text, which = != and ~ can be used with",
				    n.field->name);
		return add(p, &n);
	}
	p->at = name;
	if (!value(p, &n))
		return -1;
	if (!n.len)
		return fail(p, *p->at ? "'%c' is not expected" : "something is missing", *p->at);
	return add(p, &n);
}

static int parse_not(struct parser *p)
{
	struct node n = {.what = NOT};
	int a;

	if (++p->depth > MAX_DEPTH)
		return fail(p, "this is nested too deeply");
	if (keyword(p, "not") || keyword(p, "!")) {
		a = parse_not(p);
		n.a = a;
		a = a < 0 ? a : add(p, &n);
	} else if (keyword(p, "(")) {
		a = parse_or(p);
		if (a >= 0 && !keyword(p, ")"))
			a = fail(p, "a ) is missing");
	} else {
		a = parse_term(p);
	}
	p->depth--;
	return a;
}

/* What can come after a term is another one, unless the group ends. */
static bool more_terms(struct parser *p)
{
	const char *here = p->at;
	bool or;

	skip_space(p);
	if (!*p->at || *p->at == ')')
		return false;
	or = keyword(p, "or") || keyword(p, "||") || keyword(p, "|");
	p->at = or ? here : p->at;
	return !or;
}

static int parse_and(struct parser *p)
{
	int a = parse_not(p);

	while (a >= 0 && more_terms(p)) {
		struct node n = {.what = AND, .a = a};
		int b;

		if (!keyword(p, "and"))
			(void)keyword(p, "&&");
		b = parse_not(p);
		n.b = b;
		a = b < 0 ? b : add(p, &n);
	}
	return a;
}

static int parse_or(struct parser *p)
{
	int a = parse_and(p);

	while (a >= 0 && (keyword(p, "or") || keyword(p, "||") || keyword(p, "|"))) {
		struct node n = {.what = OR, .a = a};
		int b = parse_and(p);

		n.b = b;
		a = b < 0 ? b : add(p, &n);
	}
	return a;
}

struct top_filter *top_filter_parse(const char *text, char *why, size_t why_size)
{
	struct parser p = {.why = why, .why_size = why_size};
	struct top_filter *smaller;
	int root;

	p.f = calloc(1, sizeof(*p.f) + MAX_NODES * sizeof(p.f->nodes[0]));
	if (!p.f) {
		snprintf(why, why_size, "no memory");
		return NULL;
	}
	if (strlen(text) > MAX_TEXT) {
		snprintf(why, why_size, "this is longer than %d characters", MAX_TEXT);
		free(p.f);
		return NULL;
	}
	strcpy(p.f->text, text);
	p.at = p.f->text;
	root = parse_or(&p);
	skip_space(&p);
	if (root >= 0 && *p.at)
		root = fail(&p, "'%c' is not expected", *p.at);
	if (root < 0) {
		free(p.f);
		return NULL;
	}
	p.f->root = root;
	smaller = realloc(p.f, sizeof(*p.f) + p.f->n * sizeof(p.f->nodes[0]));
	return smaller ? smaller : p.f;
}

void top_filter_free(struct top_filter *f)
{
	free(f);
}

const char *top_filter_text(const struct top_filter *f)
{
	return f->text;
}

/* --- what it says of a queue --- */

static bool any_text(const char *text, size_t left, const char *is)
{
	const char *item;
	size_t len;

	if (!left)
		return !*is;
	while (next_item(&text, &left, &item, &len)) {
		if (top_glob(item, len, is))
			return true;
	}
	return false;
}

static bool any_number(const struct top_field *f, const char *text, size_t left, double v)
{
	const char *item;
	size_t len;

	while (next_item(&text, &left, &item, &len)) {
		double low, high;

		if (parse_range(f, item, len, &low, &high) && v >= low && v <= high)
			return true;
	}
	return false;
}

static bool has(const char *text, const char *part, size_t len)
{
	char buf[TOP_FIELD_TEXT];

	snprintf(buf, sizeof(buf), "%.*s", (int)VU_MIN(len, sizeof(buf) - 1), part);
	return top_contains(text, buf);
}

static bool text_fits(const struct top_filter *f, const struct node *n,
		      const struct top_queue *t)
{
	char buf[TOP_FIELD_TEXT];
	const char *is = n->field->text(t, buf), *value = f->text + n->begin;

	switch (n->op) {
	case HAS:
		return has(is, value, n->len);
	case HASNT:
		return !has(is, value, n->len);
	default:
		return any_text(value, n->len, is) == (n->op == EQ);
	}
}

static bool term_fits(const struct top_filter *f, const struct node *n,
		      const struct top_queue *t)
{
	double v;

	if (n->field->kind == TOP_F_TEXT)
		return text_fits(f, n, t);
	v = top_field_number(n->field, t, TOP_RATES);
	if (!top_known(v))
		return false;
	switch (n->op) {
	case LT:
		return v < n->number;
	case LE:
		return v <= n->number;
	case GT:
		return v > n->number;
	case GE:
		return v >= n->number;
	default:
		return any_number(n->field, f->text + n->begin, n->len, v) == (n->op == EQ);
	}
}

static bool part_fits(const char *part, size_t len, const struct top_queue *t)
{
	static const char *const names[] = {"vm", "device", "process", "socket", "verdict"};

	for (size_t i = 0; i < VU_ARRAY_SIZE(names); i++) {
		const struct top_field *field = top_field_find(names[i], strlen(names[i]));
		char buf[TOP_FIELD_TEXT];

		if (has(field->text(t, buf), part, len))
			return true;
	}
	return false;
}

/* "web|db" is either. */
static bool word_fits(const struct top_filter *f, const struct node *n,
		      const struct top_queue *t)
{
	const char *part = f->text + n->begin, *end = part + n->len;

	for (;;) {
		const char *bar = memchr(part, '|', end - part);

		if (part_fits(part, (bar ? bar : end) - part, t))
			return true;
		if (!bar)
			return false;
		part = bar + 1;
	}
}

static bool fits(const struct top_filter *f, uint16_t i, const struct top_queue *t)
{
	const struct node *n = &f->nodes[i];

	switch (n->what) {
	case AND:
		return fits(f, n->a, t) && fits(f, n->b, t);
	case OR:
		return fits(f, n->a, t) || fits(f, n->b, t);
	case NOT:
		return !fits(f, n->a, t);
	case TERM:
		return term_fits(f, n, t);
	default:
		return word_fits(f, n, t);
	}
}

bool top_filter_fits(const struct top_filter *f, const struct top_queue *t)
{
	return !f || fits(f, f->root, t);
}

bool top_filter_wants_latency(const struct top_filter *f)
{
	for (size_t i = 0; f && i < f->n; i++) {
		if (f->nodes[i].field && f->nodes[i].field->latency)
			return true;
	}
	return false;
}

bool top_filter_wants_threads(const struct top_filter *f)
{
	for (size_t i = 0; f && i < f->n; i++) {
		if (f->nodes[i].field && f->nodes[i].field->thread)
			return true;
	}
	return false;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What check finds: rules that look at the facts, each finding good or bad for each way
 * of moving a back-end.
 */
#ifndef VU_MIGRATE_CHECK_H
#define VU_MIGRATE_CHECK_H

#include "vu-migrate/facts.h"

enum mode { PRECOPY, POSTCOPY, RECONNECT, HANDOVER, SNAPSHOT, MODES };
#define FOR(mode) (1u << (mode))
#define FOR_LIVE  (FOR(PRECOPY) | FOR(POSTCOPY))
#define FOR_OURS  (FOR(HANDOVER) | FOR(SNAPSHOT))
#define FOR_ALL	  (FOR(MODES) - 1)

enum severity { FINE, NOTE, WARNING, BLOCKER };

struct finding {
	const char *id;	     /* "connection.log" */
	unsigned int group;  /* of docs/upgrade.md, 1 to 11 */
	enum severity severity[MODES];
	char what[256];
	char evidence[400];
	const char *effect, *fix; /* for people; "" if it is fine */
};

#define FINDINGS_MAX 96

struct report {
	const struct facts *f, *dest; /* dest may be NULL */
	unsigned int n;
	struct finding findings[FINDINGS_MAX];
};

/* Applies all rules. */
void check_all(struct report *r, const struct facts *f, const struct facts *dest);

/* The worst of a finding, or of all, in these modes. */
enum severity check_worst(const struct finding *x, unsigned int modes);
enum severity check_verdict(const struct report *r, enum mode m);

extern const char *const mode_names[MODES];
extern const char *const severity_names[4];

/* --- for the rules --- */

/*
 * A finding that is @severity in @modes and fine in others.  There is room for all there
 * can be; what is over that goes into the last one.
 */
struct finding *found(struct report *r, unsigned int group, const char *id,
		      enum severity severity, unsigned int modes, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));
void evidence(struct finding *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Why it matters and what to do. */
void because(struct finding *x, const char *effect, const char *fix);

/* A trial that was made, as one finding. */
void found_trial(struct report *r, unsigned int group, const char *id, unsigned int modes,
		 const struct trial *t, const char *what, const char *effect, const char *fix);

/* A mask's bits; texts of one statement at most. */
const char *bits_text(uint64_t features);
const char *protocol_text(uint64_t features);

void rules_of_offer(struct report *r);	     /* 1, 2 */
void rules_of_state(struct report *r);	     /* 3, 4, 5, 8, 11 */
void rules_of_destination(struct report *r); /* 7, 9 */
void rules_of_host(struct report *r);	     /* 6, 10 */

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All that check knows of a back-end, whether it was asked through its control socket,
 * as a front-end, or read from an image.
 */
#ifndef VU_MIGRATE_FACTS_H
#define VU_MIGRATE_FACTS_H

#include "state/snap.h"
#include "vu-migrate/client.h"
#include "vu-migrate/estimate.h"
#include "vu-migrate/host.h"

enum source { FROM_CONTROL, FROM_SOCKET, FROM_IMAGE };

/* Tried, and how it went. */
struct trial {
	enum { NOT_TRIED, GOOD, BAD } result;
	char text[300];
};

struct facts {
	const char *target;
	char name[128];	  /* for messages */
	enum source source;
	const char *type; /* of device: "blk", "net", ...; "": not known */
	uint64_t offered, offered_protocol;
	bool negotiated;  /* with a front-end, the next two */
	uint64_t features, protocol;
	uint32_t max_queues;
	uint32_t max_slots; /* memory regions; 0: not known */
	uint8_t config[VU__SNAP_CONFIG_MAX];
	uint32_t config_len;
	struct host host;

	struct client client; /* FROM_CONTROL; else without info */
	bool has_snap;	      /* FROM_CONTROL and FROM_IMAGE */
	struct vu__snap snap;
	struct vu__snap later; /* FROM_CONTROL: the same a moment later */
	uint64_t image_bytes;
	uint64_t room; /* FROM_CONTROL: bytes for it in the directory we are in */
	double save_seconds, pause_seconds;

	/* Trials; some only with --deep. */
	struct trial again;  /* a second connection gets the same offer */
	struct trial inflight;
	struct trial log;    /* marks what it writes */
	struct trial state;  /* saves, loads, saves the same */
	struct trial rings;  /* goes on where the first connection stopped */
	struct trial drain;
	struct trial fits;   /* the destination takes the image */
	bool measured;
	struct est_plan plan;
	struct est_curve curve;
};

struct how {
	bool deep;
	const char *type;
	double bandwidth, downtime; /* bytes a second, seconds; bandwidth 0: do not measure */
	double seconds;		    /* to measure for */
};

/*
 * Finds out what @target is, and all about it.  0 or the exit status after saying why.
 * What was found is released by facts_release(), also after a failure.
 */
int facts_gather(struct facts *f, const char *target, const struct how *how);
void facts_release(struct facts *f);

/* Parts of it: as its front-end, through f->client, by driving it. */
int facts_of_socket(struct facts *f, const char *path, const struct how *how);
int facts_of_control(struct facts *f, const struct how *how);
void facts_drive(struct facts *f, const char *path);

/* Another connection to the back-end at @path, with all that is of use accepted. */
struct vu_frontend *facts_connect(const char *path, uint64_t features);

/* Gives the image of @f to @dest, a fresh back-end, and takes it away again. */
void facts_try(struct facts *f, struct facts *dest);

void trial_is(struct trial *t, bool good, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif

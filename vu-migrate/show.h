/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A state for people's eyes. */
#ifndef VU_MIGRATE_SHOW_H
#define VU_MIGRATE_SHOW_H

#include "state/snap.h"

void show_state(const struct vu__snap *s, bool with_blob);

/* "2024-01-31T12:00:00.123Z" */
void show_time(uint64_t ns, char *text, size_t size);

/* "1.5 GiB" */
void show_bytes(uint64_t bytes, char *text, size_t size);

const char *show_moment(enum vu__moment m);

/* Names of the bits that are set; "bit 7" for those without one. */
void show_features(uint64_t features, char *text, size_t size);
void show_protocol_features(uint64_t features, char *text, size_t size);

#endif

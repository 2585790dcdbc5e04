/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files about keys share. */
#ifndef VU_TOP_KEYSIMPL_H
#define VU_TOP_KEYSIMPL_H

#include "vu-top/view.h"

/* --- keys.c --- */

/* The cursor is where the list's line is. */
void top_keys_take_cursor(struct top_ui *ui);
void top_keys_go_to(struct top_ui *ui, size_t line);
unsigned int top_keys_next_trouble(struct top_ui *ui, struct top_model *m, size_t nth);
void top_keys_sort_by(struct top_ui *ui, const struct top_field *f, bool second);

/* --- keysset.c: what is chosen about the list --- */

unsigned int top_keys_set(struct top_ui *ui, struct top_model *m, uint32_t key);

/* --- prompt.c: typing --- */

void top_keys_prompt(struct top_ui *ui, enum top_prompt prompt, const char *text);
unsigned int top_keys_type(struct top_ui *ui, struct top_model *m, uint32_t key);
void top_keys_search(struct top_ui *ui);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables that fit into any width, lists that keep what is chosen in sight.  Pure. */
#include <string.h>

#include "vu-top/view.h"

static unsigned int total_width(const struct top_column *columns, size_t n)
{
	unsigned int sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += columns[i].got ? columns[i].got + 1 : 0;
	return sum ? sum - 1 : 0;
}

/* Leaves out the column that matters least; false: there is only one left. */
static bool leave_one_out(struct top_column *columns, size_t n)
{
	struct top_column *least = NULL;
	unsigned int left = 0;

	for (size_t i = 0; i < n; i++) {
		if (!columns[i].got)
			continue;
		left++;
		if (!least || columns[i].rank >= least->rank)
			least = &columns[i];
	}
	if (left < 2)
		return false;
	least->got = 0;
	return true;
}

static void share_rest(struct top_column *columns, size_t n, unsigned int rest)
{
	unsigned int shares = 0;

	for (size_t i = 0; i < n; i++)
		shares += columns[i].got ? columns[i].grows : 0;
	for (size_t i = 0; i < n && shares; i++) {
		unsigned int more;

		if (!columns[i].got || !columns[i].grows)
			continue;
		more = rest * columns[i].grows / shares;
		columns[i].got += more;
		rest -= more;
		shares -= columns[i].grows;
	}
}

void top_columns_fit(struct top_column *columns, size_t n, unsigned int width)
{
	unsigned int at = 0;

	for (size_t i = 0; i < n; i++)
		columns[i].got = columns[i].width;
	while (total_width(columns, n) > width && leave_one_out(columns, n))
		;
	if (total_width(columns, n) < width)
		share_rest(columns, n, width - total_width(columns, n));
	for (size_t i = 0; i < n; i++) {
		columns[i].at = at;
		at += columns[i].got ? columns[i].got + 1 : 0;
	}
}

void top_column_put(struct top_canvas *c, unsigned int row, const struct top_column *column,
		    uint8_t style, const char *text)
{
	if (column->got)
		top_put_field(c, row, column->at, column->got, column->right, style, text);
}

void top_columns_header(struct top_canvas *c, unsigned int row,
			const struct top_column *columns, size_t n,
			const struct top_order *order)
{
	top_fill(c, row, 0, c->cols, TOP_HEADER, ' ');
	for (size_t i = 0; i < n; i++) {
		bool sorted = order && columns[i].field &&
			      (columns[i].field == order->key[0] || columns[i].field == order->key[1]);

		top_column_put(c, row, &columns[i], TOP_HEADER | (sorted ? TOP_SELECTED : 0),
			       columns[i].title);
	}
}

size_t top_list(struct top_canvas *c, const struct top_scene *s, const struct top_area *a,
		enum top_view view, size_t n, size_t *first)
{
	struct top_ui *ui = s->ui;
	size_t page = a->rows;

	(void)c;
	ui->page = page;
	ui->length[view] = n;
	if (ui->at[view] >= n)
		ui->at[view] = n ? n - 1 : 0;
	if (ui->at[view] < ui->first[view])
		ui->first[view] = ui->at[view];
	if (ui->at[view] >= ui->first[view] + page)
		ui->first[view] = ui->at[view] - page + 1;
	/* No empty lines while there are some above. */
	if (ui->first[view] + page > n)
		ui->first[view] = n > page ? n - page : 0;
	*first = ui->first[view];
	return VU_MIN(page, n - *first);
}

void top_scrolled(struct top_canvas *c, const struct top_scene *s, const struct top_area *a,
		  enum top_view view, const struct top_canvas *tall, unsigned int used)
{
	struct top_ui *ui = s->ui;
	size_t most = used > a->rows ? used - a->rows : 0;

	ui->page = a->rows;
	ui->length[view] = most + 1;
	ui->at[view] = ui->first[view] = VU_MIN(ui->at[view], most);
	top_copy_rows(c, a->first, tall, ui->first[view], a->rows);
	if (ui->first[view] < most)
		top_printf(c, a->first + a->rows - 1, c->cols > 12 ? c->cols - 10 : 0, c->cols,
			   TOP_HEADER, " %zu more ", used - a->rows - ui->first[view]);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Huge pages for a test; several may run at once, and the machine's count is one. */
#ifndef VU_TESTS_HUGEPAGES_H
#define VU_TESTS_HUGEPAGES_H

/* Adds @n pages of 2 MiB; other borrowers wait.  A handle; -1: this machine gives none. */
int hugepages_borrow(long n);
void hugepages_return(int handle, long n);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which of vu-trace's programs a kernel has a place for, by types such as kernels have
 * them that do not run here: made by hand, after their sources.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <bpf/btf.h>

#include "base/util.h"
#include "points.h"

/* --- a kernel's types --- */

struct kernel {
	struct btf *btf;
	int u64, u32, pointer; /* ... to void */
};

static struct kernel begin(void)
{
	struct kernel k = {.btf = btf__new_empty()};

	assert_non_null(k.btf);
	k.u64 = btf__add_int(k.btf, "long long unsigned int", 8, 0);
	k.u32 = btf__add_int(k.btf, "unsigned int", 4, 0);
	k.pointer = btf__add_ptr(k.btf, 0);
	return k;
}

static int pointer_to(struct kernel *k, const char *name)
{
	int id = btf__find_by_name_kind(k->btf, name, BTF_KIND_STRUCT);

	return btf__add_ptr(k->btf, id > 0 ? id : btf__add_struct(k->btf, name, 8));
}

static int prototype(struct kernel *k, int ret, const int *params, unsigned int n)
{
	int id = btf__add_func_proto(k->btf, ret);

	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(btf__add_func_param(k->btf, "p", params[i]), 0);
	return id;
}

static void function(struct kernel *k, const char *name, int ret, const int *params,
		     unsigned int n)
{
	int id = prototype(k, ret, params, n);

	assert_true(btf__add_func(k->btf, name, BTF_FUNC_STATIC, id) > 0);
}
#define FUNCTION(k, name, ret, ...)                                                      \
	function(k, name, ret, (const int[]){__VA_ARGS__},                               \
		 VU_ARRAY_SIZE(((const int[]){__VA_ARGS__})))

static void tracepoint(struct kernel *k, const char *name, const int *params, unsigned int n)
{
	char full[64];
	int id = btf__add_ptr(k->btf, prototype(k, 0, params, n));

	snprintf(full, sizeof(full), "btf_trace_%s", name);
	assert_true(btf__add_typedef(k->btf, full, id) > 0);
}
/* The first parameter is the tracer's own. */
#define TRACEPOINT(k, name, ...)                                                         \
	tracepoint(k, name, (const int[]){(k)->pointer, __VA_ARGS__},                    \
		   VU_ARRAY_SIZE(((const int[]){0, __VA_ARGS__})))

/* What no kernel has changed. */
static void always(struct kernel *k)
{
	int socket = pointer_to(k, "socket"), msg = pointer_to(k, "msghdr");

	FUNCTION(k, "unix_stream_recvmsg", k->u32, socket, msg, k->u64, k->u32);
	FUNCTION(k, "eventfd_write", k->u64, pointer_to(k, "file"), k->pointer, k->u64,
		 k->pointer);
}

static void expect(struct kernel *k, const char *const *there, const char *const *absent)
{
	struct kernel_types *t = kernel_types_of(k->btf);

	assert_non_null(t);
	for (; *there; there++) {
		if (!probe_present(t, *there))
			fail_msg("%s has no place", *there);
	}
	for (; *absent; absent++) {
		if (probe_present(t, *absent))
			fail_msg("%s has a place", *absent);
	}
	kernel_types_free(t);
}
#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

/* --- kernels --- */

static void kernel_5_15(void **state)
{
	struct kernel k = begin();

	(void)state;
	always(&k);
	FUNCTION(&k, "eventfd_signal", k.u64, pointer_to(&k, "eventfd_ctx"), k.u64);
	TRACEPOINT(&k, "io_uring_file_get", k.pointer, k.u32);
	TRACEPOINT(&k, "io_uring_complete", k.pointer, k.u64, k.u32, k.u32);
	expect(&k,
	       LIST("fentry_write", "fexit_read", "fentry_signal", "fexit_signal",
		    "kprobe_signal", "kretprobe_signal", "fexit_unix", "kprobe_unix"),
	       LIST("fentry_signal_mask", "fentry_signal_mask_n", "kprobe_signal_mask",
		    "kprobe_signal_mask_n", "ring_file", "ring_complete"));
}

/* 5.17 to 5.19: the request is told of, but not its type. */
static void kernel_5_17(void **state)
{
	struct kernel k = begin();

	(void)state;
	always(&k);
	FUNCTION(&k, "eventfd_signal", k.u64, pointer_to(&k, "eventfd_ctx"), k.u64);
	TRACEPOINT(&k, "io_uring_file_get", k.pointer, k.pointer, k.u64, k.u32);
	TRACEPOINT(&k, "io_uring_complete", k.pointer, k.pointer, k.u64, k.u32, k.u32);
	expect(&k, LIST("fentry_signal", "ring_complete"), LIST("ring_file"));
}

/* 6.1, and 5.15's later stable ones have the second function as well. */
static void kernel_6_1(void **state)
{
	struct kernel k = begin();

	(void)state;
	always(&k);
	FUNCTION(&k, "eventfd_signal", k.u64, pointer_to(&k, "eventfd_ctx"), k.u64);
	FUNCTION(&k, "eventfd_signal_mask", k.u64, pointer_to(&k, "eventfd_ctx"), k.u64,
		 k.u32);
	TRACEPOINT(&k, "io_uring_file_get", pointer_to(&k, "io_kiocb"), k.u32);
	TRACEPOINT(&k, "io_uring_complete", k.pointer, k.pointer, k.u64, k.u32, k.u32);
	expect(&k,
	       LIST("fentry_signal", "kprobe_signal", "fentry_signal_mask_n",
		    "kprobe_signal_mask_n", "ring_file", "ring_complete"),
	       LIST("fentry_signal_mask", "kprobe_signal_mask"));
}

/* From 6.8 on nothing is added but one, and eventfd_signal() is in a header. */
static void kernel_6_8(void **state)
{
	struct kernel k = begin();

	(void)state;
	always(&k);
	FUNCTION(&k, "eventfd_signal_mask", 0, pointer_to(&k, "eventfd_ctx"), k.u32);
	TRACEPOINT(&k, "io_uring_file_get", pointer_to(&k, "io_kiocb"), k.u32);
	TRACEPOINT(&k, "io_uring_complete", pointer_to(&k, "io_ring_ctx"), k.pointer,
		   pointer_to(&k, "io_uring_cqe"));
	expect(&k,
	       LIST("fentry_signal_mask", "kprobe_signal_mask", "ring_file", "ring_complete"),
	       LIST("fentry_signal", "fexit_signal", "kprobe_signal", "kretprobe_signal",
		    "fentry_signal_mask_n", "kprobe_signal_mask_n"));
}

/* Without io_uring, and with a function that nobody has seen yet. */
static void unknown_kernels(void **state)
{
	struct kernel k = begin();

	(void)state;
	FUNCTION(&k, "eventfd_signal", 0, pointer_to(&k, "eventfd_ctx"), k.u64, k.u32);
	FUNCTION(&k, "eventfd_signal_mask", 0, k.u32);
	TRACEPOINT(&k, "io_uring_file_get", k.u64);
	expect(&k, LIST("fentry_write", "waking"),
	       LIST("fentry_signal", "fentry_signal_mask", "fentry_signal_mask_n", "fexit_unix",
		    "ring_file", "ring_complete"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kernel_5_15),	   cmocka_unit_test(kernel_5_17),
		cmocka_unit_test(kernel_6_1),	   cmocka_unit_test(kernel_6_8),
		cmocka_unit_test(unknown_kernels),
	};

	return cmocka_run_group_tests_name("points", tests, NULL, NULL);
}

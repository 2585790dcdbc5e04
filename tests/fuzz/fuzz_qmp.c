/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A monitor's answers, a line each, to the queries in their order. */
#include <stdlib.h>

#include <json-c/json.h>

#include "observe/qmp.h"
#include "tests/fuzz/fuzz.h"

static void ends(const char *s, size_t size)
{
	EXPECT(memchr(s, '\0', size));
}

static void take_one(unsigned int turn, struct json_object *o, struct vu__qmp_vm *vm)
{
	struct vu__qmp_device d = {.path = ""};
	struct vu__qmp_queue q;

	switch (turn % 4) {
	case 0:
		vu__qmp_take_vm(o, o, o, vm);
		ends(vm->name, sizeof(vm->name));
		ends(vm->run_state, sizeof(vm->run_state));
		break;
	case 1:
		vu__qmp_release(vm);
		if (!vu__qmp_take_list(o, vm))
			EXPECT(vm->ndevs <= VU__QMP_MAX_DEVICES);
		for (uint32_t i = 0; i < vm->ndevs; i++) {
			ends(vm->devs[i].path, sizeof(vm->devs[i].path));
			ends(vm->devs[i].id, sizeof(vm->devs[i].id));
		}
		break;
	case 2:
		EXPECT(vu__qmp_take_status(o, &d) <= VU__QMP_MAX_QUEUES);
		break;
	default:
		vu__qmp_take_queue(o, &q);
		EXPECT(q.num <= 32768);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vu__qmp_vm vm = {.ndevs = 0};
	unsigned int turn = 0;

	while (size) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t len = end ? (size_t)(end - data) : size;
		/* Exactly as long as it is. */
		char *line = malloc(len ? len : 1);
		struct json_object *o;

		memcpy(line, data, len);
		o = vu__qmp_parse_reply(line, len);
		if (o)
			take_one(turn++, o, &vm);
		json_object_put(o);
		free(line);
		data += len + (end != NULL);
		size -= len + (end != NULL);
	}
	vu__qmp_release(&vm);
	return 0;
}

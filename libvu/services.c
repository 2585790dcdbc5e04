/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What lives beside each device: the upper floors that the lower ones know of by this. */
#include "backend/dev.h"
#ifdef VU_CONTROL
#include "state/control.h"
#endif

const struct vu__service *const vu__services[] = {
#ifdef VU_CONTROL
	&vu__control_service,
#endif
	NULL,
};

_Static_assert(sizeof(vu__services) / sizeof(vu__services[0]) <= VU__SERVICES_MAX + 1,
	       "a place for each service's data");

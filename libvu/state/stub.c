#include "state/control.h"
void vu__request_dirty(struct vu__control *c, const struct Vu__Control__Request *r, int fds[VU__CONTROL_FDS]){(void)r;(void)fds;vu__control_fail(c,-1,"stub");}

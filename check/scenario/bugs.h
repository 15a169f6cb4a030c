/* check/scenario/bugs.h - the named bugs as a table; the text is bugs.def. */
#ifndef UMEMCG_CHECK_BUGS_H
#define UMEMCG_CHECK_BUGS_H

#include <stdint.h>

#include "plat/plat.h"

struct bug {
	enum sim_bug_id id;
	const char *name, *source, *scenario;
	const char *invariant; /* the beginning of the finding's text; "": any */
	uint64_t budget;       /* executions */
	const char *text;
	bool tso; /* only with store buffers: --bug chooses that memory model */
};

extern const struct bug bugs[];
extern const unsigned nr_bugs;
/* NULL: there is none of that name. */
const struct bug *bug_find(const char *name);

#endif

/* cli/doctor.h - the report of `umemcg doctor`, apart from the looking: tests give it places.
 *
 * Locks: none.
 */
#ifndef UMEMCG_CLI_DOCTOR_H
#define UMEMCG_CLI_DOCTOR_H

#include "serve/place.h"

/* For people, at most 80 columns, and for programs. The caller frees; NULL: out of memory. */
char *doctor_text(const struct place *p, const struct place_more *m, const struct place_verdict *v);
char *doctor_json(const struct place *p, const struct place_more *m, const struct place_verdict *v);

#endif

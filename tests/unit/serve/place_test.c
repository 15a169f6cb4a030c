/* tests/unit/serve/place_test.c - which mode follows from what a place permits: the decision, over
 * places that need not exist here. */
#include <string.h>

#include "places.h"
#include "test.h"

/* Whoever has no mode is told why, with the change that helps. */
TEST(the_best_mode_is_taken_and_what_is_missing_is_named)
{
	for (size_t i = 0; i < NR_PLACES; i++) {
		const struct known_place *k = &places[i];
		struct place_verdict v;

		place_judge(&k->place, SERVE_MODE_AUTO, &v);
		if (v.mode != k->mode)
			fail_msg("%s: mode %s", k->name, serve_mode_name(v.mode));
		if (!v.problem.error != !k->why)
			fail_msg("%s: %s", k->name, v.problem.text);
		if (k->why && !strstr(v.problem.text, k->why))
			fail_msg("%s: no \"%s\" in: %s", k->name, k->why, v.problem.text);
		if (!v.more != !k->more || (k->more && !strstr(v.more, k->more)))
			fail_msg("%s: no \"%s\" in: %s", k->name, k->more, v.more);
		assert_non_null(v.cost);
	}
}

/* Who asks for a mode gets that one or none. */
TEST(a_mode_that_was_asked_for_is_that_or_none)
{
	struct place_verdict v;

	place_judge(&places[0].place, SERVE_MODE_KERNEL, &v);
	assert_int_equal(v.mode, SERVE_MODE_KERNEL);
	assert_int_equal(v.problem.error, 0);
	place_judge(&places[0].place, SERVE_MODE_USER, &v);
	assert_int_equal(v.mode, SERVE_MODE_USER);
	place_judge(&places[3].place, SERVE_MODE_KERNEL_FORK, &v);
	assert_int_equal(v.mode, SERVE_MODE_NONE);
	assert_int_equal(v.problem.error, -EPERM);
	assert_non_null(strstr(v.problem.text, "fork events"));
}

/* What --mode takes is what the report says. */
TEST(every_mode_has_its_name)
{
	enum serve_mode mode;

	for (int i = SERVE_MODE_AUTO; i < SERVE_MODE_NONE; i++) {
		assert_true(serve_mode_parse(serve_mode_name((enum serve_mode)i), &mode));
		assert_int_equal(mode, i);
	}
	assert_false(serve_mode_parse("none", &mode));
	assert_false(serve_mode_parse("", &mode));
	assert_false(serve_mode_parse("kernel ", &mode));
}

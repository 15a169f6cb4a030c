/* tests/unit/serve/account/copies_test.c - what is decided from the numbers of a family, which are
 * looked up at different instants. */
#include "serve/account/copies.h"
#include "test.h"

/* A negative share would take from what the rest of the family is charged. */
TEST(a_share_is_never_negative)
{
	static const struct {
		int64_t own, less, paid;
	} t[] = {
		{ 100, 40, 60 }, { 100, 0, 100 }, { 100, 100, 0 }, { 100, 101, 0 }, { 0, 5000, 0 },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_int_equal(share_paid(t[i].own, t[i].less), t[i].paid);
		assert_int_equal(share_of_others(t[i].own, t[i].less), t[i].paid);
	}
}

/* A pass during which a member came or went is void. Before a kill it is worth another try; a
 * family that never rests must not hold up the kill. */
TEST(a_void_pass_is_done_again_before_a_kill_and_a_bounded_number_of_times)
{
	unsigned n = 0;

	while (pass_again(n, false, true))
		n++;
	assert_int_equal(n, PASS_TRIES);
	assert_true(n > 1);
	for (n = 0; pass_again(n, false, false);)
		n++;
	assert_int_equal(n, 1);
	for (n = 0; pass_again(n, n == 2, true);)
		n++;
	assert_int_equal(n, 2);
	assert_false(pass_again(1, true, true));
}

/* tests/unit/serve/client/notice_test.c - notices of the supervisor: all are printed, unless there
 * are too many at once, and then their number. */
#include <stdlib.h>
#include <string.h>

#include "serve/client/supervisor.h"
#include "test.h"

#define MANY    1000
#define WAIT_NS (20 * 1000000ull)

static struct supervisor *s;
static unsigned said, counted_lost, lost_words;

static void hear(void *arg, const char *text)
{
	unsigned n;

	assert_ptr_equal(arg, &said);
	if (sscanf(text, "%u messages were left out", &n) == 1) {
		counted_lost += n;
		lost_words++;
	} else {
		said++;
	}
}

static void begin(void)
{
	s = calloc(1, sizeof(*s));
	assert_non_null(s);
	s->config.notice = hear;
	s->config.notice_arg = &said;
	assert_int_equal(notice_init(s), 0);
	said = counted_lost = lost_words = 0;
}

static void end(void)
{
	notice_fini(s);
	free(s);
}

/* Two programs that end within a few milliseconds have two reasons. */
TEST(notices_that_follow_each_other_closely_are_all_said)
{
	begin();
	for (int i = 0; i < 10; i++)
		supervisor_notice(s, "process %d", i);
	assert_int_equal(said, 10);
	end();
}

/* A flood is bounded, and the omitted notices are counted. */
TEST(notices_that_are_too_many_are_counted)
{
	begin();
	for (int i = 0; i < MANY; i++)
		supervisor_notice(s, "process %d", i);
	plat_sleep_ns(2 * WAIT_NS);
	supervisor_notice(s, "the last one");
	assert_int_equal(said + counted_lost, MANY + 1);
	assert_true(lost_words > 0);
	end();
}

/* tests/test.h - tests that register themselves.
 *
 *     TEST(a_sentence_that_says_what_holds)
 *     {
 *             assert_int_equal(1 + 1, 2);
 *     }
 *
 * A *_test.c file is one program; its tests run in the order of the file, as one cmocka group,
 * from main() in test_main.c. An argument runs only the tests whose names contain it.
 */
#ifndef UMEMCG_TESTS_TEST_H
#define UMEMCG_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

void test_register(const char *name, void (*fn)(void **state));

#define TEST(name)                                                        \
	static void test_##name(void **state_);                           \
	__attribute__((constructor)) static void register_##name(void)    \
	{                                                                 \
		test_register(#name, test_##name);                        \
	}                                                                 \
	static void test_##name(void **state_ __attribute__((unused)))

/* Leave the test: it cannot run here, and @reason says why. */
#define TEST_SKIP(reason)                                                 \
	do {                                                              \
		printf("# skip: %s\n", reason);                           \
		skip();                                                   \
	} while (0)

/* Wait for an event that another thread or process brings about, not for a time: however busy the machine is, it comes. Whoever
 * has looked sixty thousand times, a millisecond between two looks, waits for what will not come. */
#define WAIT_UNTIL(cond)                                                  \
	do {                                                              \
		for (int looks_ = 0; !(cond); looks_++) {                 \
			if (looks_ == 60000)                              \
				fail_msg("waited in vain: %s", #cond);    \
			test_pause();                                     \
		}                                                         \
	} while (0)
void test_pause(void);

/* How a child ended that ran @fn: its wait status, and what it wrote to stderr. For tests of
 * code that stops the program. The child is a fork: no other threads may run. */
int test_in_child(void (*fn)(void), char *err, size_t err_size);

/* The child must abort, and say @expect. */
void test_expect_abort(void (*fn)(void), const char *expect);

#endif

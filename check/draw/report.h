/* check/draw/report.h - a failing schedule as a drawing: one column per task, one row per
 * operation.
 *
 * Made in three steps, one file each: report.c reruns the schedule and records who did what, called
 * from where; report_words.c puts it in the words of the source; report_text.c and report_html.c
 * draw it.
 */
#ifndef UMEMCG_CHECK_REPORT_H
#define UMEMCG_CHECK_REPORT_H

#include <stdio.h>

#include "search/replay.h"
#include "search/symbols.h"

#define REPORT_STACK_MAX 12
#define REPORT_CELL_MAX  512

struct report_row {
	int task;
	unsigned step;
	struct sim_op op;
	uint64_t before, after;
	char text[REPORT_CELL_MAX];                 /* what it did */
	const char *note;                           /* "NOT TAKEN": what did not happen; or NULL */
	struct source_line at;                      /* func NULL: unknown */
	struct source_line stack[REPORT_STACK_MAX]; /* callers, innermost first; [0] is @at */
	unsigned nr_stack;
	bool matters;    /* the failure depends on it, or on what it changed */
	bool head;       /* a different function than in the task's previous row */
	unsigned folded; /* > 0: stands for this many unimportant rows; no text */
	bool no_step;    /* not an operation: marks where the bug is */
	bool placed;     /* @at and @stack are filled in: report_place */
};

/* A place where the engine misbehaves as the named bug describes. */
struct report_bug_place {
	int task;
	unsigned before; /* the operation that follows it */
	struct source_line at;
};
#define REPORT_BUG_PLACES 16

struct report_held {
	int task;
	char text[120];
	struct source_line at;
};

struct report {
	const struct scenario *scenario;
	const struct bug *bug; /* NULL: none */
	struct sim_failure failure;
	const char *unexpected;      /* broken according to the table of bugs, if other; NULL */
	struct source_line found_at; /* file NULL: unknown */
	struct source_line found_stack[REPORT_STACK_MAX];
	unsigned nr_found_stack;
	struct source_line other_at; /* of a race */
	const char *task[SIM_TASKS_MAX];
	bool drawn[SIM_TASKS_MAX]; /* has a column */
	unsigned steps_not_drawn[SIM_TASKS_MAX];
	unsigned nr_tasks;
	struct report_row *rows;
	unsigned nr_rows, nr_ops;
	struct report_bug_place bug_at[REPORT_BUG_PLACES];
	unsigned nr_bug_at;
	struct source_line bug_in_setup; /* func NULL: not there, or unknown */
	struct report_held held[64];
	unsigned nr_held;
	unsigned preemptions;
	uint32_t left_out;  /* tasks that need not run for the failure */
	uint64_t execution; /* the execution it was found in; 0: unknown */
	bool steady;        /* it fails the same way each time */
	char replay[REPLAY_TEXT_MAX];
};

/* Run @s and describe it. @full: every operation has a row. The scenario is loaded. */
struct report *report_make(const struct scenario *scenario, const struct bug *bug,
			   const struct schedule *s, bool full);
void report_free(struct report *r);
/* Find the source location of @row; only while report_make runs. */
void report_place(struct report_row *row);

void report_text(FILE *out, const struct report *r, bool color);
/* A page: its beginning, drawings, its end. */
void report_html_begin(FILE *out, const char *title);
void report_html(FILE *out, const struct report *r);
void report_html_end(FILE *out);

/* report_subject.c: mark what the finding is about, and where the bug is. False: unknown. */
bool subject_mark(struct report *r);
/* report_bug.c: find where in @s, which fails, the engine must misbehave for the failure; reloads
 * the scenario. */
void bug_find_places(const struct scenario *scenario, const struct bug *bug,
		     const struct schedule *s);
/* Give these places rows. */
void bug_mark_rows(struct report *r);

/* Start another drawing: forget the numbers of unnamed things. */
void words_begin(void);
/* Say what @row did. */
void words_of(struct report_row *row);
/* The object of @op: "A.memory.usage". */
void words_object(const struct sim_op *op, char *buf, size_t n);
/* The name of the object at @p, or the address. */
void words_address(const void *p, const char *expr, char *buf, size_t n);
/* A value of the field @field, in readable form: report_values.c. */
void words_value(const char *field, unsigned width, uint64_t value, char *buf, size_t n);
/* Is @obj, as words_object prints it, such a field: "mapcount" of "page 1 mapcount"? A gauge:
 * "anon" of "A anon, CPU 0"? */
bool words_field_is(const char *obj, const char *field);
bool words_gauge_is(const char *obj, const char *gauge);
/* Some of its bits: "PG_lru". False: they have no names. */
bool words_mask(const char *field, uint64_t mask, char *buf, size_t n);

#endif

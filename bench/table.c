/* bench/table.c - from the raw figures of a benchmark run to a table, a file and a chart.
 *
 *     bench-table RAW RESULTS CHART
 *
 * RAW: one figure a line, "work <tab> column <tab> repeat <tab> value", value "failed" when that
 * run failed.
 * RESULTS: one line for each work and column: runs, failures, median, least, greatest, ratio to the
 * kernel, goal.
 * CHART: a gnuplot script with its data inside; the caller sets the terminal and the output.
 * Standard output: the table, medians with (least-greatest).
 *
 * A ratio below 1 means less time than the kernel's controller. A failed run meets no goal.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS_MAX 64

static const char *const columns[] = { "umemcg", "umemcg-direct", "kernel", "none" };
enum { UMEMCG, DIRECT, KERNEL, NONE, NR_COLUMNS };

static const struct work {
	const char *name, *unit;
	double goal; /* greatest umemcg/kernel ratio that is wanted; 0 = no goal */
} works[] = {
	{ "fill", "us/page", 0 },
	{ "seq", "us/page", 0.5 },
	{ "random", "us/page", 1.0 },
	{ "check", "us/page", 0 },
	{ "redis-load", "us/request", 0 },
	{ "redis-get", "us/request", 0 },
	{ "redis-set", "us/request", 0 },
	{ "sort", "s", 0 },
	{ "workers", "s", 0 },
	{ "workers-swap", "MiB", 0 },
	{ "workers-written", "MiB", 0 },
	{ "changers", "s", 0 },
	{ "changers-swap", "MiB", 0 },
	{ "changers-written", "MiB", 0 },
	{ "bgsave", "s", 0 },
	{ "bgsave-swap", "MiB", 0 },
	{ "bgsave-written", "MiB", 0 },
	{ "hash", "s", 0 },
	{ "hash-cpu", "s", 0 },
	{ "xz", "s", 0 },
	{ "xz-cpu", "s", 0 },
	{ "zstd", "s", 0 },
	{ "zstd-cpu", "s", 0 },
	{ "huge-first", "s", 0 },
	{ "huge-again", "s", 0 },
};
#define NR_WORKS (sizeof(works) / sizeof(works[0]))

static struct cell {
	double value[RUNS_MAX]; /* sorted once all are read */
	unsigned n, failed;
} cells[NR_WORKS][NR_COLUMNS];

static void add(const char *work, const char *column, const char *value)
{
	for (unsigned w = 0; w < NR_WORKS; w++) {
		for (unsigned c = 0; c < NR_COLUMNS; c++) {
			struct cell *cell = &cells[w][c];

			if (strcmp(works[w].name, work) || strcmp(columns[c], column))
				continue;
			if (!strcmp(value, "failed"))
				cell->failed++;
			else if (cell->n < RUNS_MAX)
				cell->value[cell->n++] = strtod(value, NULL);
			return;
		}
	}
	fprintf(stderr, "bench-table: unknown figure: %s %s\n", work, column);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void read_raw(FILE *raw)
{
	char work[64], column[64], value[64];

	while (fscanf(raw, "%63s %63s %*s %63s", work, column, value) == 3)
		add(work, column, value);
	for (unsigned w = 0; w < NR_WORKS; w++)
		for (unsigned c = 0; c < NR_COLUMNS; c++)
			qsort(cells[w][c].value, cells[w][c].n, sizeof(double), by_value);
}

static double median(const struct cell *cell)
{
	unsigned m = cell->n / 2;

	return cell->n % 2 ? cell->value[m] : (cell->value[m - 1] + cell->value[m]) / 2;
}

static bool work_ran(unsigned w)
{
	for (unsigned c = 0; c < NR_COLUMNS; c++)
		if (cells[w][c].n || cells[w][c].failed)
			return true;
	return false;
}

static bool column_ran(unsigned c)
{
	for (unsigned w = 0; w < NR_WORKS; w++)
		if (cells[w][c].n || cells[w][c].failed)
			return true;
	return false;
}

/* There is a figure to draw for column @c in the works from @first to before @end. */
static bool column_drawn(unsigned c, unsigned first, unsigned end)
{
	for (unsigned w = first; w < end; w++)
		if (cells[w][c].n)
			return true;
	return false;
}

/* Median over the kernel's median; 0 when one of the two is missing. */
static double ratio(unsigned w, unsigned c)
{
	const struct cell *kernel = &cells[w][KERNEL];

	if (!cells[w][c].n || !kernel->n || median(kernel) <= 0)
		return 0;
	return median(&cells[w][c]) / median(kernel);
}

static const char *verdict(unsigned w, unsigned c)
{
	double r = ratio(w, c);

	if (works[w].goal <= 0 || c > DIRECT)
		return "-";
	if (cells[w][c].failed)
		return "no";
	if (r <= 0)
		return "not measured";
	return r <= works[w].goal ? "yes" : "no";
}

static void number(char *to, size_t size, double x)
{
	snprintf(to, size, "%.*f", x < 1 ? 3 : x < 100 ? 2 : 0, x);
}

static void print_cell(const struct cell *cell)
{
	char mid[32], low[32], high[32], all[128];

	if (cell->n) {
		number(mid, sizeof(mid), median(cell));
		number(low, sizeof(low), cell->value[0]);
		number(high, sizeof(high), cell->value[cell->n - 1]);
		snprintf(all, sizeof(all), "%s (%s-%s)%s", mid, low, high, cell->failed ? "!" : "");
	} else {
		snprintf(all, sizeof(all), "%s", cell->failed ? "failed" : "-");
	}
	printf("  %-22s", all);
}

static void print_goal(unsigned w)
{
	double r = ratio(w, UMEMCG);
	char text[32] = "-";

	if (r > 0)
		snprintf(text, sizeof(text), "%.2f", r);
	printf("  %-13s", text);
	if (works[w].goal > 0)
		printf("  <= %.1f  %s\n", works[w].goal, verdict(w, UMEMCG));
	else
		printf("  -       -\n");
}

static void print_table(void)
{
	printf("%-16s  %-10s", "work", "unit");
	for (unsigned c = 0; c < NR_COLUMNS; c++)
		if (column_ran(c))
			printf("  %-22s", columns[c]);
	printf("  %-13s  %-6s  %s\n", "umemcg/kernel", "goal", "met");
	for (unsigned w = 0; w < NR_WORKS; w++) {
		if (!work_ran(w))
			continue;
		printf("%-16s  %-10s", works[w].name, works[w].unit);
		for (unsigned c = 0; c < NR_COLUMNS; c++)
			if (column_ran(c))
				print_cell(&cells[w][c]);
		print_goal(w);
	}
}

static void write_ratio(FILE *f, unsigned w, unsigned c)
{
	bool aim = works[w].goal > 0 && c <= DIRECT;

	if (ratio(w, c) > 0)
		fprintf(f, "%.3f", ratio(w, c));
	else
		fprintf(f, "-");
	if (aim)
		fprintf(f, "\t%.1f\t%s\n", works[w].goal, verdict(w, c));
	else
		fprintf(f, "\t-\t-\n");
}

static void write_results(FILE *f)
{
	fprintf(f, "work\tunit\tcolumn\truns\tfailed\tmedian\tmin\tmax\t"
		   "ratio_to_kernel\tgoal\tmet\n");
	for (unsigned w = 0; w < NR_WORKS; w++) {
		for (unsigned c = 0; c < NR_COLUMNS; c++) {
			const struct cell *cell = &cells[w][c];

			if (!cell->n && !cell->failed)
				continue;
			fprintf(f, "%s\t%s\t%s\t%u\t%u\t", works[w].name, works[w].unit, columns[c],
				cell->n + cell->failed, cell->failed);
			if (cell->n)
				fprintf(f, "%.4f\t%.4f\t%.4f\t", median(cell), cell->value[0],
					cell->value[cell->n - 1]);
			else
				fprintf(f, "-\t-\t-\t");
			write_ratio(f, w, c);
		}
	}
}

/* One panel of the chart: the works from @first to before @end, which share a unit. */
static void write_panel(FILE *f, unsigned first, unsigned end)
{
	const char *comma = "";

	fprintf(f, "$panel <<EOD\n");
	for (unsigned w = first; w < end; w++) {
		if (!work_ran(w))
			continue;
		fprintf(f, "%s", works[w].name);
		for (unsigned c = 0; c < NR_COLUMNS; c++) {
			const struct cell *cell = &cells[w][c];

			if (cell->n)
				fprintf(f, " %g %g %g", median(cell), cell->value[0],
					cell->value[cell->n - 1]);
			else
				fprintf(f, " NaN NaN NaN");
		}
		fprintf(f, "\n");
	}
	fprintf(f, "EOD\nset ylabel '%s'\nplot ", works[first].unit);
	for (unsigned c = 0; c < NR_COLUMNS; c++) {
		if (!column_drawn(c, first, end))
			continue;
		fprintf(f, "%s$panel using %u:%u:%u:xtic(1) title '%s' lc rgb '%s'", comma,
			2 + 3 * c, 3 + 3 * c, 4 + 3 * c, columns[c],
			(const char *[]){ "#0072b2", "#56b4e9", "#d55e00", "#999999" }[c]);
		comma = ", ";
	}
	fprintf(f, "\n");
}

/* Works with the same unit stand together. */
static unsigned panel_end(unsigned first)
{
	unsigned end = first;

	while (end < NR_WORKS && !strcmp(works[end].unit, works[first].unit))
		end++;
	return end;
}

static void write_chart(FILE *f)
{
	unsigned panels = 0;

	for (int draw = 0; draw < 2; draw++) {
		for (unsigned first = 0, end; first < NR_WORKS; first = end) {
			bool any = false;

			end = panel_end(first);
			for (unsigned c = 0; c < NR_COLUMNS; c++)
				any |= column_drawn(c, first, end);
			if (any && draw)
				write_panel(f, first, end);
			else if (any)
				panels++;
		}
		if (!draw)
			fprintf(f,
				"set multiplot layout 1,%u title plot_title\n"
				"set style data histograms\n"
				"set style histogram errorbars gap 1 lw 1\n"
				"set style fill solid 0.8 border -1\n"
				"set boxwidth 0.9\nset logscale y\n"
				"set grid ytics\nset key above maxrows 2 samplen 1\n"
				"set xtics rotate by -30\n",
				panels ? panels : 1);
	}
	fprintf(f, "unset multiplot\n");
}

static FILE *must_open(const char *path, const char *mode)
{
	FILE *f = fopen(path, mode);

	if (!f) {
		perror(path);
		exit(1);
	}
	return f;
}

int main(int argc, char **argv)
{
	FILE *f;

	if (argc != 4) {
		fprintf(stderr, "usage: bench-table RAW RESULTS CHART\n");
		return 2;
	}
	f = must_open(argv[1], "r");
	read_raw(f);
	fclose(f);
	print_table();
	f = must_open(argv[2], "w");
	write_results(f);
	fclose(f);
	f = must_open(argv[3], "w");
	write_chart(f);
	return fclose(f) ? 1 : 0;
}

/* tests/native/prog/reportget.c - values out of a JSON report, for shell scripts.
 *
 *     reportget FILE PATH...      a PATH is keys with / between them: memory.events/oom_kill
 *
 * Prints one value a line, strings without quotes. Exit 1 when FILE is not JSON as a whole or a
 * PATH is missing, with the reason on standard error.
 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPORT_BYTES_MAX (1024 * 1024)

static char *read_all(const char *path)
{
	char *text = calloc(1, REPORT_BYTES_MAX + 1);
	FILE *f = fopen(path, "r");

	if (!f || !text || fread(text, 1, REPORT_BYTES_MAX, f) == 0) {
		fprintf(stderr, "reportget: %s: cannot be read, or is empty\n", path);
		exit(1);
	}
	fclose(f);
	return text;
}

static const cJSON *look_up(const cJSON *at, const char *path)
{
	char *copy = strdup(path), *rest = copy;

	for (char *key; at && (key = strsep(&rest, "/"));)
		at = cJSON_GetObjectItemCaseSensitive(at, key);
	free(copy);
	return at;
}

static int print(const cJSON *item)
{
	char *text =
		cJSON_IsString(item) ? strdup(item->valuestring) : cJSON_PrintUnformatted(item);
	int n = puts(text ? text : "");

	free(text);
	return n < 0;
}

int main(int argc, char **argv)
{
	char *text;
	cJSON *root;

	if (argc < 2) {
		fprintf(stderr, "usage: reportget FILE PATH...\n");
		return 2;
	}
	text = read_all(argv[1]);
	root = cJSON_ParseWithOpts(text, NULL, 1);
	if (!root) {
		fprintf(stderr, "reportget: %s: not JSON\n", argv[1]);
		return 1;
	}
	for (int i = 2; i < argc; i++) {
		const cJSON *item = look_up(root, argv[i]);

		if (!item) {
			fprintf(stderr, "reportget: %s: no %s\n", argv[1], argv[i]);
			return 1;
		}
		if (print(item))
			return 1;
	}
	cJSON_Delete(root);
	free(text);
	return 0;
}

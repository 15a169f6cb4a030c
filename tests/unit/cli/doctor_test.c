/* tests/unit/cli/doctor_test.c - the report of `umemcg doctor`, over places that need not exist
 * here. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "cli/doctor.h"
#include "places.h"
#include "test.h"

static const struct place_more more = {
	.memlock = SERVE_UNLIMITED,
	.connector_err = -EPERM,
	.realtime_err = -EPERM,
	.swap_dir = "/a/directory/with a very/long/name/that/goes/on/and/on/until/it/is/too/long",
	.swap_fs = "tmpfs",
};

/* A terminal has 80 columns. */
TEST(the_table_fits_into_80_columns)
{
	for (size_t i = 0; i < NR_PLACES; i++) {
		struct place_verdict v;
		char *text, *line;
		int width, word;

		place_judge(&places[i].place, SERVE_MODE_AUTO, &v);
		text = doctor_text(&places[i].place, &more, &v);
		assert_non_null(text);
		for (line = text; *line; line += strcspn(line, "\n") + 1) {
			width = word = 0;
			(void)sscanf(line, "%*[^\n]%n", &width);
			(void)sscanf(line, "%*22c%*[^ \n]%n", &word);
			/* A word that is too long by itself cannot be broken. */
			if (width > 80 && word <= 80)
				fail_msg("%s: too wide: %.120s", places[i].name, line);
			assert_true(strchr(line, '\n') != NULL);
		}
		if (!strstr(text, serve_mode_name(v.mode)))
			fail_msg("%s: no mode in: %s", places[i].name, text);
		free(text);
	}
}

/* Programs read the same. */
TEST(the_json_has_mode_reason_and_remedy)
{
	for (size_t i = 0; i < NR_PLACES; i++) {
		const struct known_place *k = &places[i];
		struct place_verdict v;
		cJSON *root, *found;
		char *text;

		place_judge(&k->place, SERVE_MODE_AUTO, &v);
		text = doctor_json(&k->place, &more, &v);
		root = cJSON_Parse(text);
		assert_non_null(root);
		assert_string_equal(cJSON_GetObjectItem(root, "mode")->valuestring,
				    serve_mode_name(k->mode));
		assert_int_equal(cJSON_IsString(cJSON_GetObjectItem(root, "why")), k->why != NULL);
		assert_int_equal(cJSON_IsString(cJSON_GetObjectItem(root, "more")),
				 k->more != NULL);
		found = cJSON_GetObjectItem(root, "found");
		assert_non_null(found);
		assert_string_equal(cJSON_GetObjectItem(found, "memlock")->valuestring, "max");
		assert_string_equal(cJSON_GetObjectItem(found, "kernel")->valuestring,
				    k->place.kernel);
		assert_string_equal(cJSON_GetObjectItem(found, "realtime")->valuestring,
				    strerror(EPERM));
		cJSON_Delete(root);
		free(text);
	}
}

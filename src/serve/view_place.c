/* serve/view_place.c - where is the control group that a program looks into for its memory limit?
 * See view.h.
 *
 * Programs take the group from /proc/self/cgroup, and the mount from /proc/self/mountinfo: that of
 * version 1 with the option "memory", if the group file has a line for it; else version 2's.
 *
 * Locks: none; pure.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "serve/view.h"

/* Is @word one of the comma-separated words from @list to its end or @end? */
static bool has_word(const char *list, size_t len, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; p < list + len;) {
		const char *comma = memchr(p, ',', (size_t)(list + len - p));
		size_t here = (size_t)((comma ? comma : list + len) - p);

		if (here == n && memcmp(p, word, n) == 0)
			return true;
		p += here + 1;
	}
	return false;
}

/* The path of the group in the hierarchy of version 1 with memory, or of version 2: a line
 * "ID:CONTROLLERS:PATH". */
static bool find_group(const char *cgroup, bool v1, char *path, size_t size)
{
	for (const char *line = cgroup; line && *line;) {
		const char *end = strchrnul(line, '\n');
		const char *first = memchr(line, ':', (size_t)(end - line));
		const char *second =
			first ? memchr(first + 1, ':', (size_t)(end - first - 1)) : NULL;
		size_t len = second ? (size_t)(end - second - 1) : 0;

		if (second && len && len < size &&
		    (v1 ? has_word(first + 1, (size_t)(second - first - 1), "memory")
			: second == first + 1)) {
			memcpy(path, second + 1, len);
			path[len] = '\0';
			return true;
		}
		line = *end ? end + 1 : NULL;
	}
	return false;
}

/* Does a mount whose root is @root show @group? In a container it shows a part of the hierarchy. */
static bool shows(const char *root, const char *group)
{
	size_t len = strcmp(root, "/") == 0 ? 0 : strlen(root);

	return strncmp(group, root, len) == 0 && (group[len] == '\0' || group[len] == '/');
}

/* The last mount of the kind that shows @group: what is mounted later hides the one before. A view
 * around us has mounted single files, too. "ID PARENT MAJ:MIN ROOT
 * POINT OPTIONS [TAGS] - TYPE SOURCE SUPER". */
static bool find_mount(const char *mountinfo, bool v1, const char *group, char *root, char *point,
		       size_t size)
{
	bool found = false;

	for (const char *line = mountinfo; line && *line;) {
		const char *end = strchrnul(line, '\n');
		char text[8192], r[4096], p[4096], type[32], super[1024];
		const char *dash;

		if ((size_t)(end - line) < sizeof(text)) {
			memcpy(text, line, (size_t)(end - line));
			text[end - line] = '\0';
			dash = strstr(text, " - ");
			if (dash && sscanf(text, "%*s %*s %*s %4095s %4095s", r, p) == 2 &&
			    sscanf(dash, " - %31s %*s %1023s", type, super) == 2 &&
			    strcmp(type, v1 ? "cgroup" : "cgroup2") == 0 &&
			    (!v1 || has_word(super, strlen(super), "memory")) && shows(r, group) &&
			    strlen(r) < size && strlen(p) < size) {
				strcpy(root, r);
				strcpy(point, p);
				found = true;
			}
		}
		line = *end ? end + 1 : NULL;
	}
	return found;
}

int view_place_find(const char *cgroup, const char *mountinfo, struct view_place *out)
{
	char group[4096], root[4096], point[4096];
	const char *below = group;
	size_t len;

	out->v1 = find_group(cgroup, true, group, sizeof(group));
	if (!out->v1 && !find_group(cgroup, false, group, sizeof(group)))
		return -ENOENT;
	if (!find_mount(mountinfo, out->v1, group, root, point, sizeof(point)))
		return -ENOENT;
	len = strcmp(root, "/") == 0 ? 0 : strlen(root);
	below += len;
	if (strcmp(below, "/") == 0)
		below = "";
	out->whole = *below != '\0';
	if ((size_t)snprintf(out->path, sizeof(out->path), "%s%s", point, below) >=
	    sizeof(out->path))
		return -ENOENT;
	return 0;
}

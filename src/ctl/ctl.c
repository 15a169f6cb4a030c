/* ctl/ctl.c - reading and writing a control file: see ctl.h. */
#include "ctl/ctl.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

const struct ctl_file *ctl_find(enum ctl_view view, const char *name)
{
	unsigned nr;
	const struct ctl_file *files = ctl_files(&nr);

	for (unsigned i = 0; i < nr; i++)
		if (files[i].view == view && strcmp(files[i].name, name) == 0)
			return &files[i];
	return NULL;
}

int ctl_read(const struct ctl *c, const struct ctl_file *f, struct text *out)
{
	if (!f->read)
		return -EINVAL;
	f->read(c, f, out);
	return out->cut ? -EFBIG : 0;
}

int ctl_write(const struct ctl *c, const struct ctl_file *f, const char *text)
{
	char value[CTL_VALUE_MAX];
	size_t len;

	if (!f->write)
		return -EINVAL;
	VM_ASSERT(f->accepts);
	while (isspace((unsigned char)*text))
		text++;
	len = strlen(text);
	while (len && isspace((unsigned char)text[len - 1]))
		len--;
	if (len >= sizeof(value))
		return -EINVAL;
	memcpy(value, text, len);
	value[len] = '\0';
	return f->write(c, f, value);
}

int ctl_parse_pages(const char *text, const char *none, int64_t *pages)
{
	static const char units[] = "KMGTPE";
	const char *unit;
	uint64_t bytes;
	char *end;

	if (strcmp(text, none) == 0) {
		*pages = PAGE_COUNTER_MAX;
		return 0;
	}
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	bytes = strtoull(text, &end, strncmp(text, "0x", 2) == 0 ? 16 : 10);
	if (errno == ERANGE)
		bytes = UINT64_MAX;
	if (*end && (unit = strchr(units, toupper((unsigned char)*end)))) {
		unsigned shift = 10 * (unsigned)(unit - units + 1);

		bytes = bytes > UINT64_MAX >> shift ? UINT64_MAX : bytes << shift;
		end++;
	}
	if (*end)
		return -EINVAL;
	bytes /= PAGE_SIZE;
	*pages = bytes < (uint64_t)PAGE_COUNTER_MAX ? (int64_t)bytes : PAGE_COUNTER_MAX;
	return 0;
}

/* plat/codec.h - the codec contract: compressing one page.
 *
 * Both calls are thread-safe and take no lock. What decompress is given is what compress made: the
 * caller has compared its checksum. It still writes nothing outside @page.
 */
#ifndef UMEMCG_PLAT_CODEC_H
#define UMEMCG_PLAT_CODEC_H

#include <stdbool.h>
#include <stddef.h>

#define CODEC_PAGE_SIZE 4096

struct codec {
	const char *name; /* "lz4", "zstd", "words" */
	/* Compress @page, of CODEC_PAGE_SIZE bytes, to at most @room bytes at @out. Returns the
	 * bytes, or 0: it does not fit, or there is no memory. */
	size_t (*compress)(const void *page, void *out, size_t room);
	/* The reverse. False: the @n bytes at @in are no page. */
	bool (*decompress)(const void *in, size_t n, void *page);
};

/* native/codec.c: "lz4" or "zstd" (level 1). NULL: unknown, or not built in. */
const struct codec *codec_native(const char *name);
/* soft/codec_words.c: runs of equal words; for tests and the checker. */
const struct codec *codec_words(void);

#endif

/* plat/native/codec.c - LZ4 and Zstandard. See plat/codec.h.
 *
 * LZ4 keeps its state on the stack (16 KiB). Zstandard's contexts are large: each thread makes its
 * own at its first use, and a key frees them when the thread ends.
 */
#include <pthread.h>
#include <string.h>

#include "plat/codec.h"
#include "plat/plat.h"

#if HAVE_LZ4
#include <lz4.h>

static size_t lz4_compress(const void *page, void *out, size_t room)
{
	int n = LZ4_compress_default(page, out, CODEC_PAGE_SIZE, (int)room);

	return n > 0 ? (size_t)n : 0;
}

static bool lz4_decompress(const void *in, size_t n, void *page)
{
	return LZ4_decompress_safe(in, page, (int)n, CODEC_PAGE_SIZE) == CODEC_PAGE_SIZE;
}

static const struct codec lz4 = { "lz4", lz4_compress, lz4_decompress };
#endif

#if HAVE_ZSTD
#include <zstd.h>

#define ZSTD_LEVEL 1

struct contexts {
	ZSTD_CCtx *in;
	ZSTD_DCtx *out;
};

static pthread_key_t contexts_key;
static pthread_once_t contexts_once = PTHREAD_ONCE_INIT;
static bool contexts_usable;

static void contexts_free(void *arg)
{
	struct contexts *c = arg;

	ZSTD_freeCCtx(c->in);
	ZSTD_freeDCtx(c->out);
	plat_free(c);
}

static void contexts_init(void)
{
	contexts_usable = pthread_key_create(&contexts_key, contexts_free) == 0;
}

/* This thread's contexts; NULL: no memory. */
static struct contexts *contexts(void)
{
	struct contexts *c;

	pthread_once(&contexts_once, contexts_init);
	if (!contexts_usable)
		return NULL;
	c = pthread_getspecific(contexts_key);
	if (c)
		return c;
	c = plat_alloc(sizeof(*c));
	if (!c)
		return NULL;
	c->in = ZSTD_createCCtx();
	c->out = ZSTD_createDCtx();
	if (c->in && c->out && pthread_setspecific(contexts_key, c) == 0)
		return c;
	contexts_free(c);
	return NULL;
}

static size_t zstd_compress(const void *page, void *out, size_t room)
{
	struct contexts *c = contexts();
	size_t n = c ? ZSTD_compressCCtx(c->in, out, room, page, CODEC_PAGE_SIZE, ZSTD_LEVEL) : 0;

	return ZSTD_isError(n) ? 0 : n;
}

static bool zstd_decompress(const void *in, size_t n, void *page)
{
	struct contexts *c = contexts();

	/* Without memory for a context of ours the library makes one for the call. */
	return (c ? ZSTD_decompressDCtx(c->out, page, CODEC_PAGE_SIZE, in, n)
		  : ZSTD_decompress(page, CODEC_PAGE_SIZE, in, n)) == CODEC_PAGE_SIZE;
}

static const struct codec zstd = { "zstd", zstd_compress, zstd_decompress };
#endif

const struct codec *codec_native(const char *name)
{
#if HAVE_LZ4
	if (strcmp(name, lz4.name) == 0)
		return &lz4;
#endif
#if HAVE_ZSTD
	if (strcmp(name, zstd.name) == 0)
		return &zstd;
#endif
	return NULL;
}

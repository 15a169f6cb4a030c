/* agent/user/range.c - a system call and its arguments become a list of ranges (syscalls.def).
 *
 * What an argument points to may point to more: it is read with entry_copy, for which a bad pointer
 * is no more than that. The program may change it meanwhile; the kernel then takes what it finds,
 * and refuses what is out.
 *
 * A list that is too long becomes @all: nothing moves. Its pages are fetched as they are found.
 */
#include <asm/unistd.h>
#include <linux/aio_abi.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "agent/agent.h"
#include "agent/sys.h"
#include "agent/user/user.h"

#if defined(__x86_64__)

/* Newer than the oldest headers. */
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef SYS_futex_requeue
#define SYS_futex_requeue 456
#endif
#ifndef SYS_statmount
#define SYS_statmount 457
#define SYS_listmount 458
#endif
#ifndef SYS_setxattrat
#define SYS_setxattrat  463
#define SYS_getxattrat  464
#define SYS_listxattrat 465
#endif

#define RULE_BYTES   4096
#define LEAST        0x10000ull /* no memory is below */
#define ADDRESS_END  (1ull << 47)
#define VECTOR_MAX   1024
#define FLAGS_INSIDE 256 /* bytes of an ioctl's structure that are looked at */
#define NR_CALLS     512

enum what {
	NOTHING_,
	BYTES_,
	COUNT_,
	BITS_,
	STRING_,
	VECTOR_,
	MESSAGE_,
	MESSAGES_,
	BLOCKS_,
	FILTER_,
	OPTION_,
	WAITERS_,
	INSIDE_,
	VECTOR_OF_,
	BODY_,
	RESIDENT_,
	VALUE_,
};

struct part {
	uint8_t what, at, count;
	uint16_t bytes;
};

struct row {
	uint8_t how;
	struct part part[5];
};

#define NOTHING                                                                                    \
	{                                                                                          \
		NOTHING_, 0, 0, 0                                                                  \
	}
#define BYTES(p, n)                                                                                \
	{                                                                                          \
		BYTES_, p, 0, n                                                                    \
	}
#define COUNT(p, c, n)                                                                             \
	{                                                                                          \
		COUNT_, p, c, n                                                                    \
	}
#define BITS(p, c)                                                                                 \
	{                                                                                          \
		BITS_, p, c, 0                                                                     \
	}
#define STRING(p)                                                                                  \
	{                                                                                          \
		STRING_, p, 0, 0                                                                   \
	}
#define VECTOR(p, c)                                                                               \
	{                                                                                          \
		VECTOR_, p, c, 0                                                                   \
	}
#define MESSAGE(p)                                                                                 \
	{                                                                                          \
		MESSAGE_, p, 0, 0                                                                  \
	}
#define MESSAGES(p, c)                                                                             \
	{                                                                                          \
		MESSAGES_, p, c, 0                                                                 \
	}
#define BLOCKS(p, c)                                                                               \
	{                                                                                          \
		BLOCKS_, p, c, 0                                                                   \
	}
#define FILTER(p)                                                                                  \
	{                                                                                          \
		FILTER_, p, 0, 0                                                                   \
	}
#define OPTION(p, n)                                                                               \
	{                                                                                          \
		OPTION_, p, n, 0                                                                   \
	}
#define WAITERS(p, c)                                                                              \
	{                                                                                          \
		WAITERS_, p, c, 0                                                                  \
	}
#define INSIDE(p)                                                                                  \
	{                                                                                          \
		INSIDE_, p, 0, 0                                                                   \
	}
#define BODY(p, c)                                                                                 \
	{                                                                                          \
		BODY_, p, c, 0                                                                     \
	}
#define RESIDENT(p, c)                                                                             \
	{                                                                                          \
		RESIDENT_, p, c, 0                                                                 \
	}
#define VALUE(p)                                                                                   \
	{                                                                                          \
		VALUE_, p, 0, 0                                                                    \
	}
#define VECTOR_OF(p)                                                                               \
	{                                                                                          \
		VECTOR_OF_, p, 0, 0                                                                \
	}

static const struct row rows[NR_CALLS] = {
#define CALL(name, how, ...) [SYS_##name] = { USER_##how, { __VA_ARGS__ } },
#include "agent/user/syscalls.def"
#undef CALL
};

enum user_how user_how_of(long nr)
{
	return nr >= 0 && nr < NR_CALLS ? (enum user_how)rows[nr].how : USER_RULE;
}

void user_add(struct hazard_list *l, uint64_t start, uint64_t len)
{
	uint64_t end = start + len;
	if (!len || start < LEAST || start >= ADDRESS_END)
		return;
	if (end < start || end > ADDRESS_END)
		end = ADDRESS_END;
	if (l->all) {
		user_fetch(start, end);
		return;
	}
	if (l->n && start >= l->range[l->n - 1].start && start <= l->range[l->n - 1].end) {
		if (end > l->range[l->n - 1].end)
			l->range[l->n - 1].end = end;
		return;
	}
	if (l->n < HAZARD_CALL) {
		l->range[l->n++] = (struct hazard_range){ start, end };
		return;
	}
	l->all = true; /* the caller publishes that, and asks again */
}

static void add_vector(struct hazard_list *l, uint64_t at, uint64_t n)
{
	struct iovec v;
	uint64_t i;

	if (n > VECTOR_MAX)
		n = VECTOR_MAX; /* EINVAL, or EMSGSIZE */
	user_add(l, at, n * sizeof v);
	for (i = 0; i < n; i++) {
		if (entry_copy(&v, (const void *)(at + i * sizeof v), sizeof v))
			return;
		user_add(l, (uintptr_t)v.iov_base, v.iov_len);
	}
}

static void add_message(struct hazard_list *l, uint64_t at)
{
	struct msghdr m;

	user_add(l, at, sizeof m);
	if (entry_copy(&m, (const void *)at, sizeof m))
		return;
	user_add(l, (uintptr_t)m.msg_name, m.msg_namelen);
	user_add(l, (uintptr_t)m.msg_control, m.msg_controllen);
	add_vector(l, (uintptr_t)m.msg_iov, m.msg_iovlen);
}

static void add_messages(struct hazard_list *l, uint64_t at, uint64_t n)
{
	uint64_t i;

	if (n > VECTOR_MAX)
		n = VECTOR_MAX;
	user_add(l, at, n * sizeof(struct mmsghdr));
	for (i = 0; i < n; i++)
		add_message(l, at + i * sizeof(struct mmsghdr));
}

static void add_blocks(struct hazard_list *l, uint64_t at, uint64_t n)
{
	struct iocb b;
	uint64_t i, p;

	user_add(l, at, n * sizeof p);
	for (i = 0; i < n; i++) {
		if (entry_copy(&p, (const void *)(at + i * sizeof p), sizeof p) ||
		    entry_copy(&b, (const void *)p, sizeof b))
			return;
		user_add(l, p, sizeof b);
		if (b.aio_lio_opcode == IOCB_CMD_PREADV || b.aio_lio_opcode == IOCB_CMD_PWRITEV)
			add_vector(l, b.aio_buf, b.aio_nbytes);
		else
			user_add(l, b.aio_buf, b.aio_nbytes);
	}
}

static void add_filter(struct hazard_list *l, uint64_t at)
{
	struct sock_fprog f;

	user_add(l, at, RULE_BYTES);
	if (!entry_copy(&f, (const void *)at, sizeof f))
		user_add(l, (uintptr_t)f.filter, f.len * sizeof(struct sock_filter));
}

static void add_option(struct hazard_list *l, uint64_t at, uint64_t size_at)
{
	uint32_t n;

	user_add(l, size_at, sizeof n);
	if (size_at && !entry_copy(&n, (const void *)size_at, sizeof n))
		user_add(l, at, n & INT32_MAX);
}

static void add_waiters(struct hazard_list *l, uint64_t at, uint64_t n)
{
	struct {
		uint64_t value, at, flags;
	} w;
	uint64_t i;

	if (n > 128)
		n = 128;
	user_add(l, at, n * sizeof w);
	for (i = 0; i < n && !entry_copy(&w, (const void *)(at + i * sizeof w), sizeof w); i++)
		user_add(l, w.at, sizeof(uint64_t));
}

/* A structure that is not known: what may be a pointer in it counts as one. */
static void add_inside(struct hazard_list *l, uint64_t at, uint64_t request)
{
	uint64_t size = request >> 16 & 0x3fff, i, word;

	if (at < LEAST || at >= ADDRESS_END)
		return;
	user_add(l, at, size > RULE_BYTES ? size : RULE_BYTES);
	if (!size || size > FLAGS_INSIDE)
		size = size ? FLAGS_INSIDE : 64;
	for (i = 0; i + sizeof word <= size; i += sizeof word) {
		if (entry_copy(&word, (const void *)(at + i), sizeof word))
			return;
		user_add(l, word, RULE_BYTES);
	}
}

static void add_string(struct hazard_list *l, uint64_t at)
{
	uint64_t first = agent_page - at % agent_page;
	char c[16];
	uint64_t i, k;

	if (at < LEAST || at >= ADDRESS_END)
		return;
	/* Its first page is enough, if it ends there: looked at backwards from no further than a
	 * line, which is where short ones end. */
	for (i = 0; i < first && i < 256; i += sizeof c) {
		uint64_t n = first - i < sizeof c ? first - i : sizeof c;

		if (entry_copy(c, (const void *)(at + i), n))
			break;
		for (k = 0; k < n; k++)
			if (!c[k]) {
				user_add(l, at, i + k + 1);
				return;
			}
	}
	user_add(l, at, RULE_BYTES);
}

static void add_packed(struct hazard_list *l, uint64_t at)
{
	uint64_t pair[2];

	user_add(l, at, sizeof pair);
	if (at && !entry_copy(pair, (const void *)at, sizeof pair))
		user_add(l, pair[0], 8);
}

static void add_value(struct hazard_list *l, uint64_t at)
{
	struct {
		uint64_t at;
		uint32_t size, flags;
	} v;

	user_add(l, at, RULE_BYTES);
	if (at && !entry_copy(&v, (const void *)at, sizeof v))
		user_add(l, v.at, v.size);
}

static uint64_t times(uint64_t n, uint64_t bytes)
{
	return (n & UINT32_MAX) == n ? n * bytes : bytes == 1 ? n : (n & UINT32_MAX) * bytes;
}

static void add_part(struct hazard_list *l, const struct user_regs *r, const struct part *p)
{
	const uint64_t at = (uint64_t)r->arg[p->at], n = (uint64_t)r->arg[p->count];

	switch (p->what) {
	case BYTES_:
		user_add(l, at, p->bytes);
		break;
	case COUNT_:
		user_add(l, at, times(n, p->bytes));
		break;
	case BITS_:
		user_add(l, at, (n & INT32_MAX) / 8 + 8);
		break;
	case STRING_:
		add_string(l, at);
		break;
	case VECTOR_:
		add_vector(l, at, n);
		break;
	case MESSAGE_:
		add_message(l, at);
		break;
	case MESSAGES_:
		add_messages(l, at, n & UINT32_MAX);
		break;
	case BLOCKS_:
		add_blocks(l, at, n);
		break;
	case FILTER_:
		add_filter(l, at);
		break;
	case OPTION_:
		add_option(l, at, n);
		break;
	case WAITERS_:
		add_waiters(l, at, n);
		break;
	case INSIDE_:
		add_inside(l, at, (uint64_t)r->arg[1]);
		break;
	case VALUE_:
		add_value(l, at);
		break;
	case BODY_:
		user_add(l, at, n + sizeof(long));
		break;
	case RESIDENT_:
		user_add(l, at, n / agent_page + 1);
		break;
	case VECTOR_OF_:
		add_packed(l, at);
		break;
	default:
		break;
	}
}

void user_ranges(const struct user_regs *r, struct hazard_list *l)
{
	const struct row *row = r->nr >= 0 && r->nr < NR_CALLS ? &rows[r->nr] : NULL;
	unsigned int i;

	if (!row || row->how == USER_RULE) {
		for (i = 0; i < 6; i++)
			user_add(l, (uint64_t)r->arg[i], RULE_BYTES);
		return;
	}
	for (i = 0; i < sizeof row->part / sizeof row->part[0] && row->part[i].what; i++)
		add_part(l, r, &row->part[i]);
}

#endif

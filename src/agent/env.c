/* agent/env.c - keeps the agent loaded when a program gives what it executes another environment.
 *
 * LD_PRELOAD and the names of the supervisor are handed down in the environment. A program that
 * makes a new one (env -i, sudo, su -, clearenv, execle) would start an unmanaged program. So
 * exec.c puts them back, with a mark; the new program, once it is managed, removes what has the
 * mark from its own environment: it sees the one that it was given. What it executes gets them the
 * same way.
 *
 * Written in the constructor, read afterwards, also by vfork children. Locks: none.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/sys.h"
#include "serve/process/target.h"

#define MARK "UMEMCG_HIDDEN"

static char own_path[ENV_PATH_BYTES]; /* "": unknown */
static char socket_line[96], door_line[160];

static void make_line(char *line, size_t size, const char *name, const char *value)
{
	size_t n = strlen(name);

	AGENT_ASSERT(size > 0);
	if (!value || n + strlen(value) + 2 > size)
		return;
	memcpy(line, name, n);
	line[n] = '=';
	memcpy(line + n + 1, value, strlen(value) + 1);
}

void env_init(void)
{
	const char *list = getenv(TARGET_PRELOAD);

	make_line(socket_line, sizeof socket_line, PROTO_ENV, getenv(PROTO_ENV));
	make_line(door_line, sizeof door_line, PROTO_DOOR_ENV, getenv(PROTO_DOOR_ENV));
	if (!list || !socket_line[0] || !target_agent(list, own_path, sizeof own_path))
		own_path[0] = '\0';
}

static bool is_named(const char *line, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(line, name, n) && line[n] == '=';
}

static bool is_ours(const char *line)
{
	return is_named(line, PROTO_ENV) || is_named(line, PROTO_DOOR_ENV) || is_named(line, MARK);
}

/* If @line of LD_PRELOAD lists us and others, the others remain. False: nothing remains. */
static bool others_stay(char *line)
{
	char *list = line + strlen(TARGET_PRELOAD "=");

	return !target_leave_out(list, list) || *list;
}

void env_hide(void)
{
	char **from, **to;

	if (!getenv(MARK))
		return;
	for (from = to = environ; *from; from++)
		if (!is_ours(*from) && (!is_named(*from, TARGET_PRELOAD) || others_stay(*from)))
			*to++ = *from;
	*to = NULL;
}

const char *env_agent(void)
{
	return own_path;
}

bool env_has_us(char *const *env, bool *listed)
{
	bool socket = false;
	size_t n;

	*listed = false;
	for (; env && *env; env++) {
		socket |= is_named(*env, PROTO_ENV);
		if (is_named(*env, TARGET_PRELOAD))
			*listed = target_find(*env + strlen(TARGET_PRELOAD "="), &n) != NULL;
	}
	return socket && *listed;
}

size_t env_room(char *const *env, size_t *bytes)
{
	size_t lines = 0, longest = strlen(TARGET_PRELOAD "=");

	for (; env && *env; env++, lines++)
		if (is_named(*env, TARGET_PRELOAD) && strlen(*env) > longest)
			longest = strlen(*env);
	*bytes = longest + strlen(own_path) + 2;
	return lines + ENV_LINES + 1;
}

/* Write "LD_PRELOAD=US:OTHERS" to @line; @others: such a line, or NULL. False: it does not fit. */
static bool list_with_us(char *line, size_t size, const char *others)
{
	const size_t name = strlen(TARGET_PRELOAD "="), own = strlen(own_path);
	const char *list = others ? others + name : "";

	AGENT_ASSERT(size > 0);
	if (name + own + strlen(list) + 2 > size)
		return false;
	memcpy(line, TARGET_PRELOAD "=", name);
	memcpy(line + name, own_path, own);
	line[name + own] = ':';
	target_leave_out(list, line + name + own + 1);
	if (!line[name + own + 1])
		line[name + own] = '\0';
	return true;
}

bool env_with_us(char *const *env, char **copy, size_t room, char *line, size_t size)
{
	const char *others = NULL;
	bool listed = false;
	size_t k = 0, i;

	AGENT_ASSERT(room > 0);
	for (i = 0; env && env[i]; i++)
		if (is_named(env[i], TARGET_PRELOAD))
			others = env[i];
	if (i + ENV_LINES >= room || !list_with_us(line, size, others))
		return false;
	for (i = 0; env && env[i]; i++) {
		if (env[i] == others)
			copy[k++] = line;
		else if (!is_ours(env[i]))
			copy[k++] = env[i];
		listed |= env[i] == others;
	}
	if (!listed)
		copy[k++] = line;
	copy[k++] = socket_line;
	if (door_line[0])
		copy[k++] = door_line;
	copy[k++] = (char *)(uintptr_t)MARK "=1";
	copy[k] = NULL;
	return true;
}

bool env_without_us(char *const *env, char **copy, size_t room, char *line, size_t size)
{
	const size_t name = strlen(TARGET_PRELOAD "=");
	size_t k = 0;

	AGENT_ASSERT(room > 0);
	for (; *env; env++) {
		if (k + 1 >= room)
			return false;
		if (!is_named(*env, TARGET_PRELOAD)) {
			copy[k++] = *env;
			continue;
		}
		if (strlen(*env) >= size)
			return false;
		memcpy(line, *env, name);
		target_leave_out(*env + name, line + name);
		if (line[name])
			copy[k++] = line;
	}
	copy[k] = NULL;
	return true;
}

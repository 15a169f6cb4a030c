/* cli/doctor.c - `umemcg doctor`: what this place permits, which mode of `umemcg run` follows, what
 * it costs, and the one change that would give more. It looks as `umemcg run` does
 * (serve/place.h).
 *
 * Locks: none.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/size.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/doctor.h"

#define WIDTH 80
#define LABEL 22

static const char *yes_or(int error, const char *yes)
{
	return error ? strerror(-error) : yes;
}

static const char *number(char text[32], int value)
{
	if (value == PLACE_UNKNOWN)
		return "none";
	snprintf(text, 32, "%d", value);
	return text;
}

/* Lines of @text after a label, broken at spaces so that none is wider than WIDTH. */
static void put(FILE *f, const char *label, const char *text)
{
	size_t room = WIDTH - LABEL;

	for (const char *name = label; *text; name = "") {
		size_t n = strlen(text);

		if (n > room) {
			for (n = room; n > 0 && text[n] != ' '; n--)
				;
			if (n == 0)
				n = strcspn(text, " ");
		}
		fprintf(f, "%-*s%.*s\n", LABEL, name, (int)n, text);
		text += n;
		text += strspn(text, " ");
	}
}

static const char *seccomp_name(int seccomp)
{
	return seccomp == 2 ? "a filter" : seccomp == 1 ? "strict" : "none";
}

static void put_place(FILE *f, const struct place *p)
{
	char text[128], n[32];

	put(f, "  kernel", p->kernel);
	put(f, "  userfaultfd(2)", yes_or(p->uffd_err, "serves the kernel's faults, too"));
	put(f, "  ... in user mode", yes_or(p->uffd_user_err, "yes"));
	put(f, "  /dev/userfaultfd", yes_or(p->device_err, "can be opened"));
	put(f, "  fork events", yes_or(p->fork_err, "yes"));
	snprintf(text, sizeof(text), "vm.unprivileged_userfaultfd is %s", number(n, p->sysctl));
	put(f, "  sysctl", text);
	snprintf(text, sizeof(text), "CAP_SYS_PTRACE: %s; all: %#llx", p->cap_ptrace ? "yes" : "no",
		 (unsigned long long)p->capabilities);
	put(f, "  capabilities", text);
	put(f, "  no new privileges", p->no_new_privs ? "set" : "not set");
	put(f, "  seccomp", seccomp_name(p->seccomp));
	snprintf(text, sizeof(text), "ptrace_scope is %s", number(n, p->yama));
	put(f, "  yama", text);
	put(f, "  read of processes", yes_or(p->readv_err, "yes"));
	put(f, "  /proc",
	    p->proc_err == -ESRCH ? "of another PID namespace" : yes_or(p->proc_err, "ours"));
}

static void put_more(FILE *f, const struct place_more *m)
{
	char text[512], size[SIZE_TEXT_MAX];

	put(f, "  process connector",
	    yes_or(m->connector_err, "yes: new processes are seen at once"));
	put(f, "  real-time priority", yes_or(m->realtime_err, "yes"));
	put(f, "  io_uring", yes_or(m->io_uring_err, "yes"));
	put(f, "  memory locks", size_format(size, m->memlock));
	put(f, "  cgroup delegation",
	    m->delegated ? "yes: the kernel's controller can be used as well" : "none");
	snprintf(text, sizeof(text), "%s (%s)", m->swap_dir,
		 yes_or(m->swap_err,
			strcmp(m->swap_fs, "tmpfs") ? m->swap_fs : "tmpfs: takes memory itself"));
	put(f, "  swap directory", text);
}

char *doctor_text(const struct place *p, const struct place_more *m, const struct place_verdict *v)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	put(f, "mode", serve_mode_name(v->mode));
	put(f, "its cost", v->cost);
	if (v->mode == SERVE_MODE_NONE)
		put(f, "why, and what helps", v->problem.text);
	else
		put(f, "for more", v->more ? v->more : "nothing: this is the best mode");
	fputs("what was found\n", f);
	put_place(f, p);
	put_more(f, m);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- JSON ---- */

static bool put_string(cJSON *o, const char *key, const char *text)
{
	char plain[4 * TEXT_NAME_MAX];

	if (!text)
		return cJSON_AddNullToObject(o, key) != NULL;
	(void)text_plain(plain, sizeof(plain), text);
	return cJSON_AddStringToObject(o, key, plain) != NULL;
}

/* "ok", or the error. */
static bool put_error(cJSON *o, const char *key, int error)
{
	return put_string(o, key, yes_or(error, "ok"));
}

static bool put_number(cJSON *o, const char *key, int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	return cJSON_AddRawToObject(o, key, value == SERVE_UNLIMITED ? "\"max\"" : text) != NULL;
}

static bool put_found(cJSON *o, const struct place *p, const struct place_more *m)
{
	return put_string(o, "kernel", p->kernel) && put_number(o, "page_size", p->page_size) &&
	       put_error(o, "userfaultfd", p->uffd_err) &&
	       put_error(o, "userfaultfd_user_mode", p->uffd_user_err) &&
	       put_error(o, "device", p->device_err) && put_error(o, "fork_events", p->fork_err) &&
	       put_number(o, "sysctl", p->sysctl) &&
	       cJSON_AddBoolToObject(o, "cap_sys_ptrace", p->cap_ptrace) &&
	       put_number(o, "capabilities", (int64_t)p->capabilities) &&
	       cJSON_AddBoolToObject(o, "no_new_privs", p->no_new_privs > 0) &&
	       put_number(o, "seccomp", p->seccomp) && put_number(o, "ptrace_scope", p->yama) &&
	       put_error(o, "process_vm_readv", p->readv_err) &&
	       put_error(o, "pidfd_open", p->pidfd_err) && put_error(o, "proc", p->proc_err) &&
	       put_error(o, "process_connector", m->connector_err) &&
	       put_error(o, "realtime", m->realtime_err) &&
	       put_error(o, "io_uring", m->io_uring_err) && put_number(o, "memlock", m->memlock) &&
	       cJSON_AddBoolToObject(o, "cgroup_delegated", m->delegated) &&
	       put_string(o, "swap_directory", m->swap_dir) &&
	       put_string(o, "swap_file_system", m->swap_fs) &&
	       put_error(o, "swap_writable", m->swap_err);
}

char *doctor_json(const struct place *p, const struct place_more *m, const struct place_verdict *v)
{
	const bool none = v->mode == SERVE_MODE_NONE;
	cJSON *root = cJSON_CreateObject(), *found;
	char *text = NULL;

	if (root && put_string(root, "mode", serve_mode_name(v->mode)) &&
	    put_string(root, "why", none ? v->problem.text : NULL) &&
	    put_string(root, "cost", v->cost) && put_string(root, "more", v->more) &&
	    (found = cJSON_AddObjectToObject(root, "found")) && put_found(found, p, m))
		text = cJSON_Print(root);
	cJSON_Delete(root);
	return text;
}

/* ---- the command ---- */

static int doctor_main(int argc, char **argv)
{
	const char *tmpdir = getenv("TMPDIR");
	const char *dir = tmpdir && *tmpdir ? tmpdir : "/var/tmp";
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
	struct place place;
	struct place_more more;
	struct place_verdict v;
	int device, err;
	char *text;

	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return cli_print(doctor_command.help);
	if (argc > 1 && !json)
		return cli_fail("doctor: '%s' is not understood; it takes --json or nothing",
				TEXT_NAME(argv[1]));
	place_look(&place, dir, &device);
	if (device >= 0)
		close(device);
	place_look_more(&more, dir);
	place_judge(&place, SERVE_MODE_AUTO, &v);
	text = json ? doctor_json(&place, &more, &v) : doctor_text(&place, &more, &v);
	if (!text)
		return cli_fail("doctor: out of memory");
	err = cli_print(text);
	if (!err && json)
		err = cli_print("\n");
	free(text);
	return err ? err : v.mode == SERVE_MODE_NONE;
}

static const char help[] =
	"usage: umemcg doctor [--json]\n"
	"\n"
	"Says what this place permits, which mode of 'umemcg run' follows, what that costs, and "
	"the\n"
	"one change that would give more. It looks exactly as 'umemcg run' does, and runs "
	"nothing.\n"
	"\n"
	"      --json              the same for a program\n"
	"  -h, --help              this text\n"
	"\n"
	"exit status: 0 if a mode works here; 1 if none does; 125 after an error.\n";

const struct command doctor_command = {
	.name = "doctor",
	.summary = "say what this place permits, and what would help",
	.help = help,
	.main = doctor_main,
};

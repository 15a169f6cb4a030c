/* serve/place.c - which mode follows from what a place permits. Pure: tests give it places.
 *
 * Locks: none.
 */
#include "serve/place.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/list.h"
#include "mm/mm_types.h"
#include "serve/probe.h"

static const char *const names[] = {
	[SERVE_MODE_AUTO] = "auto",     [SERVE_MODE_KERNEL_FORK] = "kernel-fork",
	[SERVE_MODE_KERNEL] = "kernel", [SERVE_MODE_USER] = "user",
	[SERVE_MODE_NONE] = "none",
};

/* The remedies. Each is one change, as it is typed. */
#define ALLOW_DEVICE                                                                               \
	"root runs 'setfacl -m u:NAME:rw /dev/userfaultfd' or 'sysctl -w "                         \
	"vm.unprivileged_userfaultfd=1'"
#define ALLOW_SECCOMP                                                                              \
	"start the container with '--security-opt seccomp=unconfined', or with a profile that "    \
	"has { \"names\": [\"userfaultfd\"], \"action\": \"SCMP_ACT_ALLOW\" }"
#define BE_ROOT     "run as root, where no_new_privs is not set"
#define GIVE_PTRACE "run as root, or give umemcg CAP_SYS_PTRACE (setcap cap_sys_ptrace+ep umemcg)"

const char *serve_mode_name(enum serve_mode mode)
{
	VM_ASSERT(mode <= SERVE_MODE_NONE);
	return names[mode];
}

bool serve_mode_parse(const char *name, enum serve_mode *mode)
{
	for (int i = SERVE_MODE_AUTO; i < SERVE_MODE_NONE; i++) {
		if (strcmp(names[i], name) == 0) {
			*mode = (enum serve_mode)i;
			return true;
		}
	}
	return false;
}

int problem_set(struct serve_problem *p, int error, const char *fmt, ...)
{
	va_list ap;

	VM_ASSERT(error < 0);
	p->error = error;
	va_start(ap, fmt);
	vsnprintf(p->text, sizeof(p->text), fmt, ap);
	va_end(ap);
	return error;
}

static bool refuses_calls(const struct place *p)
{
	return p->seccomp == 2 && (p->uffd_user_err == -EPERM || p->uffd_user_err == -ENOSYS) &&
	       p->uffd_err && p->device_err;
}

/* What umemcg itself cannot do without, whatever the mode. True: nothing is missing. */
static bool can_look(const struct place *p, struct serve_problem *out)
{
	const struct {
		int err;
		const char *call;
	} calls[] = {
		{ p->pidfd_err, "pidfd_open" },
		{ p->signal_err, "pidfd_send_signal" },
		{ p->readv_err, "process_vm_readv" },
	};

	if (p->proc_err == -ENOENT)
		return !problem_set(out, -ENOENT,
				    "there is no /proc, by which umemcg follows the program: "
				    "mount it (mount -t proc proc /proc)");
	if (p->proc_err)
		return !problem_set(out, p->proc_err,
				    "/proc is that of another PID namespace: mount this one's "
				    "(mount -t proc proc /proc, unshare --mount-proc)");
	if (p->page_size != (long)PAGE_SIZE)
		return !problem_set(out, -ENOTSUP,
				    "this kernel has pages of %ld bytes: umemcg knows only %lu",
				    p->page_size, PAGE_SIZE);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i].err)
			return !problem_set(out, calls[i].err,
					    "%s(2) is refused here (%s), which umemcg cannot do "
					    "without: allow it in the container's seccomp profile",
					    calls[i].call, strerror(-calls[i].err));
	if (p->yama >= 2 && (p->yama > 2 || !p->cap_ptrace))
		return !problem_set(out, -EPERM,
				    "kernel.yama.ptrace_scope is %d, so that umemcg may not read "
				    "the program's memory: root runs 'sysctl -w "
				    "kernel.yama.ptrace_scope=1'%s",
				    p->yama, p->yama > 2 ? ", after a reboot" : "");
	return true;
}

/* Can the programs make a descriptor that serves faults of the kernel? They have our capabilities
 * only if they are root's. */
static bool programs_can(const struct place *p)
{
	return !p->device_err || (!p->uffd_err && (p->root || p->sysctl == 1));
}

static int refusal_of_user(const struct place *p, struct serve_problem *out)
{
	if (!p->fork_possible)
		return problem_set(out, -ENOTSUP,
				   "mode user, in which the program's system calls bring swapped "
				   "pages in themselves, is built for x86-64 only: " ALLOW_DEVICE);
	if (p->uffd_user_err)
		return problem_set(out, p->uffd_user_err,
				   "userfaultfd(2) is refused here even for user mode: %s",
				   strerror(-p->uffd_user_err));
	return 0;
}

/* Mode user is not chosen by itself: who can use it is told. */
static const char *or_user(const struct place *p)
{
	return p->fork_possible && !p->uffd_user_err ? "; or try '--mode user'" : "";
}

/* 0, or why the mode does not work here. */
static int refusal(const struct place *p, enum serve_mode mode, struct serve_problem *out)
{
	if (refuses_calls(p))
		return problem_set(
			out, -EPERM,
			"userfaultfd(2) is refused here (%s) by a seccomp filter: " ALLOW_SECCOMP,
			strerror(-p->uffd_user_err));
	if (p->uffd_err == -ENOSYS && p->device_err)
		return problem_set(out, -ENOSYS,
				   "this kernel has no userfaultfd: umemcg needs Linux 5.14 or "
				   "later with CONFIG_USERFAULTFD");
	if (mode == SERVE_MODE_USER)
		return refusal_of_user(p, out);
	if (!programs_can(p) && !p->uffd_err)
		return problem_set(out, -EPERM,
				   "not permitted to use userfaultfd in the program, which has "
				   "no capability: " ALLOW_DEVICE "%s",
				   or_user(p));
	if (!programs_can(p))
		return problem_set(out, -EPERM,
				   "not permitted to use userfaultfd(2) for faults of the "
				   "kernel: " ALLOW_DEVICE "; or " GIVE_PTRACE "%s",
				   or_user(p));
	if (mode == SERVE_MODE_KERNEL_FORK && p->fork_err)
		return problem_set(out, p->fork_err,
				   "mode kernel-fork: not permitted to use userfaultfd with fork "
				   "events: " GIVE_PTRACE "; or leave --mode out");
	if (p->api_err)
		return problem_set(out, p->api_err, "userfaultfd does not work here: %s",
				   strerror(-p->api_err));
	if (mode == SERVE_MODE_KERNEL && !p->fork_possible)
		return problem_set(out, -ENOTSUP,
				   "mode kernel, in which the program follows its own forks, is "
				   "built for x86-64 only: " GIVE_PTRACE);
	return 0;
}

static void describe(const struct place *p, struct place_verdict *v)
{
	switch (v->mode) {
	case SERVE_MODE_KERNEL_FORK:
		v->cost = "nothing more: the kernel reports forks";
		v->more = NULL;
		break;
	case SERVE_MODE_KERNEL:
		v->cost = "forks take longer; a child that is forked past libc ends by SIGSEGV at "
			  "memory of which pages were in swap";
		v->more = p->root           ? "start the container with '--cap-add SYS_PTRACE'"
			  : p->no_new_privs ? BE_ROOT
					    : GIVE_PTRACE;
		break;
	case SERVE_MODE_USER:
		v->cost = "system calls, forks and program starts take longer; shared memory and "
			  "stacks of threads are not swapped";
		v->more = ALLOW_DEVICE;
		break;
	default:
		v->cost = "nothing can be run";
		v->more = v->problem.text; /* each reason has its remedy */
		break;
	}
}

void place_judge(const struct place *p, enum serve_mode wanted, struct place_verdict *v)
{
	static const enum serve_mode order[] = { SERVE_MODE_KERNEL_FORK, SERVE_MODE_KERNEL };

	*v = (struct place_verdict){ .mode = SERVE_MODE_NONE };
	if (can_look(p, &v->problem)) {
		for (size_t i = 0; wanted == SERVE_MODE_AUTO && v->mode == SERVE_MODE_NONE &&
				   i < sizeof(order) / sizeof(order[0]);
		     i++)
			if (!refusal(p, order[i], &v->problem))
				v->mode = order[i];
		if (wanted != SERVE_MODE_AUTO && !refusal(p, wanted, &v->problem))
			v->mode = wanted;
	}
	if (v->mode != SERVE_MODE_NONE)
		v->problem = (struct serve_problem){ 0 };
	describe(p, v);
}

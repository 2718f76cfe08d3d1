#include "system/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool
failed(char error[SANDBOX_ERROR_BYTES], const char *what)
{
	str_format(error, SANDBOX_ERROR_BYTES, "%s: %s", what, strerror(errno));
	return false;
}

static bool
identity_is(uint32_t uid, uint32_t gid)
{
	uid_t real_uid, effective_uid, saved_uid;
	gid_t real_gid, effective_gid, saved_gid;

	return getresuid(&real_uid, &effective_uid, &saved_uid) == 0 &&
	       getresgid(&real_gid, &effective_gid, &saved_gid) == 0 && real_uid == uid && effective_uid == uid &&
	       saved_uid == uid && real_gid == gid && effective_gid == gid && saved_gid == gid;
}

bool
sandbox_identity(uint32_t uid, uint32_t gid, const char *user, char error[SANDBOX_ERROR_BYTES])
{
	if (geteuid() != 0) {
		if (identity_is(uid, gid))
			return true;
		str_format(error, SANDBOX_ERROR_BYTES, "only root can become uid %u gid %u", uid, gid);
		return false;
	}
	gid_t only = gid;
	if (user != NULL && user[0] != '\0') {
		if (initgroups(user, gid) != 0)
			return failed(error, "initgroups");
	} else if (setgroups(1, &only) != 0) {
		return failed(error, "setgroups");
	}
	if (setresgid(gid, gid, gid) != 0)
		return failed(error, "setresgid");
	if (setresuid(uid, uid, uid) != 0)
		return failed(error, "setresuid");
	if (!identity_is(uid, gid)) {
		str_format(error, SANDBOX_ERROR_BYTES, "the kernel did not take uid %u gid %u", uid, gid);
		return false;
	}
	if (uid != 0 && (setuid(0) == 0 || seteuid(0) == 0)) {
		str_format(error, SANDBOX_ERROR_BYTES, "root could be taken back after the change to uid %u", uid);
		return false;
	}
	return true;
}

bool
sandbox_drop(uint32_t uid, uint32_t gid, char error[SANDBOX_ERROR_BYTES])
{
	const struct rlimit no_core = {0, 0};
	pid_t parent = getppid();

	if (!sandbox_identity(uid, gid, NULL, error))
		return false;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return failed(error, "no_new_privs");
	if (setrlimit(RLIMIT_CORE, &no_core) != 0)
		return failed(error, "RLIMIT_CORE");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return failed(error, "PR_SET_DUMPABLE");
	/* a change of uid clears this one, so it comes after */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		return failed(error, "PR_SET_PDEATHSIG");
	if (getppid() != parent) {
		str_format(error, SANDBOX_ERROR_BYTES, "the spawner is gone");
		return false;
	}
	return true;
}

/* --- the system call filter --------------------------------------------------- */

#if defined(__x86_64__)
#define AUDIT_ARCH_OURS AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define AUDIT_ARCH_OURS AUDIT_ARCH_AARCH64
#endif

#ifdef AUDIT_ARCH_OURS

/* clang-format off */
static const int allowed_calls[] = {
	/* data */
	SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_preadv, SYS_pwritev, SYS_recvfrom,
	SYS_sendto, SYS_recvmsg, SYS_sendmsg, SYS_splice, SYS_tee, SYS_sendfile, SYS_lseek, SYS_ftruncate, SYS_fallocate,
	/* sockets: socket() itself is looked at below */
	SYS_socketpair, SYS_accept4, SYS_accept, SYS_connect, SYS_shutdown, SYS_getsockopt, SYS_setsockopt, SYS_getsockname, SYS_getpeername,
	/* descriptors */
	SYS_close, SYS_close_range, SYS_fcntl, SYS_dup, SYS_dup3, SYS_pipe2, SYS_ioctl, SYS_fstat, SYS_newfstatat, SYS_statx,
	/* spill files: nothing of them outlives the process, and the uid owns nothing else; static files */
	SYS_openat, SYS_openat2, SYS_unlinkat, SYS_faccessat,
	/* the loop */
	SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_ppoll, SYS_signalfd4, SYS_timerfd_create,
	SYS_timerfd_settime, SYS_eventfd2,
	/* memory: mmap and mprotect are looked at below */
	SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk, SYS_memfd_create,
	/* time, signals, the end */
	SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday, SYS_getrandom,
	SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigpending, SYS_sigaltstack, SYS_restart_syscall,
	SYS_exit, SYS_exit_group, SYS_futex, SYS_sched_yield,
	/* who am I */
	SYS_getpid, SYS_gettid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_uname, SYS_getrlimit,
	SYS_getrusage, SYS_sysinfo,
#ifdef SYS_poll
	SYS_poll, SYS_epoll_wait, SYS_open, SYS_unlink, SYS_stat, SYS_lstat, SYS_access, SYS_pipe, SYS_dup2,
#endif
};
/* clang-format on */

enum { FILTER_MAX = 200, DATA_NR = 0, DATA_ARCH = 4, DATA_ARGS = 16 };

struct filter {
	struct sock_filter code[FILTER_MAX];
	unsigned short len;
};

static void
filter_add(struct filter *filter, struct sock_filter instruction)
{
	if (filter->len < FILTER_MAX)
		filter->code[filter->len] = instruction;
	filter->len++;
}

static void
filter_load(struct filter *filter, unsigned offset)
{
	filter_add(filter, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
}

static void
filter_return(struct filter *filter, unsigned value)
{
	filter_add(filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, value));
}

/* call is allowed when its argument's low word has none of these bits */
static void
filter_without_bits(struct filter *filter, int call, unsigned argument, unsigned bits)
{
	filter_add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 4));
	filter_load(filter, DATA_ARGS + argument * 8);
	filter_add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 1, 0));
	filter_return(filter, SECCOMP_RET_ALLOW);
	filter_return(filter, SECCOMP_RET_ERRNO | EPERM);
}

/* call is allowed when its argument's low word is one of these two values */
static void
filter_one_of(struct filter *filter, int call, unsigned argument, unsigned value, unsigned other)
{
	filter_add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 5));
	filter_load(filter, DATA_ARGS + argument * 8);
	filter_add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0));
	filter_add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, other, 0, 1));
	filter_return(filter, SECCOMP_RET_ALLOW);
	filter_return(filter, SECCOMP_RET_ERRNO | EPERM);
}

static void
filter_build(struct filter *filter)
{
	unsigned self = (unsigned)getpid();

	filter_load(filter, DATA_ARCH);
	filter_add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_OURS, 1, 0));
	filter_return(filter, SECCOMP_RET_KILL_PROCESS);
	filter_load(filter, DATA_NR);
	/* each jumps to the one instruction that allows, right after the jump over it */
	for (size_t i = 0; i < array_count(allowed_calls); i++)
		filter_add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed_calls[i],
		                                                (uint8_t)(array_count(allowed_calls) - i), 0));
	filter_add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0));
	filter_return(filter, SECCOMP_RET_ALLOW);
	/* no code is made at run time; applications are reached over these two families only */
	filter_without_bits(filter, SYS_mmap, 2, PROT_EXEC);
	filter_without_bits(filter, SYS_mprotect, 2, PROT_EXEC);
	filter_one_of(filter, SYS_socket, 0, AF_UNIX, AF_INET);
	/* abort() signals the process itself, and nobody else */
	filter_one_of(filter, SYS_tgkill, 0, self, self);
	filter_one_of(filter, SYS_tkill, 0, self, self);
	filter_return(filter, SECCOMP_RET_ERRNO | EPERM);
}

bool
sandbox_seccomp_balancer(char error[SANDBOX_ERROR_BYTES])
{
	struct filter filter = {.len = 0};

	filter_build(&filter);
	assert(filter.len <= FILTER_MAX);
	struct sock_fprog program = {.len = filter.len, .filter = filter.code};
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
		return failed(error, "the system call filter");
	return true;
}

#else

bool
sandbox_seccomp_balancer(char error[SANDBOX_ERROR_BYTES])
{
	str_format(error, SANDBOX_ERROR_BYTES, "this build knows no system call filter for this processor");
	return false;
}

#endif

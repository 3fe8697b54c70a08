//! Lockdown: one process with threads that computes and reads and writes files. A closed list.
//!
//! Made of what static and dynamic programs of the C libraries, Rust, Go, Python and node need to start and
//! to work with files, memory, time, threads and pipes. A call that has a rule in a lower tier keeps it.

use super::arguments::{CLONE_NEW, flags, one_of, zero};
use super::calls::{Call, list};
use super::decision::{Action, Decision, Test, Word, ask};
use super::rules::Rules;

pub(super) fn add(rules: &mut Rules) {
    let lists =
        [MEMORY, THREADS, FILES, NAMES, DESCRIPTORS, WAITING, SIGNALS, TIME, ITSELF, INHERITED, ABSENT];
    rules.refuse_all_but(&lists.concat());
    rules.set(list![clone], threads_only());
    rules.set(list![prctl], no_dump());
    // Without a path: of the open file.
    rules.set(list![utimensat], zero(1, Action::Allow, Action::REFUSE));
    rules.set(list![sendto], zero(4, Action::Allow, Action::REFUSE));
    rules.set(list![execveat], with_key());
}

/// Stands in the filter where a start puts its key.
pub(super) const LOCK: [u32; 2] = [0x5ea1_ed01, 0x5ea1_ed02];

/// The start itself executes the program under this filter, and nothing else may. Its descriptor and its
/// flags are ints, of which the kernel takes the low halves; in the high ones the start hands the filter 64
/// random bits, which no program ever sees: execution clears the registers, and nobody can read a filter
/// without CAP_SYS_ADMIN (PTRACE_SECCOMP_GET_FILTER).
fn with_key() -> Decision {
    let flags = ask(Word::High(4), Test::Equals(LOCK[1]), Action::Allow, Action::REFUSE);
    ask(Word::High(0), Test::Equals(LOCK[0]), flags, Action::REFUSE)
}

const MEMORY: &[Call] = list! {
    brk mmap munmap mremap mprotect pkey_mprotect pkey_alloc pkey_free madvise mincore msync mlock mlock2
    munlock mlockall munlockall mseal map_shadow_stack memfd_create memfd_secret membarrier
};

/// Making one is judged in [`threads_only`].
const THREADS: &[Call] = list! {
    clone set_tid_address set_robust_list rseq futex futex_waitv futex_wake futex_wait futex_requeue
    arch_prctl sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_getscheduler
    sched_getattr sched_get_priority_max sched_get_priority_min sched_rr_get_interval getpriority getcpu
    gettid exit exit_group
};

/// Contents and metadata of files that are open.
const FILES: &[Call] = list! {
    read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek fstat fstatfs getdents
    getdents64 fchmod ftruncate fallocate fsync fdatasync syncfs sync_file_range fadvise64 readahead
    cachestat flock sendfile splice tee copy_file_range fgetxattr flistxattr
};

/// What takes paths. Landlock judges where those lead that read, write, make, remove or rename; what only
/// looks it leaves to the permissions of the files (landlock(7)), and modes and times too: these can be
/// changed of open files only.
const NAMES: &[Call] = list! {
    open openat creat stat lstat newfstatat statx statfs access faccessat faccessat2 readlink readlinkat
    getcwd chdir fchdir umask truncate rename renameat renameat2 link linkat symlink symlinkat unlink
    unlinkat mkdir mkdirat rmdir utimensat getxattr lgetxattr getxattrat listxattr llistxattr listxattrat
};

const DESCRIPTORS: &[Call] = list! {
    close close_range dup dup2 dup3 fcntl ioctl pipe pipe2
};

/// Readiness, and what is waited for: counters, timers, changes of files.
const WAITING: &[Call] = list! {
    poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
    eventfd eventfd2 timerfd_create timerfd_settime timerfd_gettime signalfd signalfd4 inotify_init
    inotify_init1 inotify_add_watch inotify_rm_watch
};

/// Landlock's scope judges where they go.
const SIGNALS: &[Call] = list! {
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigqueueinfo
    rt_tgsigqueueinfo sigaltstack kill tkill tgkill pause restart_syscall
};

const TIME: &[Call] = list! {
    time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep times timer_create
    timer_settime timer_gettime timer_getoverrun timer_delete getitimer setitimer alarm
};

/// Who it is, what it may use, and how it restricts itself.
const ITSELF: &[Call] = list! {
    getpid getppid getuid geteuid getgid getegid getresuid getresgid getgroups getpgid getpgrp setpgid
    getsid setsid wait4 waitid uname sysinfo getrandom getrusage getrlimit setrlimit prlimit64 capget
    prctl seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self
};

/// Sockets that it was given, and pairs. Nothing that makes, names or connects one; an address to send to is
/// refused where it is an argument (sendmmsg(2) and recvmmsg(2) are needed by nobody here).
const INHERITED: &[Call] = list! {
    socketpair sendto sendmsg recvfrom recvmsg shutdown getsockopt setsockopt getsockname getpeername
};

/// Programs fall back when these do not exist, and give up when they are refused.
const ABSENT: &[Call] = list! {
    clone3 openat2
};

/// A thread shares memory, signal handlers and the process itself, and no thread has a namespace of its own
/// (clone(2); of the flags the kernel takes the low half).
fn threads_only() -> Decision {
    let thread = (libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD) as u32;
    ask(Word::Low(0), Test::Masked { mask: thread, value: thread }, flags(0, CLONE_NEW), Action::REFUSE)
}

/// The image was unreadable when it was executed, so that nobody else can trace the process; made dumpable
/// again, the user's other processes could. The option is an `int`; of the value's 64 bits the kernel itself
/// refuses all but 0 and 1, so the low half tells.
fn no_dump() -> Decision {
    let dumpable = one_of(1, &[0], Action::Allow, Action::REFUSE);
    let rest = one_of(0, &[libc::PR_SET_MM as u32], Action::REFUSE, Action::Allow);
    ask(Word::Low(0), Test::Equals(libc::PR_SET_DUMPABLE as u32), dumpable, rest)
}

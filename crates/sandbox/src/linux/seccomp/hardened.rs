//! Hardened: development tools run, and what reaches into other processes, the system or the rarely used
//! parts of the kernel is refused.
//!
//! What stays, although it sounds dangerous: kill(2) and pidfd_send_signal(2), which Landlock's scope
//! judges; landlock_*(2) and seccomp(2), by which a program may restrict itself; memfd_secret(2);
//! statmount(2) and name_to_handle_at(2), which only tell.

use super::arguments::{CLONE_NEW, S_ISGID, S_ISUID, flags, one_of, socket_kind};
use super::calls::{Call, list};
use super::decision::{Action, Decision, Test, Word, ask};
use super::floor;
use super::rules::Rules;

/// The flags of unshare(2) that concern the process alone. CLONE_NEWTIME is a flag there.
const UNSHARE: u32 = (libc::CLONE_FILES
    | libc::CLONE_FS
    | libc::CLONE_SYSVSEM
    | libc::CLONE_VM
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD) as u32;

/// Missing in the libc crate (asm-generic/ioctls.h).
const TIOCCONS: u32 = 0x541d;
/// Missing in the libc crate (linux/ioprio.h).
const IOPRIO_WHO_PROCESS: u32 = 1;
/// PER_LINUX32 (linux/personality.h): the machine's name as a program of 32 bits sees it.
const PER_LINUX32: u32 = 0x0008;
/// Asks personality(2) and changes nothing.
const QUERY: u32 = 0xffff_ffff;

pub(super) fn add(rules: &mut Rules) {
    rules.set(PROCESSES, Action::REFUSE);
    rules.set(SYSTEM, Action::REFUSE);
    rules.set(MOUNTS, Action::REFUSE);
    rules.set(KERNEL, Action::REFUSE);
    rules.set(IPC, Action::REFUSE);
    floor::special_modes(rules, S_ISGID | S_ISUID);
    rules.set(list![clone], flags(0, CLONE_NEW));
    // All 64 bits are flags here, and one that is new may make a namespace too.
    let high = ask(Word::High(0), Test::Equals(0), Action::Allow, Action::REFUSE);
    rules.set(list![unshare], ask(Word::Low(0), Test::HasAny(!UNSHARE), Action::REFUSE, high));
    // Of the calling thread only. The kernel asks for no more than the same user, and no scope of Landlock
    // judges it: the watchers could be pinned beside a crowd of spinners, and end nothing any more.
    let itself = |argument| ask(Word::Low(argument), Test::Equals(0), Action::Allow, Action::REFUSE);
    rules.set(list![sched_setaffinity sched_setscheduler sched_setparam sched_setattr], itself(0));
    let process = |kind| ask(Word::Low(0), Test::Equals(kind), itself(1), Action::REFUSE);
    rules.set(list![setpriority], process(libc::PRIO_PROCESS));
    rules.set(list![ioprio_set], process(IOPRIO_WHO_PROCESS));
    rules.set(list![personality], one_of(0, &[0, PER_LINUX32, QUERY], Action::Allow, Action::REFUSE));
    rules.set(list![prctl], one_of(0, &[libc::PR_SET_MM as u32], Action::REFUSE, Action::Allow));
    rules.set(list![ioctl], terminals());
    rules.set(list![prlimit64], ask(Word::Low(0), Test::Equals(0), Action::Allow, Action::REFUSE));
    rules.set(list![seccomp], no_listener());
    sockets(rules);
}

/// What reads, changes or ends another process. userfaultfd(2), which makes races in the kernel easy to
/// win, answers as where the administrator keeps it to root (vm.unprivileged_userfaultfd is 0).
const PROCESSES: &[Call] = list! {
    ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp pidfd_getfd
    userfaultfd move_pages migrate_pages setns
};

/// What changes the machine. adjtimex(2) may only ask, but whether it does is said in memory.
const SYSTEM: &[Call] = list! {
    kexec_load kexec_file_load init_module finit_module delete_module create_module query_module
    get_kernel_syms swapon swapoff reboot sethostname setdomainname settimeofday clock_settime adjtimex
    clock_adjtime syslog acct quotactl quotactl_fd nfsservctl iopl ioperm vhangup
};

const MOUNTS: &[Call] = list! {
    mount umount2 pivot_root chroot move_mount open_tree open_tree_attr fsopen fsconfig fsmount fspick
    mount_setattr open_by_handle_at fanotify_init
};

/// Large, rarely needed or long forgotten parts of the kernel, and its keyring.
const KERNEL: &[Call] = list! {
    bpf perf_event_open lookup_dcookie add_key request_key keyctl modify_ldt uselib ustat sysfs _sysctl
};

/// System V and POSIX message queues, semaphores and shared memory have no owner but the user, so that a
/// program outside would have them too.
const IPC: &[Call] = list! {
    shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl mq_open mq_unlink
    mq_timedsend mq_timedreceive mq_notify mq_getsetattr
};

/// Types what a terminal's next reader gets (TIOCSTI, and TIOCLINUX by pasting), takes the console's output,
/// or changes the line discipline. The kernel's request is an `unsigned int`: what is in the high half does
/// not count and must not make a request look harmless.
fn terminals() -> Decision {
    let requests = [libc::TIOCSTI as u32, libc::TIOCLINUX as u32, TIOCCONS, libc::TIOCSETD as u32];
    one_of(1, &requests, Action::REFUSE, Action::Allow)
}

/// A program may add filters, but not decide itself about the calls of those below it (operation and flags
/// are `unsigned int`). prctl(2), the older way, cannot ask for a listener.
fn no_listener() -> Decision {
    let listener = flags(1, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32);
    let filter = Test::Equals(libc::SECCOMP_SET_MODE_FILTER);
    ask(Word::Low(0), filter, listener, Action::Allow)
}

/// The network; and the Unix domain as far as connect(2) alone says who is on the other side.
///
/// connect is decided by whoever holds the listener, who looks at a copy of the address. sendto(2),
/// sendmsg(2) and sendmmsg(2) carry addresses in memory that nobody can judge, and UDP needs them. In the
/// Unix domain they lead nowhere: a stream fails with EISCONN or EOPNOTSUPP, a sequenced socket ignores them
/// (unix(7)). A datagram would go there, so those sockets are refused, for socketpair(2) too.
fn sockets(rules: &mut Rules) {
    let unknown = Action::Fail(libc::EAFNOSUPPORT as u16);
    let family = |family: i32| Test::Equals(family as u32);
    let unix = || socket_kind(&[libc::SOCK_STREAM, libc::SOCK_SEQPACKET]);
    let internet = || socket_kind(&[libc::SOCK_STREAM, libc::SOCK_DGRAM]);
    // Addresses and routes, for getaddrinfo(3) and getifaddrs(3); NETLINK_ROUTE is 0.
    let netlink = one_of(2, &[libc::NETLINK_ROUTE as u32], Action::Allow, Action::REFUSE);
    let netlink = ask(Word::Low(0), family(libc::AF_NETLINK), netlink, unknown);
    let inet6 = ask(Word::Low(0), family(libc::AF_INET6), internet(), netlink);
    let inet = ask(Word::Low(0), family(libc::AF_INET), internet(), inet6);
    rules.set(list![socket], ask(Word::Low(0), family(libc::AF_UNIX), unix(), inet));
    rules.set(list![socketpair], ask(Word::Low(0), family(libc::AF_UNIX), unix(), unknown));
    rules.set(list![connect], Action::Notify);
}

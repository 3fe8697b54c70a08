//! Hardened's refusals, and what must go on working.

use super::super::calls::{Call, list};
use super::*;

const EAFNOSUPPORT: Action = Action::Fail(97);

#[test]
fn dangerous_calls_are_refused() {
    let calls = list![
        ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp pidfd_getfd bpf
        perf_event_open userfaultfd kexec_load kexec_file_load init_module finit_module delete_module
        create_module query_module get_kernel_syms mount umount2 pivot_root chroot move_mount open_tree
        open_tree_attr fsopen fsconfig fsmount fspick mount_setattr swapon swapoff reboot sethostname
        setdomainname settimeofday clock_settime adjtimex clock_adjtime syslog acct quotactl quotactl_fd
        nfsservctl iopl ioperm lookup_dcookie vhangup add_key request_key keyctl open_by_handle_at
        fanotify_init modify_ldt uselib ustat sysfs _sysctl move_pages migrate_pages setns
    ];
    expect_always(CLOSED, calls, Action::REFUSE);
}

#[test]
fn ipc_that_programs_outside_share_is_refused() {
    let calls = list![
        shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl mq_open
        mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr
    ];
    expect_always(CLOSED, calls, Action::REFUSE);
}

#[test]
fn what_development_tools_need_is_allowed() {
    let calls = list![
        fork vfork execve execveat wait4 kill tgkill pidfd_open pidfd_send_signal bind listen accept
        accept4 sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg mbind set_mempolicy get_mempolicy
        statmount listmount name_to_handle_at memfd_create memfd_secret landlock_create_ruleset
        landlock_add_rule landlock_restrict_self setuid
        setresuid capset chown fchown lchown fchownat setxattr setpgid setsid inotify_add_watch
        fanotify_mark io_setup io_submit rseq membarrier close_range faccessat2 sysinfo flock rename link
        symlink rmdir getrandom uretprobe
    ];
    expect_always(HARDENED, calls, Action::Allow);
}

#[test]
fn no_process_is_made_in_a_new_namespace() {
    // Mount, cgroup, UTS, IPC, user, PID and network namespaces.
    let kinds = [
        0x0002_0000,
        0x0200_0000,
        0x0400_0000,
        0x0800_0000,
        0x1000_0000,
        0x2000_0000,
        0x4000_0000,
        0x7e02_0000,
    ];
    for kind in kinds {
        for flags in [kind, kind | 17, kind | HIGH, kind | 0x0001_0900] {
            expect(CLOSED, Call::clone, &[flags], Action::REFUSE);
            expect(CLOSED, Call::unshare, &[flags], Action::REFUSE);
        }
    }
    // fork, vfork and a thread as the C library makes them; 0x80 is part of the exit signal here.
    for flags in [17, 0x0120_0011, 0x4111, 0x003d_0f00, 0x80] {
        expect(HARDENED, Call::clone, &[flags, 0x7e02_0000], Action::Allow);
        // The kernel takes the low half.
        expect(HARDENED, Call::clone, &[flags | HIGH], Action::Allow);
    }
    expect_always(CLOSED, &[Call::clone3], Action::ABSENT);
}

#[test]
fn a_process_may_stop_sharing_files_and_directories_but_nothing_that_makes_a_namespace() {
    for flags in [0, 0x200, 0x400, 0x600, 0x0004_0000] {
        expect(HARDENED, Call::unshare, &[flags], Action::Allow);
    }
    // A time namespace, a flag that was not known when this was written, and flags of the high half.
    for flags in [0x80, 0x680, 0x0010_0000, 1 << 32, 0x200 | 1 << 37, u64::MAX] {
        expect(HARDENED, Call::unshare, &[flags], Action::REFUSE);
    }
}

#[test]
fn requests_that_type_into_terminals_are_refused_whatever_the_high_half_says() {
    for request in [0x5412, 0x541c, 0x541d, 0x5423] {
        for high in [0, 1 << 32, HIGH] {
            expect(CLOSED, Call::ioctl, &[0, request | high], Action::REFUSE);
        }
        // Another argument, or the high half alone, is no request.
        expect(CLOSED, Call::ioctl, &[request, 0x5401, request], Action::Allow);
        expect(CLOSED, Call::ioctl, &[0, request << 32], Action::Allow);
    }
    // TCGETS, TIOCGWINSZ, TIOCSWINSZ, FIONREAD, FIONBIO, TIOCGPTN.
    for request in [0x5401, 0x5413, 0x5414, 0x541b, 0x5421, 0x8004_5430] {
        expect(CLOSED, Call::ioctl, &[0, request], Action::Allow);
        // As a C program that passes the request as an `int` does.
        expect(CLOSED, Call::ioctl, &[0, request | HIGH], Action::Allow);
    }
}

#[test]
fn a_program_may_add_filters_but_no_listener() {
    for (operation, flags) in [(0, 0), (1, 0), (1, 1), (1, 0x17), (2, 0), (3, 0), (1, HIGH), (1, 8 << 32)] {
        expect(CLOSED, Call::seccomp, &[operation, flags, 8], Action::Allow);
    }
    for (operation, flags) in [(1, 8), (1, 9), (1, 0x28), (1, HIGH | 8), (HIGH | 1, 8)] {
        expect(CLOSED, Call::seccomp, &[operation, flags], Action::REFUSE);
    }
}

#[test]
fn a_program_may_not_change_what_its_memory_looks_like_from_outside() {
    expect(CLOSED, Call::prctl, &[35, 8], Action::REFUSE);
    expect(CLOSED, Call::prctl, &[HIGH | 35, 8], Action::REFUSE);
    // PR_SET_PDEATHSIG, PR_SET_NAME, PR_SET_NO_NEW_PRIVS, PR_SET_VMA.
    for option in [1, 15, 38, 0x5356_4d41] {
        expect(CLOSED, Call::prctl, &[option, 35], Action::Allow);
    }
    expect(HARDENED, Call::prctl, &[4, 1], Action::Allow);
}

#[test]
fn only_harmless_personalities_can_be_taken() {
    for personality in [0, 8, 0xffff_ffff, HIGH, HIGH | 8, u64::MAX] {
        expect(HARDENED, Call::personality, &[personality], Action::Allow);
    }
    // READ_IMPLIES_EXEC, ADDR_NO_RANDOMIZE, ADDR_COMPAT_LAYOUT, MMAP_PAGE_ZERO.
    for personality in [0x0040_0000, 0x0004_0000, 0x0020_0000, 0x0010_0000, 0x0004_0008, HIGH | 0x0004_0000] {
        expect(CLOSED, Call::personality, &[personality], Action::REFUSE);
    }
}

#[test]
fn limits_are_a_process_s_own() {
    expect(CLOSED, Call::prlimit64, &[0, 7, 0x1000, 0x2000], Action::Allow);
    expect(CLOSED, Call::prlimit64, &[HIGH, 7, 0x1000, 0], Action::Allow);
    for pid in [1, 4711, 0xffff_ffff, HIGH | 1] {
        expect(CLOSED, Call::prlimit64, &[pid, 7, 0x1000, 0], Action::REFUSE);
    }
}

/// SOCK_NONBLOCK and SOCK_CLOEXEC.
const FLAGS: [u64; 4] = [0, 0o4000, 0o2_000_000, HIGH | 0o2_004_000];

#[test]
fn sockets_are_of_the_network_or_connected_ones_of_the_unix_domain() {
    let [stream, datagram, raw, reliable, sequenced, dccp, packet]: [u64; 7] = [1, 2, 3, 4, 5, 6, 10];
    let allowed: [(u64, &[u64]); 3] =
        [(1, &[stream, sequenced]), (2, &[stream, datagram]), (10, &[stream, datagram])];
    for (family, kinds) in allowed {
        for kind in [0, stream, datagram, raw, reliable, sequenced, dccp, packet, 15] {
            let action = if kinds.contains(&kind) { Action::Allow } else { Action::REFUSE };
            for flags in FLAGS {
                expect(HARDENED, Call::socket, &[family, kind | flags, 0], action);
                expect(HARDENED, Call::socket, &[family | HIGH, kind | flags, 6], action);
            }
        }
    }
}

#[test]
fn of_netlink_only_routes_can_be_asked_for() {
    for kind in [2, 3, 3 | 0o2_000_000] {
        expect(HARDENED, Call::socket, &[16, kind, 0], Action::Allow);
        expect(HARDENED, Call::socket, &[16, kind, HIGH], Action::Allow);
        // Firewall, audit, uevent, generic.
        for protocol in [12, 9, 15, 16, HIGH | 9] {
            expect(HARDENED, Call::socket, &[16, kind, protocol], Action::REFUSE);
        }
    }
}

#[test]
fn other_families_are_not_there() {
    // Unspecified, packet, Bluetooth, algorithms, virtual machines, XDP, one that no kernel has.
    for family in [0, 17, 31, 38, 40, 44, 999, HIGH | 17, 1 << 32] {
        expect(HARDENED, Call::socket, &[family, 1, 0], EAFNOSUPPORT);
        expect(CLOSED, Call::socketpair, &[family, 1, 0], EAFNOSUPPORT);
    }
    expect(CLOSED, Call::socketpair, &[2, 1, 0], EAFNOSUPPORT);
}

#[test]
fn pairs_are_connected_ones_of_the_unix_domain() {
    for flags in FLAGS {
        for (kind, action) in
            [(1, Action::Allow), (5, Action::Allow), (2, Action::REFUSE), (3, Action::REFUSE)]
        {
            expect(CLOSED, Call::socketpair, &[1, kind | flags, 0], action);
        }
    }
}

#[test]
fn every_connection_is_asked_about() {
    expect_always(HARDENED, &[Call::connect], Action::Notify);
}

#[test]
fn only_the_calling_thread_is_scheduled_anew() {
    for call in [Call::sched_setaffinity, Call::sched_setscheduler, Call::sched_setparam, Call::sched_setattr]
    {
        for (thread, action) in
            [(0, Action::Allow), (HIGH, Action::Allow), (1, Action::REFUSE), (77, Action::REFUSE)]
        {
            expect(HARDENED, call, &[thread, 1, 1], action);
        }
    }
    for &thread in &[1, 77] {
        expect(LOCKDOWN, Call::sched_setaffinity, &[thread, 1, 1], Action::REFUSE);
    }
    expect(LOCKDOWN, Call::sched_setaffinity, &[0, 1, 1], Action::Allow);
    for (call, process) in [(Call::setpriority, 0), (Call::ioprio_set, 1)] {
        expect(HARDENED, call, &[process, 0, 5], Action::Allow);
        for kind in [0, 1, 2, 3] {
            expect(HARDENED, call, &[kind, 77, 5], Action::REFUSE);
            if kind != process {
                expect(HARDENED, call, &[kind, 0, 5], Action::REFUSE);
            }
        }
    }
}

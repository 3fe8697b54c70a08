//! Lockdown's closed list.

use super::super::calls::{Call, list};
use super::*;

#[test]
fn what_a_computation_needs_is_allowed() {
    let calls = list![
        brk mmap munmap mremap mprotect pkey_mprotect pkey_alloc pkey_free madvise mincore msync mlock
        mlock2 munlock mlockall munlockall memfd_create memfd_secret membarrier rseq futex futex_waitv
        set_robust_list set_tid_address arch_prctl sched_yield sched_getaffinity getcpu
        sched_getparam sched_get_priority_max gettid exit exit_group read write readv writev pread64
        pwrite64 preadv2 pwritev2 lseek fstat stat lstat newfstatat statx statfs fstatfs getdents64
        getdents ftruncate truncate fallocate fsync fdatasync flock fadvise64 readahead sync_file_range
        sendfile splice tee copy_file_range access faccessat faccessat2 readlink readlinkat getcwd chdir
        fchdir umask rename renameat renameat2 link linkat symlink symlinkat unlink unlinkat rmdir
        getxattr fgetxattr listxattr close close_range dup dup2 dup3 fcntl pipe pipe2 poll ppoll
        select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2
        timerfd_create timerfd_settime signalfd4 inotify_init1 inotify_add_watch rt_sigaction
        rt_sigprocmask rt_sigreturn sigaltstack kill tkill tgkill clock_gettime gettimeofday time
        nanosleep clock_nanosleep timer_create timer_settime timer_delete getitimer setitimer alarm getpid
        getppid getuid geteuid getgid getegid getresuid getresgid getgroups getpgid getpgrp getsid setsid
        setpgid wait4 waitid uname sysinfo getrandom getrusage times getrlimit setrlimit capget
        restart_syscall landlock_create_ruleset landlock_add_rule landlock_restrict_self sendmsg recvmsg
        recvfrom shutdown getsockopt setsockopt getsockname getpeername
    ];
    expect_always(LOCKDOWN, calls, Action::Allow);
}

#[test]
fn everything_else_is_refused() {
    let calls = list![
        fork vfork execve socket connect bind listen accept accept4 sendmmsg recvmmsg pidfd_open
        pidfd_send_signal setuid setreuid setresuid setfsuid capset chown fchown lchown fchownat setxattr
        fsetxattr removexattr mknod mknodat io_setup io_submit vmsplice setpriority sched_setscheduler
        sched_setattr ioprio_set personality get_robust_list statmount listmount name_to_handle_at sync
        chmod fchmodat fchmodat2 utime utimes futimesat process_madvise mbind remap_file_pages uretprobe file_setattr listns rseq_slice_yield
    ];
    expect_always(LOCKDOWN, calls, Action::REFUSE);
}

#[test]
fn only_threads_can_be_made() {
    // Rust and glibc, musl, Go; with the high half that the kernel does not look at.
    for flags in [0x003d_0f00, 0x007d_0f00, 0x0005_0f00, 0x0001_0900, HIGH | 0x003d_0f00] {
        expect(LOCKDOWN, Call::clone, &[flags], Action::Allow);
    }
    // fork, vfork, posix_spawn; each of the three flags missing; a namespace.
    let others = [
        0,
        17,
        0x0120_0011,
        0x4111,
        0x0001_0800,
        0x0001_0100,
        0x0900,
        0x003d_0f00 | 0x1000_0000,
        0x003d_0f00 << 32,
    ];
    for flags in others {
        expect(LOCKDOWN, Call::clone, &[flags], Action::REFUSE);
    }
    expect_always(LOCKDOWN, &[Call::clone3], Action::ABSENT);
}

#[test]
fn only_who_has_the_key_executes() {
    expect_always(LOCKDOWN, &[Call::execve, Call::execveat], Action::REFUSE);
    let key = [0x1234_5678, 0x9abc_def0_u32];
    let arguments = |key: [u32; 2]| {
        let [descriptor, flags] = key.map(|half| u64::from(half) << 32);
        [descriptor | 4, 1, 2, 3, flags | 0x1000, 0]
    };
    for &kind in LOCKDOWN {
        for architecture in ARCHITECTURES {
            let number = Call::execveat.number(architecture).expect("every architecture has it");
            let keyed = filter(kind, architecture).keyed(key);
            let answer = |arguments| {
                run(&keyed, &Data { number, architecture: architecture.audit(), arguments }).action
            };
            assert_eq!(answer(arguments(key)), Action::Allow);
            for wrong in [[key[0], 0], [0, key[1]], [key[1], key[0]], [0, 0], super::super::lockdown::LOCK] {
                assert_eq!(answer(arguments(wrong)), Action::REFUSE);
            }
            let changed = filter(kind, architecture).instructions().iter().zip(&keyed);
            assert_eq!(changed.filter(|(one, other)| one.k != other.k).count(), 2);
        }
    }
    for &kind in NONE.iter().chain(HARDENED) {
        for architecture in ARCHITECTURES {
            let plain = filter(kind, architecture).instructions();
            assert!(plain.iter().zip(&filter(kind, architecture).keyed(key)).all(|(a, b)| a.k == b.k));
        }
    }
}

#[test]
fn the_process_stays_closed_to_the_user_s_others() {
    for option in [4, HIGH | 4] {
        for value in [1, HIGH | 1, u64::MAX] {
            expect(LOCKDOWN, Call::prctl, &[option, value], Action::REFUSE);
        }
        expect(LOCKDOWN, Call::prctl, &[option, 0], Action::Allow);
    }
    // PR_GET_DUMPABLE.
    expect(LOCKDOWN, Call::prctl, &[3, 1], Action::Allow);
}

#[test]
fn nothing_is_sent_to_an_address() {
    expect(LOCKDOWN, Call::sendto, &[3, 0x1000, 5, 0, 0, 0], Action::Allow);
    // The length does not matter without an address.
    expect(LOCKDOWN, Call::sendto, &[3, 0x1000, 5, 0, 0, 16], Action::Allow);
    for address in [1, 0x7fff_0000_1000, 1 << 32, HIGH, u64::MAX] {
        expect(LOCKDOWN, Call::sendto, &[3, 0x1000, 5, 0, address, 16], Action::REFUSE);
    }
}

/// Landlock does not judge it by path, so that only what is open can be changed.
#[test]
fn times_are_set_of_open_files_only() {
    expect(LOCKDOWN, Call::utimensat, &[3, 0, 0x1000, 0], Action::Allow);
    for path in [0x1000, 1 << 32] {
        expect(LOCKDOWN, Call::utimensat, &[3, path, 0x1000, 0], Action::REFUSE);
    }
}

#[test]
fn modes_count_here_too() {
    for (call, arguments) in [
        (Call::fchmod, [0, 0o644, 0, 0]),
        (Call::mkdir, [0, 0o755, 0, 0]),
        (Call::mkdirat, [0, 0, 0o755, 0]),
        (Call::creat, [0, 0o644, 0, 0]),
    ] {
        expect(LOCKDOWN, call, &arguments, Action::Allow);
        expect(LOCKDOWN, call, &arguments.map(|mode| mode | 0o2000), Action::REFUSE);
        expect(LOCKDOWN, call, &arguments.map(|mode| mode | 0o4000), Action::REFUSE);
    }
}

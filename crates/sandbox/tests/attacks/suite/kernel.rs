//! The parts of the kernel that an attacker likes best (`H3`).

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;

use envseal_sandbox::Tier;

use super::attack::{Attack, Closed, Tried, absent, also, fault, from, must};
use super::sys::{self, Arg};

const CLOSED: Closed = from(Tier::Hardened);
/// In a namespace of the engine no further one can be made, in every tier; nor with a private group, whose number
/// could be taken in one.
const NESTED: Closed = CLOSED.in_namespaces(Some(Tier::None)).with_group(Some(Tier::None));

pub const ATTACKS: &[Attack] = &[
    Attack::inside(
        "enters-namespace",
        "setns(2) into the user namespace of a process outside",
        NESTED,
        |args| {
            let file = File::open(format!("/proc/{}/ns/user", args.text("pid")?))?;
            Ok(rustix::thread::move_into_link_name_space(file.as_fd(), None)?)
        },
    )
    .with(|cell| {
        let outsider = cell.outsider(&["namespace"])?;
        cell.act(&outsider.arguments())
    }),
    Attack::inside(
        "enters-namespace-by-pidfd",
        "setns(2) with a pidfd of the same process",
        NESTED,
        |args| {
            let Some(pid) = rustix::process::Pid::from_raw(args.number("pid")?) else {
                return fault("no pid");
            };
            let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?;
            let kinds = rustix::thread::ThreadNameSpaceType::USER;
            Ok(rustix::thread::move_into_thread_name_spaces(pidfd.as_fd(), kinds)?)
        },
    )
    .with(|cell| {
        let outsider = cell.outsider(&["namespace"])?;
        cell.act(&outsider.arguments())
    }),
    Attack::inside("makes-user-namespace", "unshare(2) CLONE_NEWUSER", NESTED, |_| unshare(0)),
    Attack::inside("makes-user-namespace-by-clone", "clone(2) CLONE_NEWUSER", NESTED, |_| {
        let flags = (libc::CLONE_NEWUSER | libc::SIGCHLD) as usize;
        child(|| sys::numbers(libc::SYS_clone, [flags, 0, 0, 0, 0]))
    }),
    Attack::inside("makes-user-namespace-by-clone3", "clone3(2) CLONE_NEWUSER", NESTED, |_| {
        let mut how = [0_u8; 64];
        how[..8].copy_from_slice(&(libc::CLONE_NEWUSER as u64).to_ne_bytes());
        how[32..40].copy_from_slice(&(libc::SIGCHLD as u64).to_ne_bytes());
        child(|| sys::call(libc::SYS_clone3, &mut [Arg::Bytes(&mut how), Arg::Number(64)]))
    }),
    Attack::inside(
        "makes-user-namespace-by-old-entry",
        "unshare(2) CLONE_NEWUSER by int 0x80",
        from(Tier::None),
        |_| old_entry(310, libc::CLONE_NEWUSER as u32),
    ),
    Attack::inside("mounts", "mount(2) a tmpfs in a user and mount namespace of its own", NESTED, |_| {
        unshare(libc::CLONE_NEWNS)?;
        let mut arguments =
            [Arg::Text(c"none"), Arg::Text(c"/tmp"), Arg::Text(c"tmpfs"), Arg::Number(0), Arg::Number(0)];
        Ok(sys::call(libc::SYS_mount, &mut arguments).map(drop)?)
    }),
    Attack::inside("opens-file-system", "fsopen(2) in a user and mount namespace of its own", NESTED, |_| {
        unshare(libc::CLONE_NEWNS)?;
        Ok(sys::call(libc::SYS_fsopen, &mut [Arg::Text(c"tmpfs"), Arg::Number(0)]).map(drop)?)
    }),
    Attack::inside("changes-root", "chroot(2) in a user namespace of its own", NESTED, |args| {
        unshare(0)?;
        Ok(rustix::process::chroot(args.path("room", "work")?)?)
    }),
    Attack::inside("pivots-root", "pivot_root(2) in a user and mount namespace of its own", NESTED, |args| {
        unshare(libc::CLONE_NEWNS)?;
        let work = std::ffi::CString::new(args.text("room")?).map_err(std::io::Error::from)?;
        let private = (libc::MS_REC | libc::MS_PRIVATE) as usize;
        let bind = (libc::MS_REC | libc::MS_BIND) as usize;
        for (source, target, flags) in [(c"none", c"/", private), (work.as_c_str(), work.as_c_str(), bind)] {
            let mut arguments =
                [Arg::Text(source), Arg::Text(target), Arg::Number(0), Arg::Number(flags), Arg::Number(0)];
            sys::call(libc::SYS_mount, &mut arguments)?;
        }
        std::env::set_current_dir(args.text("room")?)?;
        Ok(sys::call(libc::SYS_pivot_root, &mut [Arg::Text(c"."), Arg::Text(c"work")]).map(drop)?)
    }),
    Attack::inside("names-the-host", "sethostname(2) in a user and UTS namespace of its own", NESTED, |_| {
        unshare(libc::CLONE_NEWUTS)?;
        let mut arguments = [Arg::Bytes(&mut [b'x']), Arg::Number(1)];
        Ok(sys::call(libc::SYS_sethostname, &mut arguments).map(drop)?)
    }),
    Attack::inside(
        "handles-page-faults",
        "userfaultfd(2), which makes races in the kernel easy to win",
        CLOSED,
        |_| {
            const USER_MODE_ONLY: usize = 1;
            Ok(sys::numbers(libc::SYS_userfaultfd, [USER_MODE_ONLY, 0, 0, 0, 0]).map(drop)?)
        },
    ),
    Attack::inside(
        "loads-bpf",
        "reach bpf(2) at all (BPF_OBJ_GET of a path that is not there)",
        CLOSED,
        |_| {
            const OBJ_GET: usize = 7;
            let path = c"/nonexistent";
            let mut attributes = [0_u8; 16];
            attributes[..8].copy_from_slice(&(path.as_ptr() as u64).to_ne_bytes());
            let mut arguments = [Arg::Number(OBJ_GET), Arg::Bytes(&mut attributes), Arg::Number(16)];
            reached(sys::call(libc::SYS_bpf, &mut arguments), libc::ENOENT)
        },
    ),
    Attack::inside("counts-events", "perf_event_open(2) on itself", CLOSED, |_| {
        let mut arguments = [
            Arg::Bytes(&mut sys::perf_attributes()),
            Arg::Number(0),
            Arg::Number(usize::MAX),
            Arg::Number(usize::MAX),
            Arg::Number(0),
        ];
        Ok(sys::call(libc::SYS_perf_event_open, &mut arguments).map(drop)?)
    }),
    Attack::inside(
        "types-into-terminal",
        "TIOCSTI: input for whoever reads the terminal next",
        CLOSED,
        |_| Ok(sys::ioctl(std::io::stdin(), libc::TIOCSTI, i32::from(b'x'))?),
    )
    .with(on_terminal),
    Attack::inside(
        "types-into-terminal-by-high-half",
        "TIOCSTI with a bit above the 32 that the kernel looks at",
        CLOSED,
        |_| Ok(sys::ioctl(std::io::stdin(), libc::TIOCSTI | 1 << 40, i32::from(b'x'))?),
    )
    .with(on_terminal),
    Attack::inside(
        "pastes-into-console",
        "reach TIOCLINUX (a pseudoterminal does not know it)",
        CLOSED,
        |_| reached(sys::ioctl(std::io::stdin(), libc::TIOCLINUX, 2).map(|()| 0), libc::ENOTTY),
    )
    .with(on_terminal),
    Attack::inside("changes-line-discipline", "TIOCSETD to the one of the next terminal", CLOSED, |_| {
        Ok(sys::ioctl(std::io::stdin(), libc::TIOCSETD, 0)?)
    })
    .with(on_terminal),
    Attack::inside("has-same-addresses", "personality(2) ADDR_NO_RANDOMIZE", CLOSED, |_| {
        Ok(sys::numbers(libc::SYS_personality, [libc::ADDR_NO_RANDOMIZE as usize, 0, 0, 0, 0]).map(drop)?)
    }),
    Attack::inside(
        "answers-its-own-calls",
        "seccomp(2) with a listener of the program's own",
        CLOSED,
        |_| {
            // Without privileges, a filter needs no_new_privs first.
            rustix::thread::set_no_new_privs(true)?;
            also(sys::listen_to_itself().map(drop), &[libc::EBUSY])
        },
    ),
    Attack::inside("moves-segments", "modify_ldt(2)", CLOSED, |_| {
        let mut table = [0; 64];
        let mut arguments = [Arg::Number(0), Arg::Bytes(&mut table), Arg::Number(64)];
        match sys::MODIFY_LDT {
            Some(number) => Ok(sys::call(number, &mut arguments).map(drop)?),
            None => absent("this architecture has no such call"),
        }
    }),
    Attack::inside("asks-the-clock", "adjtimex(2), which may set it", CLOSED, |_| {
        let mut state = [0; 256];
        Ok(sys::call(libc::SYS_adjtimex, &mut [Arg::Bytes(&mut state)]).map(drop)?)
    }),
    Attack::inside("opens-by-handle", "open_by_handle_at(2) is reached", CLOSED, |_| {
        // A handle of no file system.
        let mut handle = [0_u8; 16];
        let mut arguments = [Arg::Number(usize::MAX), Arg::Bytes(&mut handle), Arg::Number(0)];
        reached(sys::call(libc::SYS_open_by_handle_at, &mut arguments), libc::EINVAL)
    }),
    Attack::inside("watches-file-systems", "fanotify_init(2)", CLOSED, |_| {
        const REPORT_FID: usize = 0x200;
        Ok(sys::numbers(libc::SYS_fanotify_init, [REPORT_FID, 0, 0, 0, 0]).map(drop)?)
    }),
    Attack::inside("reads-kernel-log", "open /dev/kmsg", CLOSED, |_| Ok(File::open("/dev/kmsg").map(drop)?))
        .with(|cell| match OpenOptions::new().read(true).open("/dev/kmsg") {
            Ok(_) => cell.act(&[]),
            Err(error) => absent(format!("/dev/kmsg: {error}")),
        }),
];

fn unshare(beside: i32) -> Tried {
    let flags = (libc::CLONE_NEWUSER | beside) as usize;
    Ok(sys::numbers(libc::SYS_unshare, [flags, 0, 0, 0, 0]).map(drop)?)
}

/// Makes a child by `make`, which ends at once, and waits for it.
fn child(make: impl FnOnce() -> std::io::Result<usize>) -> Tried {
    match make()? {
        0 => sys::end(0),
        pid => Ok(sys::wait(pid as i32).map(drop)?),
    }
}

/// A call that an ordinary user has no use for: that the kernel looked at it, and said `errno`, is enough.
fn reached(result: std::io::Result<usize>, errno: i32) -> Tried {
    match result {
        Err(error) if error.raw_os_error() == Some(errno) => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

fn on_terminal(cell: &super::cell::Cell<'_>) -> Tried {
    let options = super::supervise::Options { terminal: true, ..Default::default() };
    cell.act_with(options, &[])
}

/// A filter may end a process that comes by the old entry, so a child tries it first, where there may be one.
#[cfg(target_arch = "x86_64")]
pub fn old_entry(number: u32, argument: u32) -> Tried {
    match sys::fork() {
        Ok(None) => {
            let status = match sys::old_entry(number, argument, argument, argument) {
                Ok(_) => 0,
                Err(error) => error.raw_os_error().unwrap_or(255),
            };
            sys::end(status)
        }
        Ok(Some(pid)) => match sys::wait(pid)? {
            status if libc::WIFSIGNALED(status) => {
                must(libc::WTERMSIG(status) != libc::SIGSYS, "ended by SIGSYS")?;
                fault("the old entry ended the child by another signal")
            }
            status => match libc::WEXITSTATUS(status) {
                0 => Ok(()),
                errno => Err(std::io::Error::from_raw_os_error(errno).into()),
            },
        },
        Err(_) => Ok(sys::old_entry(number, argument, argument, argument).map(drop)?),
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub fn old_entry(_: u32, _: u32) -> Tried {
    absent("this architecture has no second entry")
}

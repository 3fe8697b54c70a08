//! The program reaches for processes of the same user that are outside of its tree (`H1`).

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};

use envseal_sandbox::Tier;
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Signal, kill_process, kill_process_group, pidfd_getfd, pidfd_open,
    pidfd_send_signal,
};

use super::attack::{Args, Attack, Closed, Miss, Tried, fault, from, must, refused};
use super::reader::{
    finds, get_descriptor, has_bytes, link, mem, proc_path, read_proc, seize, trace, vm_read, vm_write,
};
use super::sys::{self, Arg};

/// In Hardened by Landlock and seccomp; with namespaces always, because there is no such process.
const CLOSED: Closed = from(Tier::Hardened).in_namespaces(Some(Tier::None));
/// Where the kernel wants the groups of both to be equal, the private group closes it in every tier.
const LOOKED_INTO: Closed = CLOSED.with_group(Some(Tier::None));
/// What every process may know of every other. In Lockdown /proc is out of reach.
const KNOWN: Closed = from(Tier::Lockdown).in_namespaces(Some(Tier::None));

pub const ATTACKS: &[Attack] = &[
    signal("kills-outside", "kill(2) of a process outside", |args| {
        Ok(kill_process(pid(args)?, Signal::USR1)?)
    }),
    signal("kills-group-outside", "kill(2) of a process group outside", |args| {
        Ok(kill_process_group(pid(args)?, Signal::USR1)?)
    }),
    signal("kills-thread-outside", "tgkill(2) of a thread outside", |args| {
        let pid = args.number("pid")?;
        Ok(sys::numbers(libc::SYS_tgkill, [pid, pid, libc::SIGUSR1 as usize, 0, 0]).map(drop)?)
    }),
    signal("kills-by-pidfd", "pidfd_send_signal(2) to a process outside", |args| {
        Ok(pidfd_send_signal(pidfd_open(pid(args)?, PidfdFlags::empty())?, Signal::USR1)?)
    }),
    signal("queues-signal-outside", "rt_sigqueueinfo(2) to a process outside", queue),
    signal("kills-by-sigio", "fcntl(2) F_SETOWN: the kernel signals the owner of a pipe", sigio),
    inside("traces-outside", "PTRACE_ATTACH to a process outside", LOOKED_INTO, trace),
    inside("traces-outside-by-seize", "PTRACE_SEIZE of a process outside", LOOKED_INTO, seize),
    inside("reads-outside-by-process-vm", "process_vm_readv(2) of a process outside", LOOKED_INTO, vm_read),
    inside(
        "writes-outside-by-process-vm",
        "process_vm_writev(2) to a process outside",
        LOOKED_INTO,
        vm_write,
    ),
    inside("takes-descriptor-outside", "pidfd_getfd(2) from a process outside", LOOKED_INTO, get_descriptor),
    inside("reads-environ-outside", "read /proc/OUTSIDE/environ", LOOKED_INTO, |args| {
        finds(args, &read_proc(args, "environ")?)
    }),
    inside("reads-mem-outside", "read /proc/OUTSIDE/mem", LOOKED_INTO, mem),
    inside("reads-maps-outside", "read /proc/OUTSIDE/maps", LOOKED_INTO, |args| {
        has_bytes(&read_proc(args, "maps")?)
    }),
    inside("opens-descriptor-outside", "open a file through /proc/OUTSIDE/fd/N", LOOKED_INTO, |args| {
        let mut text = Vec::new();
        File::open(proc_path(args, "fd")?.join(args.text("file")?))?.read_to_end(&mut text)?;
        finds(args, &text)
    }),
    inside("follows-root-outside", "read the link /proc/OUTSIDE/root", LOOKED_INTO, |args| {
        link(args, "root")
    }),
    inside("reads-cmdline-outside", "read /proc/OUTSIDE/cmdline, which every user may", KNOWN, |args| {
        has_bytes(&read_proc(args, "cmdline")?)
    }),
    inside("limits-outside", "prlimit(2) of a process outside", LOOKED_INTO, limits),
    inside("renices-outside", "setpriority(2) of a process outside", CLOSED, |args| {
        let kind = libc::PRIO_PROCESS as usize;
        Ok(sys::numbers(libc::SYS_setpriority, [kind, args.number("pid")?, 1, 0, 0]).map(drop)?)
    }),
    inside("compares-outside", "kcmp(2) with a process outside", LOOKED_INTO, |args| {
        let own = rustix::process::getpid().as_raw_nonzero().get() as usize;
        Ok(sys::numbers(libc::SYS_kcmp, [own, args.number("pid")?, 1, 0, 0]).map(drop)?)
    }),
    inside("samples-outside", "perf_event_open(2) on a process outside", LOOKED_INTO, |args| {
        let mut arguments = [
            Arg::Bytes(&mut sys::perf_attributes()),
            Arg::Number(args.number("pid")?),
            Arg::Number(usize::MAX),
            Arg::Number(usize::MAX),
            Arg::Number(0),
        ];
        Ok(sys::call(libc::SYS_perf_event_open, &mut arguments).map(drop)?)
    }),
    Attack::inside(
        "reads-its-watcher",
        "environ, mem or maps of the program's parent",
        from(Tier::None),
        |_| {
            let parent = parent()?;
            let mut refusal = Miss::Fault("nothing was tried".into());
            for name in ["environ", "mem", "maps"] {
                match File::open(format!("/proc/{parent}/{name}")) {
                    Ok(_) => return Ok(()),
                    Err(error) => refusal = error.into(),
                }
            }
            Err(refusal)
        },
    ),
    Attack::inside("traces-its-watcher", "PTRACE_SEIZE of the program's parent", from(Tier::None), |_| {
        Ok(sys::ptrace(libc::PTRACE_SEIZE, parent()?, 0)?)
    }),
    Attack::inside(
        "takes-descriptor-of-its-watcher",
        "pidfd_getfd(2) from the parent, who holds what decides for the program",
        from(Tier::None),
        |_| {
            let pidfd =
                pidfd_open(Pid::from_raw(parent()?).ok_or(rustix::io::Errno::SRCH)?, PidfdFlags::empty())?;
            let mut refusal = Miss::Refused("it has no descriptor".into());
            for number in 0..64 {
                match pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty()) {
                    Ok(_) => return Ok(()),
                    Err(rustix::io::Errno::BADF) => {}
                    Err(error) => refusal = error.into(),
                }
            }
            Err(refusal)
        },
    ),
];

/// The parent as it is seen from within; none where it is in another namespace.
fn parent() -> Result<i32, Miss> {
    match rustix::process::getppid() {
        Some(parent) => Ok(parent.as_raw_nonzero().get()),
        None => refused("no parent can be seen"),
    }
}

/// An attack on a process that stays.
const fn inside(name: &'static str, tries: &'static str, closed: Closed, act: fn(&Args) -> Tried) -> Attack {
    Attack::inside(name, tries, closed, act).with(|cell| {
        let outsider = cell.outsider(&[])?;
        cell.act(&outsider.arguments())
    })
}

/// An attack that ends a process.
const fn signal(name: &'static str, tries: &'static str, act: fn(&Args) -> Tried) -> Attack {
    Attack::inside(name, tries, CLOSED, act).with(|cell| {
        let mut sleeper = Sleeper::new()?;
        cell.act(&[("pid", sleeper.0.id().to_string())])?;
        sleeper.was_hit()
    })
}

/// A process in a process group of its own.
struct Sleeper(Child);

impl Sleeper {
    fn new() -> Result<Sleeper, Miss> {
        Ok(Sleeper(Command::new("/bin/sleep").arg("60").process_group(0).spawn()?))
    }

    /// Whether another signal came before the one that is sent here: the first fatal one decides.
    fn was_hit(&mut self) -> Tried {
        self.0.kill()?;
        let signal = self.0.wait()?.signal();
        must(signal.is_some_and(|signal| signal != libc::SIGKILL), "the call succeeded, but no signal came")
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pid(args: &Args) -> Result<Pid, Miss> {
    Pid::from_raw(args.number("pid")?).map_or_else(|| fault("no process"), Ok)
}

fn queue(args: &Args) -> Tried {
    let (signal, queued) = (libc::SIGUSR1, -1_i32);
    let mut info = [0_u8; 128];
    info[0..4].copy_from_slice(&signal.to_ne_bytes());
    // SI_QUEUE, which a process may claim.
    info[8..12].copy_from_slice(&queued.to_ne_bytes());
    let mut arguments =
        [Arg::Number(args.number("pid")?), Arg::Number(signal as usize), Arg::Bytes(&mut info)];
    Ok(sys::call(libc::SYS_rt_sigqueueinfo, &mut arguments).map(drop)?)
}

fn sigio(args: &Args) -> Tried {
    let (reader, writer) = rustix::pipe::pipe()?;
    let control = |command: i32, value: usize| {
        let number = reader.as_fd().as_raw_fd() as usize;
        sys::numbers(libc::SYS_fcntl, [number, command as usize, value, 0, 0])
    };
    control(libc::F_SETOWN, args.number("pid")?)?;
    control(libc::F_SETFL, (libc::O_ASYNC | libc::O_NONBLOCK) as usize)?;
    if rustix::io::write(&writer, b"!")? == 1 { Ok(()) } else { refused("the pipe took nothing") }
}

fn limits(args: &Args) -> Tried {
    let mut limit = [0_u8; 16];
    limit[..8].copy_from_slice(&64_u64.to_ne_bytes());
    limit[8..].copy_from_slice(&128_u64.to_ne_bytes());
    let mut arguments = [
        Arg::Number(args.number("pid")?),
        Arg::Number(libc::RLIMIT_NOFILE as usize),
        Arg::Bytes(&mut limit),
        Arg::Number(0),
    ];
    Ok(sys::call(libc::SYS_prlimit64, &mut arguments).map(drop)?)
}

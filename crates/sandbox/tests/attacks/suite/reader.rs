//! Another process of the same user reads the program: what is in its memory and environment is the
//! secret. `L6`: closed in Lockdown by the sealed image, in every tier by a private group.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use envseal_sandbox::Tier;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::attack::{Args, Attack, Closed, Miss, NEVER, READER, Tried, absent, fault, from, must};
use super::cell::Cell;
use super::supervise::Options;
use super::sys::{self, Arg};

/// In /proc, the files of a program that executes what it may not read belong to root: its user
/// namespace's owner may still trace it, but not open those that only their owner may.
pub const FILES: Closed = READER.in_namespaces(Some(Tier::Lockdown));
/// Which numbers are open the kernel tells everybody of the user, whatever the groups are; the files
/// behind them it does not.
const NUMBERS: Closed = FILES.with_group(FILES.private);

pub const ATTACKS: &[Attack] = &[
    reader("reads-environ", "read /proc/PID/environ", FILES, |args| {
        finds(args, &read_proc(args, "environ")?)
    }),
    reader("reads-mem", "read the heap through /proc/PID/mem", FILES, mem),
    reader("reads-mem-of-thread", "read the heap through /proc/PID/task/PID/mem", FILES, mem_of_thread),
    reader("reads-maps", "read /proc/PID/maps", READER, |args| has_bytes(&read_proc(args, "maps")?)),
    reader("reads-auxv", "read /proc/PID/auxv", FILES, |args| has_bytes(&read_proc(args, "auxv")?)),
    reader("reads-pagemap", "read /proc/PID/pagemap", FILES, |args| {
        let mut bytes = [0; 8];
        let page = args.number::<u64>("address")? / 4096;
        File::open(proc_path(args, "pagemap")?)?.read_exact_at(&mut bytes, page * 8)?;
        has_bytes(&bytes)
    }),
    reader("lists-descriptors", "list /proc/PID/fd: the numbers alone", NUMBERS, |args| {
        must(fs::read_dir(proc_path(args, "fd")?)?.count() > 0, "no entries")
    }),
    reader("opens-descriptor", "open a file of the program through /proc/PID/fd/N", FILES, |args| {
        let mut text = Vec::new();
        File::open(proc_path(args, "fd")?.join(args.text("file")?))?.read_to_end(&mut text)?;
        finds(args, &text)
    }),
    reader("follows-cwd", "read the link /proc/PID/cwd", READER, |args| link(args, "cwd")),
    reader("follows-root", "read the link /proc/PID/root", READER, |args| link(args, "root")),
    reader("follows-exe", "read the link /proc/PID/exe", READER, |args| link(args, "exe")),
    reader("reads-cmdline", "read /proc/PID/cmdline: arguments are no secret on Linux", NEVER, |args| {
        has_bytes(&read_proc(args, "cmdline")?)
    }),
    reader("traces", "PTRACE_ATTACH and read the heap", READER, trace),
    reader("traces-by-seize", "PTRACE_SEIZE, PTRACE_INTERRUPT and read the heap", READER, seize),
    reader("reads-by-process-vm", "process_vm_readv(2) of the heap", READER, vm_read),
    reader("writes-by-process-vm", "process_vm_writev(2) to the heap", READER, vm_write),
    reader("takes-descriptor", "pidfd_getfd(2) of an open file", READER, get_descriptor),
    reader("samples-by-perf", "perf_event_open(2) on the program, which samples its stack", READER, perf),
    reader("dumps-by-gcore", "gcore PID", FILES, gcore),
    theirs(
        "reads-environ-from-their-namespace",
        "setns(2) into the program's user namespace, then environ",
        FILES,
        |args| finds(args, &read_proc(args, "environ")?),
    ),
    theirs("reads-mem-from-their-namespace", "the same, then /proc/PID/mem", FILES, mem),
    theirs("traces-from-their-namespace", "the same, then PTRACE_ATTACH", READER, trace),
    theirs("reads-by-process-vm-from-their-namespace", "the same, then process_vm_readv(2)", READER, vm_read),
    theirs("takes-descriptor-from-their-namespace", "the same, then pidfd_getfd(2)", READER, get_descriptor),
    reader(
        "reads-a-program-that-wants-it",
        "PR_SET_DUMPABLE 1 by the program itself, then environ and mem",
        FILES,
        |args| {
            mem(args)?;
            finds(args, &read_proc(args, "environ")?)
        },
    )
    .with(|cell| read(cell, &["dumpable"])),
    reader(
        "reads-the-supervisors-copies",
        "environ of the watchers, who hold copies of the supervisor",
        from(Tier::None),
        watchers,
    )
    .with(above),
    Attack::outside("crashes-into-a-file", "SIGABRT with core files enabled", from(Tier::None), |cell| {
        crash(cell, "file")
    }),
    Attack::outside(
        "crashes-into-a-pipe",
        "SIGABRT with core dumps sent to a program",
        from(Tier::None),
        |cell| crash(cell, "pipe"),
    ),
];

const fn reader(name: &'static str, tries: &'static str, closed: Closed, act: fn(&Args) -> Tried) -> Attack {
    Attack::inside(name, tries, closed, act).with(|cell| read(cell, &[]))
}

/// The reader enters the program's user namespace first, as its owner may. Unprotected, the program has
/// made one itself.
const fn theirs(name: &'static str, tries: &'static str, closed: Closed, act: fn(&Args) -> Tried) -> Attack {
    Attack::inside(name, tries, closed, act).with(|cell| {
        let own: &[&str] = if cell.is_protected() { &[] } else { &["namespace"] };
        read_by(cell, own, &[("enter", "yes".into())])
    })
}

fn read(cell: &Cell<'_>, victim: &[&str]) -> Tried {
    read_by(cell, victim, &[])
}

fn read_by(cell: &Cell<'_>, victim: &[&str], how: &[(&'static str, String)]) -> Tried {
    let victim = cell.victim(Options::default(), victim)?;
    let mut arguments = victim.arguments();
    arguments.extend(how.iter().cloned());
    cell.outside(&arguments)
}

/// Enters the program's user namespace where it has one of its own, and looks that it is there.
fn target(args: &Args) -> Result<Pid, Miss> {
    let pid: i32 = args.number("pid")?;
    let Some(target) = Pid::from_raw(pid) else { return fault("no process") };
    if args.has("enter") {
        let theirs = File::open(format!("/proc/{pid}/ns/user"))?;
        let link = |of: &str| fs::read_link(format!("/proc/{of}/ns/user"));
        // The kernel takes nobody into the namespace where it is already (EINVAL).
        if link("self")? != link(&pid.to_string())? {
            rustix::thread::move_into_link_name_space(theirs.as_fd(), None)?;
        }
    }
    Ok(target)
}

pub fn proc_path(args: &Args, name: &str) -> Result<PathBuf, Miss> {
    Ok(format!("/proc/{}/{name}", target(args)?.as_raw_nonzero()).into())
}

pub fn read_proc(args: &Args, name: &str) -> Result<Vec<u8>, Miss> {
    Ok(fs::read(proc_path(args, name)?)?)
}

pub fn finds(args: &Args, bytes: &[u8]) -> Tried {
    let canary = args.text("canary")?.as_bytes();
    must(bytes.windows(canary.len()).any(|part| part == canary), "it was read, but the canary is not there")
}

pub fn has_bytes(bytes: &[u8]) -> Tried {
    must(!bytes.is_empty(), "it could be opened, but is empty")
}

pub fn link(args: &Args, name: &str) -> Tried {
    has_bytes(fs::read_link(proc_path(args, name)?)?.as_os_str().as_encoded_bytes())
}

pub fn mem(args: &Args) -> Tried {
    heap(args, proc_path(args, "mem")?)
}

fn mem_of_thread(args: &Args) -> Tried {
    heap(args, proc_path(args, "task")?.join(args.text("pid")?).join("mem"))
}

fn heap(args: &Args, path: PathBuf) -> Tried {
    let mut bytes = vec![0; args.text("canary")?.len()];
    File::open(path)?.read_exact_at(&mut bytes, args.number("address")?)?;
    finds(args, &bytes)
}

/// Reads the heap of a process that is traced and has stopped.
fn peek(args: &Args, pid: i32) -> Tried {
    let (start, length): (usize, usize) = (args.number("address")?, args.text("canary")?.len());
    let words: Result<Vec<_>, _> = (0..length.div_ceil(8)).map(|n| sys::peek(pid, start + n * 8)).collect();
    finds(args, &words?.concat())
}

pub fn trace(args: &Args) -> Tried {
    let pid = target(args)?.as_raw_nonzero().get();
    sys::ptrace(libc::PTRACE_ATTACH, pid, 0)?;
    sys::wait(pid)?;
    let found = peek(args, pid);
    sys::ptrace(libc::PTRACE_DETACH, pid, 0)?;
    found
}

pub fn seize(args: &Args) -> Tried {
    let pid = target(args)?.as_raw_nonzero().get();
    sys::ptrace(libc::PTRACE_SEIZE, pid, 0)?;
    sys::ptrace(libc::PTRACE_INTERRUPT, pid, 0)?;
    sys::wait(pid)?;
    let found = peek(args, pid);
    sys::ptrace(libc::PTRACE_DETACH, pid, 0)?;
    found
}

pub fn vm_read(args: &Args) -> Tried {
    let pid = target(args)?.as_raw_nonzero().get();
    let mut bytes = vec![0; args.text("canary")?.len()];
    sys::read_memory(pid, args.number("address")?, &mut bytes)?;
    finds(args, &bytes)
}

pub fn vm_write(args: &Args) -> Tried {
    let pid = target(args)?.as_raw_nonzero().get();
    // The same letter that is there.
    let mut bytes = *b"e";
    must(sys::write_memory(pid, args.number("address")?, &mut bytes)? == 1, "nothing was written")
}

pub fn get_descriptor(args: &Args) -> Tried {
    let pidfd = pidfd_open(target(args)?, PidfdFlags::empty())?;
    let file = File::from(pidfd_getfd(pidfd, args.number("file")?, PidfdGetfdFlags::empty())?);
    let mut bytes = vec![0; args.text("canary")?.len()];
    file.read_exact_at(&mut bytes, 0)?;
    finds(args, &bytes)
}

fn perf(args: &Args) -> Tried {
    let pid = target(args)?.as_raw_nonzero().get();
    sys::call(
        libc::SYS_perf_event_open,
        &mut [
            Arg::Bytes(&mut sys::perf_attributes()),
            Arg::Number(pid as usize),
            Arg::Number(usize::MAX),
            Arg::Number(usize::MAX),
            Arg::Number(0),
        ],
    )?;
    Ok(())
}

fn gcore(args: &Args) -> Tried {
    let pid = target(args)?.as_raw_nonzero().to_string();
    let output = match Command::new("gcore").args(["-o", "dump", &pid]).output() {
        Ok(output) => output,
        Err(error) => return absent(format!("gcore: {error}")),
    };
    match fs::read(format!("dump.{pid}")) {
        Ok(dump) => finds(args, &dump),
        Err(_) => must(false, String::from_utf8_lossy(&output.stderr).trim()),
    }
}

/// The processes between the supervisor and the program are copies of the supervisor.
fn above(cell: &Cell<'_>) -> Tried {
    let victim = cell.victim(Options { levels: 2, ..Options::default() }, &[])?;
    let mut arguments = victim.arguments();
    arguments.push(("starter", victim.launched.starter().to_string()));
    cell.outside(&arguments)
}

/// Reads the environment of each process between the program and the harness's own child.
fn watchers(args: &Args) -> Tried {
    let (starter, mut pid): (i32, i32) = (args.number("starter")?, args.number("pid")?);
    let mut refusal = None;
    let mut count = 0;
    loop {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
        let Some(parent) = fields.split(' ').nth(1).and_then(|field| field.parse().ok()) else {
            return fault("no parent");
        };
        if parent == starter || parent <= 1 {
            break;
        }
        pid = parent;
        count += 1;
        for name in ["environ", "mem", "maps"] {
            match File::open(format!("/proc/{pid}/{name}")) {
                Ok(_) => return Ok(()),
                Err(error) => refusal = Some(error),
            }
        }
    }
    match refusal {
        Some(error) => Err(error.into()),
        None => fault(format!("{count} processes above the program")),
    }
}

/// A program that crashes with the canary in its memory.
fn crash(cell: &Cell<'_>, to: &str) -> Tried {
    let dump = cell.work().join("core");
    let pattern = match to {
        "file" => dump.display().to_string(),
        _ => format!("|/usr/bin/tee {}", dump.display()),
    };
    let Some(helper) = &cell.stage.helper else {
        return absent("only root says where core dumps go, and the suite was not started by root");
    };
    let Some(_restored) = helper.core_pattern(&pattern) else {
        return absent("the core pattern cannot be set");
    };
    let mut victim = cell.victim(Options::default(), &["crash"])?;
    // Standard input ends, and with it the victim's patience. The kernel writes the dump before the end.
    let status = victim.launched.status()?;
    if status != 128 + libc::SIGABRT {
        return fault(format!("the victim ended with {status}, not by SIGABRT"));
    }
    match fs::read(&dump) {
        Ok(bytes) => {
            let canary = cell.stage.canary.as_bytes();
            must(bytes.windows(canary.len()).any(|part| part == canary), "the canary is not in the dump")
        }
        Err(error) => Err(error.into()),
    }
}

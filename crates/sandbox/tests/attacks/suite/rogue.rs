//! The reader uses what starts the program itself: it has another program started, takes the program's group
//! where that is given away, or lets the start happen where it is the master (`L6`).

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use std::{env, thread};

use envseal_sandbox::Tier;
use rustix::process::{getegid, getgid};
use rustix::thread::{Gid, set_thread_res_gid};

use super::attack::{Args, Attack, Closed, Miss, NEVER, READER, Tried, fault, must, refused};
use super::cell::{Cell, PATIENCE, Place};
use super::reader::{FILES, finds, get_descriptor, mem, read_proc, trace, vm_read};
use super::supervise::Options;
use super::sys;

/// A program of a namespace of its own sees no other one.
const ANOTHER: Closed = READER.in_namespaces(Some(Tier::None));

/// Whoever owns a user namespace has every capability in it: neither the sealed image closes it, which is the
/// user's own, nor a loader of root, who is nobody there. So Lockdown is refused there, and with the group
/// everything, since the launcher is not root's.
const MASTER: Closed = Closed { private: Some(Tier::Lockdown), ..NEVER.with_group(Some(Tier::None)) };

pub const ATTACKS: &[Attack] = &[
    another(
        "reads-environ-from-another-start",
        "a second program, started as this one is, but in None, reads environ of the first",
        |args| finds(args, &read_proc(args, "environ")?),
    ),
    another("reads-mem-from-another-start", "the same, then /proc/PID/mem", mem),
    another("traces-from-another-start", "the same, then PTRACE_ATTACH", trace),
    another("reads-by-process-vm-from-another-start", "the same, then process_vm_readv(2)", vm_read),
    another("takes-descriptor-from-another-start", "the same, then pidfd_getfd(2)", get_descriptor),
    equal(
        "reads-environ-with-the-same-group",
        "a setgid copy of the reader, to which the program itself gave its group, reads environ",
        FILES,
        |args| with_group(args, |args| finds(args, &read_proc(args, "environ")?)),
    ),
    equal("traces-with-the-same-group", "the same, then PTRACE_ATTACH", READER, |args| {
        with_group(args, trace)
    }),
    equal("reads-by-process-vm-with-the-same-group", "the same, then process_vm_readv(2)", READER, |args| {
        with_group(args, vm_read)
    }),
    Attack::inside(
        "reads-what-it-starts-in-its-namespace",
        "process_vm_readv(2), when the start happens in a user namespace of the reader's, who may read all in it",
        MASTER,
        vm_read,
    )
    .with(|cell| {
        let options = Options { namespace: true, ..Options::default() };
        match cell.victim(options, &[]) {
            Ok(victim) => cell.outside(&victim.arguments()),
            // Nothing was started that could be read.
            Err(Miss::NotGiven(why)) => refused(why),
            Err(miss) => Err(miss),
        }
    }),
];

/// The reader is started as the program is, in the tier that leaves it most.
const fn another(name: &'static str, tries: &'static str, act: fn(&Args) -> Tried) -> Attack {
    Attack::inside(name, tries, ANOTHER, act).with(|cell| {
        let victim = cell.victim(Options::default(), &[])?;
        let place = match cell.place {
            Place::Unprotected => Place::Unprotected,
            Place::In(_, way) => Place::In(Tier::None, way),
        };
        cell.attacker_in(place, &victim.arguments())?.verdict()
    })
}

/// Where the program has the user's own group, the reader has it too.
const fn equal(name: &'static str, tries: &'static str, closed: Closed, act: fn(&Args) -> Tried) -> Attack {
    Attack::inside(name, tries, closed, act).with(|cell: &Cell<'_>| {
        let victim = cell.victim(Options::default(), &["gives-group"])?;
        let mut arguments = victim.arguments();
        let status = fs::read_to_string(format!("/proc/{}/status", victim.pid))?;
        let group = status.lines().find_map(|line| line.strip_prefix("Gid:")?.split_whitespace().next());
        arguments.push(("group", group.unwrap_or_default().to_owned()));
        cell.outside(&arguments)
    })
}

/// The file that says which process waits for a group, and the one that says that it gets none.
const WAITS: &str = "waits";
const NONE: &str = "none";

/// Reads with the group of the program as real, effective and saved one.
fn with_group(args: &Args, read: fn(&Args) -> Tried) -> Tried {
    let group = Gid::from_raw(args.number("group")?);
    if getgid() == group {
        return read(args);
    }
    if getegid() == group {
        set_thread_res_gid(group, group, group)?;
        return read(args);
    }
    let copy = args.path("room", "work/copy")?;
    let Some(child) = sys::fork()? else {
        sys::end(i32::from(make_copy(&copy).is_err()));
    };
    if sys::wait(child)? != 0 {
        return refused("the program could not give its group away");
    }
    let made = fs::metadata(&copy)?;
    must(made.gid() == group.as_raw() && made.mode() & 0o2000 != 0, "the copy has another group")?;
    fault(Command::new(copy).args(env::args_os().skip(1)).exec())
}

/// In a user namespace whose groups somebody else writes (user_namespaces(7)), and with that group: a copy of this
/// program that gives it to whoever executes it.
fn make_copy(copy: &Path) -> Tried {
    let user = rustix::process::getuid().as_raw();
    sys::numbers(libc::SYS_unshare, [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0])?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    let directory = copy.parent().unwrap_or(copy);
    let number = rustix::process::getpid().as_raw_nonzero().to_string();
    // Whole when it is there.
    fs::write(directory.join("number"), number)?;
    fs::rename(directory.join("number"), directory.join(WAITS))?;
    wait_until(|| {
        directory.join(NONE).exists()
            || fs::read_to_string("/proc/self/gid_map").is_ok_and(|map| !map.trim().is_empty())
    });
    let root = Gid::from_raw(0);
    set_thread_res_gid(root, root, root)?;
    fs::copy("/proc/self/exe", copy)?;
    Ok(fs::set_permissions(copy, std::os::unix::fs::PermissionsExt::from_mode(0o2755))?)
}

/// The program's half: gives its group to the process that waits for one, as far as it can.
pub fn give_group() {
    let mut waits = String::new();
    wait_until(|| match fs::read_to_string(WAITS) {
        Ok(number) => {
            waits = number;
            true
        }
        Err(error) => error.kind() != ErrorKind::NotFound,
    });
    let map = format!("0 {} 1", getgid().as_raw());
    if fs::write(format!("/proc/{waits}/gid_map"), map).is_err() {
        let _ = fs::write(NONE, "");
    }
}

fn wait_until(mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() && Instant::now() < until {
        thread::sleep(std::time::Duration::from_millis(2));
    }
}

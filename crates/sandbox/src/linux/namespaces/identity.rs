//! A user namespace in which the program is the user and the group that it was before.
//!
//! Who a namespace maps is written to /proc/PID/uid_map, a file that belongs to root when PID is not
//! dumpable (proc(5)). The watchers never are: their memory is a copy of the supervisor's. So the namespace
//! begins with a process that has no memory at all but nine bytes of code, which waits to be killed. It is
//! gone before the other namespaces are made, so that its files lead nobody into these.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

use rustix::fs::{MemfdFlags, Mode, OFlags, open};
use rustix::io::{Errno, write};
use rustix::process::{Pid, WaitOptions, getegid, geteuid, waitpid};
use rustix::thread::{Timespec, nanosleep, sched_yield};

use super::super::plan::Plan;
use super::super::proc_file::ProcPath;
use super::super::seal::executable_memory;
use super::super::step::Step;
use super::super::strings::Strings;
use super::super::sys::{self, Role, spawn};
use super::super::sys_namespaces::enter_user_namespace;
use super::World;
use super::loader::are_namespaces_handed_out;

/// How often the keeper is asked again at once, and then how many milliseconds it is waited for.
const YIELDS: u32 = 1000;
const SLEEPS: u32 = 1000;

/// Waits for ever: pause(2), and again.
#[cfg(target_arch = "x86_64")]
const CODE: Option<(u16, &[u8])> = Some((62, &[0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7]));

/// Waits for ever: ppoll(2) of nothing without an end, and again.
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
const CODE: Option<(u16, &[u8])> = Some((
    183,
    &[
        0x00, 0x00, 0x80, 0xd2, 0x01, 0x00, 0x80, 0xd2, 0x02, 0x00, 0x80, 0xd2, 0x03, 0x00, 0x80, 0xd2, 0x04,
        0x00, 0x80, 0xd2, 0x28, 0x09, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, 0xf9, 0xff, 0xff, 0x17,
    ],
));

#[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", target_endian = "little"))))]
const CODE: Option<(u16, &[u8])> = None;

/// What is mapped, and the program that waits meanwhile.
pub(in super::super) struct Identity {
    user: CString,
    group: CString,
    keeper: RawFd,
    arguments: Strings,
    environment: Strings,
    failed: AtomicI32,
}

impl Identity {
    /// Of the caller; `keep` gives a descriptor its number in the watchers.
    pub(super) fn new(keep: &mut dyn FnMut(RawFd) -> RawFd) -> io::Result<(Identity, OwnedFd)> {
        let program = program().ok_or(io::ErrorKind::Unsupported)?;
        let keeper = executable_memory(b"envseal-namespace", MemfdFlags::empty())?;
        let mut file = File::from(keeper);
        file.write_all(&program)?;
        let keeper = OwnedFd::from(file);
        let map = |id: u32| CString::new(format!("{id} {id} 1")).map_err(io::Error::from);
        let identity = Identity {
            user: map(geteuid().as_raw())?,
            group: map(getegid().as_raw())?,
            keeper: keep(keeper.as_raw_fd()),
            arguments: Strings::new([[b"envseal-namespace".as_slice()]].into_iter()),
            environment: Strings::new(std::iter::empty::<[&[u8]; 1]>()),
            failed: AtomicI32::new(0),
        };
        Ok((identity, keeper))
    }
}

/// An ELF file (elf(5)) of one segment: both headers and the code.
fn program() -> Option<Vec<u8>> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let (machine, code) = CODE?;
    let size = HEADERS + code.len() as u64;
    let mut bytes = Vec::with_capacity(size as usize);
    // e_ident: 64 bits, little-endian, version 1.
    bytes.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // e_type (ET_EXEC), e_machine, e_version; e_entry, e_phoff, e_shoff.
    bytes.extend([2_u16, machine, 1, 0].into_iter().flat_map(u16::to_le_bytes));
    bytes.extend([BASE + HEADERS, 64, 0].into_iter().flat_map(u64::to_le_bytes));
    // e_flags; e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx.
    bytes.extend([0_u16, 0, 64, 56, 1, 0, 0, 0].into_iter().flat_map(u16::to_le_bytes));
    // p_type (PT_LOAD), p_flags (read, execute); p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align.
    bytes.extend([1_u32, 5].into_iter().flat_map(u32::to_le_bytes));
    bytes.extend([0, BASE, BASE, size, size, 0x1000].into_iter().flat_map(u64::to_le_bytes));
    bytes.extend(code);
    Some(bytes)
}

/// Becomes the process that waits.
struct Keeper;

impl Role for Keeper {
    // That of the inner watcher, which is not there yet.
    const STACK: usize = 1;

    fn flags(_: &Plan) -> i32 {
        libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_NEWUSER | libc::CLONE_PIDFD | libc::SIGCHLD
    }

    fn run(plan: &Plan) -> i32 {
        let Some(world) = &plan.world else { return 1 };
        let identity = &world.identity;
        let error =
            sys::execute(identity.keeper, identity.arguments.as_ptr(), identity.environment.as_ptr(), [0; 2]);
        identity.failed.store(error.raw_os_error().unwrap_or(libc::EIO), SeqCst);
        1
    }
}

/// Enters a new user namespace, with every capability in it. Gives the process that has to be reaped.
pub(in super::super) fn become_owner(plan: &Plan, world: &World) -> Result<Option<Pid>, (Step, i32)> {
    let raw = |error: &io::Error| error.raw_os_error().unwrap_or(0);
    let (pid, handle) = spawn::<Keeper>(plan).map_err(|error| (Step::Namespaces, raw(&error)))?;
    let entered = match (world.identity.failed.load(SeqCst), handle) {
        (0, Some(handle)) => adopt(pid, handle.as_fd(), world),
        (0, None) => Err(Errno::NOSYS),
        (errno, _) => Err(Errno::from_raw_os_error(errno)),
    };
    sys::kill(pid, libc::SIGKILL);
    let keeper = Pid::from_raw(pid);
    match entered {
        Ok(()) => Ok(keeper),
        Err(error) => {
            reap(keeper);
            Err((Step::Identity, error.raw_os_error()))
        }
    }
}

/// Waits for the end of what [`become_owner`] killed.
pub(super) fn reap(keeper: Option<Pid>) {
    while let Err(Errno::INTR) = waitpid(keeper, WaitOptions::empty()) {}
}

fn adopt(pid: i32, handle: BorrowedFd<'_>, world: &World) -> rustix::io::Result<()> {
    let identity = &world.identity;
    // The order is the kernel's: a group can be mapped once setgroups(2) is given up (user_namespaces(7)).
    let files = [
        ("setgroups", b"deny".as_slice()),
        ("uid_map", identity.user.as_bytes()),
        ("gid_map", identity.group.as_bytes()),
    ];
    for (name, text) in files {
        let path = ProcPath::of(pid, name);
        write(&open_once_dumpable(&path)?, text)?;
    }
    if world.loader.is_some() {
        let handed_out = are_namespaces_handed_out(ProcPath::of(pid, "ns/user").as_c_str());
        world.handed_out.store(handed_out, SeqCst);
    }
    enter_user_namespace(handle).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// The process runs on, for its creator, from the moment when the old memory is given up; dumpable it is a
/// few instructions later.
fn open_once_dumpable(path: &ProcPath) -> rustix::io::Result<OwnedFd> {
    let mut turn = 0;
    loop {
        let opened = open(path.as_c_str(), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        if opened.as_ref().err() != Some(&Errno::ACCESS) || turn == YIELDS + SLEEPS {
            return opened;
        }
        if turn < YIELDS {
            sched_yield();
        } else {
            let _ = nanosleep(&Timespec { tv_sec: 0, tv_nsec: 1_000_000 });
        }
        turn += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    #[test]
    fn the_program_that_waits_is_one_that_the_kernel_executes() {
        let Some(bytes) = program() else { return };
        assert_eq!(bytes.len(), 64 + 56 + CODE.map_or(0, |(_, code)| code.len()));
        let room = tempfile::tempdir().expect("a directory");
        let path = room.path().join("keeper");
        std::fs::write(&path, bytes).expect("a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("executable");
        let mut child = Command::new(&path).spawn().expect("executed");
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(child.try_wait().expect("asked").is_none(), "it waits");
        child.kill().expect("killed");
        assert_eq!(child.wait().expect("reaped").signal(), Some(9));
    }
}

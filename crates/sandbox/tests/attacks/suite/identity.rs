//! The program takes another group, or makes a file that gives one: either would open what a private group
//! closes. Refused in every tier.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use envseal_sandbox::Tier;

use super::attack::{Args, Attack, Closed, Miss, Tried, absent, from, must};
use super::cell::Cell;
use super::sys::{self, Arg};
use super::{kernel, uring};

const CLOSED: Closed = from(Tier::None);
const AT: usize = libc::AT_FDCWD as usize;

pub const ATTACKS: &[Attack] = &[
    same("sets-same-group", "setgid(2) to the group that it has: changes nothing", |_| {
        set_group(libc::SYS_setgid, 0)
    }),
    same("sets-same-group-by-setregid", "setregid(2), likewise", |_| set_group(libc::SYS_setregid, 0)),
    same("sets-same-group-by-setresgid", "setresgid(2), likewise", |_| set_group(libc::SYS_setresgid, 0)),
    Attack::inside("sets-same-group-by-setfsgid", "setfsgid(2), likewise", CLOSED, |_| {
        set_group(libc::SYS_setfsgid, 0)
    }),
    same(
        "sets-same-group-with-high-bits",
        "setgid(2) with bits above the 32 that the kernel looks at",
        |_| set_group(libc::SYS_setgid, HIGH),
    ),
    same("sets-same-group-with-high-bits-by-setregid", "setregid(2), likewise", |_| {
        set_group(libc::SYS_setregid, HIGH)
    }),
    same("sets-same-group-with-high-bits-by-setresgid", "setresgid(2), likewise", |_| {
        set_group(libc::SYS_setresgid, HIGH)
    }),
    Attack::inside("sets-group-by-setfsgid", "setfsgid(2), likewise", CLOSED, |_| {
        set_group(libc::SYS_setfsgid, HIGH)
    }),
    Attack::inside("sets-group-by-old-entry", "setgid32 by int 0x80", CLOSED, |_| {
        kernel::old_entry(214, rustix::process::getgid().as_raw())
    }),
    makes("marks-program", "chmod 02755", |args| {
        let file = &made(args)?;
        fs::write(file, "")?;
        old(sys::CHMOD, &mut [Arg::Text(&text(file)?), Arg::Number(0o2755)])
    }),
    makes("marks-program-by-fchmod", "fchmod 02755", |args| {
        let file = &made(args)?;
        let open = fs::File::create(file)?;
        call(libc::SYS_fchmod, &mut [Arg::Number(open.as_raw_fd() as usize), Arg::Number(0o2755)])
    }),
    makes("marks-program-by-fchmodat", "fchmodat 02755", |args| {
        let file = &made(args)?;
        fs::write(file, "")?;
        call(libc::SYS_fchmodat, &mut [Arg::Number(AT), Arg::Text(&text(file)?), Arg::Number(0o2755)])
    }),
    makes("marks-program-by-fchmodat2", "fchmodat2 02755", |args| {
        let file = &made(args)?;
        fs::write(file, "")?;
        let mut arguments = [Arg::Number(AT), Arg::Text(&text(file)?), Arg::Number(0o2755), Arg::Number(0)];
        call(libc::SYS_fchmodat2, &mut arguments)
    }),
    makes("marks-with-high-half", "chmod 02755 with bits above the 32 that the kernel looks at", |args| {
        let file = &made(args)?;
        fs::write(file, "")?;
        old(sys::CHMOD, &mut [Arg::Text(&text(file)?), Arg::Number(1 << 32 | 0o2755)])
    }),
    makes("makes-marked-file", "open O_CREAT 02755", |args| {
        let file = &made(args)?;
        let flags = libc::O_CREAT | libc::O_WRONLY;
        old(sys::OPEN, &mut [Arg::Text(&text(file)?), Arg::Number(flags as usize), Arg::Number(0o2755)])
    }),
    makes("makes-marked-file-by-openat", "openat O_CREAT 02755", |args| {
        let file = &made(args)?;
        let flags = (libc::O_CREAT | libc::O_WRONLY) as usize;
        let mut arguments =
            [Arg::Number(AT), Arg::Text(&text(file)?), Arg::Number(flags), Arg::Number(0o2755)];
        call(libc::SYS_openat, &mut arguments)
    }),
    makes("makes-marked-file-by-openat2", "openat2 O_CREAT 02755", |args| {
        let file = &made(args)?;
        let mut how = [0_u8; 24];
        how[..8].copy_from_slice(&((libc::O_CREAT | libc::O_WRONLY) as u64).to_ne_bytes());
        how[8..16].copy_from_slice(&0o2755_u64.to_ne_bytes());
        let mut arguments = [Arg::Number(AT), Arg::Text(&text(file)?), Arg::Bytes(&mut how), Arg::Number(24)];
        call(libc::SYS_openat2, &mut arguments)
    }),
    makes("makes-marked-file-by-creat", "creat 02755", |args| {
        let file = &made(args)?;
        old(sys::CREAT, &mut [Arg::Text(&text(file)?), Arg::Number(0o2755)])
    }),
    makes("makes-marked-file-without-name", "O_TMPFILE 02755, then linkat(2)", |args| {
        let file = &made(args)?;
        let directory = file.parent().unwrap_or(file);
        let unnamed =
            fs::OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).mode(0o2755).open(directory)?;
        let from = CString::new(format!("/proc/self/fd/{}", unnamed.as_raw_fd())).map_err(io::Error::from)?;
        let follow = Arg::Number(libc::AT_SYMLINK_FOLLOW as usize);
        call(
            libc::SYS_linkat,
            &mut [Arg::Number(AT), Arg::Text(&from), Arg::Number(AT), Arg::Text(&text(file)?), follow],
        )
    }),
    makes("makes-marked-node", "mknod S_IFREG 02644", |args| {
        let file = &made(args)?;
        let mode = (libc::S_IFREG | 0o2644) as usize;
        old(sys::MKNOD, &mut [Arg::Text(&text(file)?), Arg::Number(mode), Arg::Number(0)])
    }),
    makes("makes-marked-directory", "mkdir 02755, then chmod 02755", |args| {
        let file = &made(args)?;
        old(sys::MKDIR, &mut [Arg::Text(&text(file)?), Arg::Number(0o2755)])?;
        old(sys::CHMOD, &mut [Arg::Text(&text(file)?), Arg::Number(0o2755)])
    }),
    makes("makes-marked-file-by-io-uring", "IORING_OP_OPENAT O_CREAT 02755", |args| {
        let file = &made(args)?;
        uring::open(file, libc::O_CREAT | libc::O_WRONLY, 0o2755).map(drop)
    }),
    makes("makes-marked-file-by-install", "install -m 2755", |args| {
        let file = &made(args)?;
        run(Command::new("install").args(["-m", "2755", "/bin/true"]).arg(file))
    }),
    makes("makes-marked-file-by-tar", "tar -xp of an archive with a setgid program", |args| {
        let file = &made(args)?;
        let directory = file.parent().unwrap_or(file);
        run(Command::new("tar").arg("-xpf").arg(directory.join("../archive")).arg("-C").arg(directory))
    })
    .with(|cell| {
        let made = cell.room.join("made");
        fs::write(&made, "")?;
        fs::set_permissions(&made, fs::Permissions::from_mode(0o2755))?;
        let mut tar = Command::new("tar");
        run(tar.arg("-cf").arg(cell.room.join("archive")).arg("-C").arg(&cell.room).arg("made"))?;
        is_made(cell)
    }),
    Attack::inside("uses-setuid-program", "passwd -S, which reads what only root may", CLOSED, |args| {
        must(password_state()? == args.text("state")?, "without its power it knows nothing of the password")
    })
    .with(|cell| match fs::metadata("/usr/bin/passwd") {
        Ok(found) if found.mode() & 0o4000 != 0 => cell.act(&[("state", password_state()?)]),
        _ => absent("no setuid passwd"),
    }),
];

/// What passwd says of the user's password: in hexadecimal, so that it is one word.
fn password_state() -> Result<String, Miss> {
    let output = Command::new("passwd").arg("-S").env("LC_ALL", "C").output()?;
    Ok(output.stdout.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Where the file is made.
fn made(args: &Args) -> Result<PathBuf, Miss> {
    args.path("room", "work/made")
}

/// An attack that makes a setgid file; the harness looks whether it is one.
const fn makes(name: &'static str, tries: &'static str, act: fn(&Args) -> Tried) -> Attack {
    Attack::inside(name, tries, CLOSED, act).with(is_made)
}

fn is_made(cell: &Cell<'_>) -> Tried {
    cell.act(&[])?;
    let mode = fs::metadata(cell.work().join("made"))?.mode();
    must(mode & 0o2000 != 0, "it was made without the mark")
}

/// What `make` asks for at each process.
const fn same(name: &'static str, tries: &'static str, act: fn(&Args) -> Tried) -> Attack {
    Attack::inside(name, tries, from(Tier::Lockdown), act)
}

/// The kernel ignores it, so that every ordinary user may; a filter that takes it for the same would let
/// more through than it looked at.
const HIGH: usize = 1 << 32;

/// To the group that the process has; as many arguments as the call takes are read.
fn set_group(call: libc::c_long, high: usize) -> Tried {
    let gid = rustix::process::getgid().as_raw() as usize | high;
    Ok(sys::numbers(call, [gid, gid, gid, 0, 0]).map(drop)?)
}

fn call(number: libc::c_long, arguments: &mut [Arg<'_>]) -> Tried {
    Ok(sys::call(number, arguments).map(drop)?)
}

/// A call that not every architecture has.
fn old(number: Option<libc::c_long>, arguments: &mut [Arg<'_>]) -> Tried {
    match number {
        Some(number) => call(number, arguments),
        None => absent("this architecture has no such call"),
    }
}

fn run(command: &mut Command) -> Tried {
    let output = command.output()?;
    must(output.status.success(), String::from_utf8_lossy(&output.stderr).trim())
}

fn text(path: &Path) -> Result<CString, Miss> {
    Ok(CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)?)
}

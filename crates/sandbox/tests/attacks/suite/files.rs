//! The program is after a file beneath a hidden path, which belongs to the same user (`H2`).

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use envseal_sandbox::Tier;

use super::attack::{Args, Attack, Closed, Miss, NEVER, Tried, also, from, must};
use super::cell::Cell;
use super::sys::{self, Arg};
use super::uring;

const CLOSED: Closed = from(Tier::Hardened);
/// Landlock judges neither the attributes of a file nor who looks at them; with namespaces there is no such
/// file.
const ATTRIBUTES: Closed = NEVER.in_namespaces(Some(Tier::Hardened));
/// With namespaces there is no such process; with a private group it is one of another group.
const OUTSIDE: Closed = from(Tier::Hardened).in_namespaces(Some(Tier::None)).with_group(Some(Tier::None));
/// In Hardened, what is above a hidden path may be listed, and with it what is beneath; and the attributes
/// that Lockdown's list of calls leaves out may be set.
const NAMES: Closed = from(Tier::Lockdown).in_namespaces(Some(Tier::Hardened));

pub const ATTACKS: &[Attack] = &[
    Attack::inside("reads-hidden-file", "open(2) for reading", CLOSED, |args| read(args, &secret(args)?)),
    changes("writes-hidden-file", "open(2) for writing", |args| {
        Ok(OpenOptions::new().write(true).open(secret(args)?)?.write_all(b"!")?)
    }),
    changes("truncates-hidden-file", "truncate(2)", |args| {
        let path = c_path(&secret(args)?)?;
        Ok(sys::call(libc::SYS_truncate, &mut [Arg::Text(&path), Arg::Number(1)]).map(drop)?)
    }),
    changes("removes-hidden-file", "unlink(2)", |args| Ok(fs::remove_file(secret(args)?)?)),
    Attack::inside("makes-file-in-hidden-directory", "open(2) of a new file", CLOSED, |args| {
        Ok(File::create_new(args.path("room", "vault/new")?).map(drop)?)
    }),
    Attack::inside("lists-hidden-directory", "getdents(2): names can be seen", NAMES, |args| {
        let count = fs::read_dir(args.path("room", "vault")?)?.count();
        must(count > 0, "the directory is empty")
    }),
    changes("moves-hidden-file-out", "rename(2) of the file into a directory that may be written", |args| {
        let to = args.path("room", "work/moved")?;
        also(fs::rename(secret(args)?, &to), &[libc::EXDEV])?;
        read(args, &to)
    }),
    changes("moves-hidden-directory", "rename(2) of the hidden directory", |args| {
        let to = args.path("room", "work/vault")?;
        also(fs::rename(args.path("room", "vault")?, &to), &[libc::EXDEV, libc::EBUSY])?;
        read(args, &to.join("secret"))
    }),
    changes("moves-directory-above", "rename(2) of the directory above the hidden one", |args| {
        let (from, to) = (args.path("room", "")?, args.path("stage", "rooms/moved")?);
        let from = Path::new(from.as_os_str().to_str().unwrap_or_default().trim_end_matches('/')).to_owned();
        also(fs::rename(&from, &to), &[libc::EXDEV, libc::EBUSY])?;
        let found = read(args, &to.join("vault/secret"));
        // Back, for whoever cleans up.
        fs::rename(&to, &from)?;
        found
    }),
    Attack::inside(
        "links-hidden-file",
        "link(2) into a directory that may be written, and read there",
        CLOSED,
        |args| {
            let to = args.path("room", "work/link")?;
            also(fs::hard_link(secret(args)?, &to), &[libc::EXDEV])?;
            read(args, &to)
        },
    ),
    Attack::inside(
        "follows-symlink-to-hidden-file",
        "symlink(2) to the file, and read through it",
        CLOSED,
        |args| {
            let to = args.path("room", "work/link")?;
            std::os::unix::fs::symlink(secret(args)?, &to)?;
            read(args, &to)
        },
    ),
    Attack::inside("reads-hidden-file-by-cwd", "through /proc/self/cwd", CLOSED, |args| {
        std::env::set_current_dir(args.path("room", "")?)?;
        read(args, Path::new("/proc/self/cwd/vault/secret"))
    }),
    Attack::inside("reads-hidden-file-by-root", "through /proc/self/root", CLOSED, |args| {
        read(args, &beneath("/proc/self/root", &secret(args)?))
    }),
    Attack::inside("reads-hidden-file-by-root-outside", "through /proc/OUTSIDE/root", OUTSIDE, |args| {
        read(args, &beneath(&format!("/proc/{}/root", args.text("outside")?), &secret(args)?))
    }),
    Attack::inside("reads-hidden-file-by-cwd-outside", "through /proc/OUTSIDE/cwd", OUTSIDE, |args| {
        let secret = secret(args)?;
        let rest = secret.strip_prefix(args.text("stage")?).unwrap_or(&secret);
        read(args, &Path::new(&format!("/proc/{}/cwd", args.text("outside")?)).join(rest))
    }),
    Attack::inside("reopens-hidden-file", "O_PATH, then /proc/self/fd/N", CLOSED, |args| {
        let file = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(secret(args)?)?;
        read(args, Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())))
    }),
    Attack::inside(
        "reads-hidden-file-by-directory",
        "openat(2) from a descriptor of the hidden directory",
        CLOSED,
        |args| {
            let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
            let vault = rustix::fs::open(args.path("room", "vault")?, flags, rustix::fs::Mode::empty())?;
            let file =
                rustix::fs::openat(vault, "secret", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())?;
            contents(args, File::from(file))
        },
    ),
    Attack::inside(
        "reads-hidden-file-by-openat2",
        "openat2(2), whose mode lies in memory",
        from(Tier::None),
        |args| {
            let (flags, mode) = (rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty());
            let any = rustix::fs::ResolveFlags::empty();
            let file = rustix::fs::openat2(rustix::fs::CWD, secret(args)?, flags, mode, any)?;
            contents(args, File::from(file))
        },
    ),
    // The rings are refused in every tier, since a request could make a setgid file.
    Attack::inside("reads-hidden-file-by-io-uring", "IORING_OP_OPENAT", from(Tier::None), |args| {
        contents(args, uring::open(&secret(args)?, libc::O_RDONLY, 0)?)
    }),
    Attack::inside("sets-up-io-uring", "io_uring_setup(2)", from(Tier::None), |_| uring::set_up().map(drop)),
    Attack::inside("reads-hidden-file-by-another-program", "cat(1)", CLOSED, |args| {
        let output = Command::new("/bin/cat").arg(secret(args)?).output()?;
        must(output.stdout == args.text("canary")?.as_bytes(), String::from_utf8_lossy(&output.stderr).trim())
    }),
    Attack::inside(
        "executes-hidden-file",
        "execve(2) of a program beneath the hidden path",
        CLOSED,
        |args| {
            let status = Command::new(args.path("room", "vault/program")?).status()?;
            must(status.success(), "the program failed")
        },
    )
    .with(|cell| {
        fs::copy("/bin/true", cell.room.join("vault/program"))?;
        cell.act(&[])
    }),
    Attack::inside("binds-socket-in-hidden-directory", "bind(2) of a socket", CLOSED, |args| {
        Ok(std::os::unix::net::UnixListener::bind(args.path("room", "vault/socket")?).map(drop)?)
    }),
    Attack::inside("sees-hidden-file", "stat(2): name and size", ATTRIBUTES, |args| {
        must(fs::metadata(secret(args)?)?.len() > 0, "no size")
    }),
    changes_attribute("changes-hidden-mode", "chmod(2)", NAMES, |args| {
        Ok(fs::set_permissions(secret(args)?, fs::Permissions::from_mode(0o640))?)
    }),
    changes_attribute("touches-hidden-file", "utimensat(2)", NAMES, |args| {
        let path = c_path(&secret(args)?)?;
        let mut arguments =
            [Arg::Number(libc::AT_FDCWD as usize), Arg::Text(&path), Arg::Number(0), Arg::Number(0)];
        Ok(sys::call(libc::SYS_utimensat, &mut arguments).map(drop)?)
    }),
    changes_attribute("marks-hidden-file", "setxattr(2)", NAMES, |args| {
        let path = c_path(&secret(args)?)?;
        let mut arguments = [
            Arg::Text(&path),
            Arg::Text(c"user.envseal"),
            Arg::Bytes(&mut [1]),
            Arg::Number(1),
            Arg::Number(0),
        ];
        Ok(sys::call(libc::SYS_setxattr, &mut arguments).map(drop)?)
    }),
    Attack::inside(
        "watches-hidden-directory",
        "inotify(7): who changes what there, and when",
        ATTRIBUTES,
        |args| {
            let flags = rustix::fs::inotify::CreateFlags::NONBLOCK;
            let watcher = rustix::fs::inotify::init(flags)?;
            rustix::fs::inotify::add_watch(
                &watcher,
                args.path("room", "vault")?,
                rustix::fs::inotify::WatchFlags::ALL_EVENTS,
            )?;
            watches();
            io::stdin().read_to_end(&mut Vec::new())?;
            also(rustix::io::read(&watcher, &mut [0_u8; 4096]).map_err(io::Error::from), &[libc::EAGAIN])
                .map(drop)
        },
    )
    .with(|cell| {
        let mut launched = cell.attacker(Default::default(), &[])?;
        if launched.line(super::cell::PATIENCE)?.is_some() {
            // The kernel tells of it before this returns; then standard input ends.
            fs::write(cell.room.join("vault/new"), "")?;
        }
        launched.verdict()
    }),
    Attack::inside(
        "inherits-descriptor",
        "read a file that the supervisor left open across executions",
        from(Tier::None),
        |args| {
            for number in 3..1024 {
                let Ok(file) = sys::inherited(number) else { continue };
                if contents(args, File::from(file)).is_ok() {
                    return Ok(());
                }
            }
            must(false, "no descriptor of that file")
        },
    )
    .with(|cell| {
        let leak = Some(cell.room.join("vault/secret"));
        cell.act_with(super::supervise::Options { leak, ..Default::default() }, &[])
    }),
];

/// An attack that leaves a trace: what the program sees may be a copy, so the harness looks.
const fn changes(name: &'static str, tries: &'static str, act: fn(&Args) -> Tried) -> Attack {
    Attack::inside(name, tries, CLOSED, act).with(|cell| {
        cell.act(&[])?;
        let text = fs::read_to_string(cell.room.join("vault/secret"));
        // A moved directory was put back.
        let moved = cell.attack.name == "moves-directory-above";
        must(moved || text.map_or(true, |text| text != cell.stage.canary), "nothing changed outside")
    })
}

const fn changes_attribute(
    name: &'static str,
    tries: &'static str,
    closed: Closed,
    act: fn(&Args) -> Tried,
) -> Attack {
    Attack::inside(name, tries, closed, act).with(|cell: &Cell<'_>| {
        use std::os::linux::fs::MetadataExt;
        let look = || {
            fs::metadata(cell.room.join("vault/secret"))
                .map(|found| (found.st_ctime(), found.st_ctime_nsec()))
        };
        let before = look()?;
        cell.act(&[])?;
        must(look()? != before, "nothing changed outside")
    })
}

#[allow(clippy::print_stdout, reason = "the harness reads it")]
fn watches() {
    println!("watching");
}

fn secret(args: &Args) -> Result<PathBuf, Miss> {
    args.path("room", "vault/secret")
}

fn read(args: &Args, path: &Path) -> Tried {
    contents(args, File::open(path)?)
}

fn contents(args: &Args, mut file: File) -> Tried {
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    must(text == args.text("canary")?.as_bytes(), "another file is there")
}

fn beneath(root: &str, path: &Path) -> PathBuf {
    format!("{root}{}", path.display()).into()
}

fn c_path(path: &Path) -> Result<CString, Miss> {
    Ok(CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)?)
}

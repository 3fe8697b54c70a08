//! One process, no second program, a bounded share of the machine, and only the files that were named
//! (`L1`, `L3`, `L5`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use envseal_sandbox::Tier;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::attack::{Attack, Closed, Tried, absent, also, from, must};
use super::cell::{Cell, PATIENCE};
use super::supervise::Options;
use super::sys;

const CLOSED: Closed = from(Tier::Lockdown);

pub const ATTACKS: &[Attack] = &[
    Attack::inside("forks", "fork(2)", CLOSED, |_| match sys::fork()? {
        None => sys::end(0),
        Some(pid) => Ok(sys::wait(pid).map(drop)?),
    }),
    Attack::inside("forks-by-vfork", "clone(2) as vfork(2) does it", CLOSED, |_| {
        Ok(sys::wait(sys::vfork()?).map(drop)?)
    }),
    Attack::inside("becomes-another-program", "execve(2) of /bin/true", CLOSED, |_| {
        Err(Command::new("/bin/true").exec().into())
    }),
    Attack::inside("becomes-itself", "execve(2) of /proc/self/exe", CLOSED, |_| {
        Err(Command::new("/proc/self/exe").arg("--list").stdout(std::process::Stdio::null()).exec().into())
    }),
    Attack::inside("runs-another-program", "posix_spawn(3) of /bin/true", CLOSED, |_| {
        must(Command::new("/bin/true").status()?.success(), "it failed")
    }),
    Attack::inside("runs-from-memory", "memfd_create(2), fexecve(3)", CLOSED, |_| {
        let mut file = File::from(rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC)?);
        io::copy(&mut File::open("/bin/true")?, &mut file)?;
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        Err(Command::new(path).exec().into())
    }),
    Attack::inside("runs-by-loader", "ld.so as the loader of a second program", CLOSED, |_| {
        let loaders = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
        match loaders.into_iter().find(|loader| Path::new(loader).exists()) {
            Some(loader) => Err(Command::new(loader).arg("/bin/true").exec().into()),
            None => absent("no loader of glibc"),
        }
    }),
    Attack::inside("multiplies", "200 children at once", CLOSED, |_| {
        let mut children = Vec::new();
        let mut result = Ok(());
        for _ in 0..200 {
            match sys::fork() {
                Ok(None) => {
                    thread::sleep(2 * PATIENCE);
                    sys::end(0)
                }
                Ok(Some(pid)) => children.push(pid),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        for pid in children {
            let _ = rustix::process::Pid::from_raw(pid)
                .map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
            let _ = sys::wait(pid);
        }
        also(result, &[libc::EAGAIN])
    }),
    Attack::inside("multiplies-threads", "5,000 threads at once", CLOSED, |_| {
        let wait = std::sync::Arc::new(std::sync::Barrier::new(5001));
        for _ in 0..5000 {
            let wait = std::sync::Arc::clone(&wait);
            let made = thread::Builder::new().stack_size(16 * 1024).spawn(move || wait.wait());
            also(made.map(drop), &[libc::EAGAIN, libc::ENOMEM])?;
        }
        wait.wait();
        Ok(())
    }),
    Attack::inside("takes-memory", "map 5 GiB of memory", CLOSED, |_| {
        also(sys::map_private(5 << 30).map(drop), &[libc::ENOMEM])
    }),
    Attack::inside(
        "raises-its-limits",
        "setrlimit(2) RLIMIT_DATA to what it was, then 5 GiB",
        CLOSED,
        |_| {
            let none = Rlimit { current: None, maximum: None };
            setrlimit(Resource::Data, none)?;
            also(sys::map_private(5 << 30).map(drop), &[libc::ENOMEM])
        },
    ),
    Attack::inside("lists-root", "list /", CLOSED, |_| must(fs::read_dir("/")?.count() > 0, "it is empty")),
    Attack::inside("reads-home", "read a file of the home directory", CLOSED, |args| {
        Ok(fs::read(args.path("stage", "home/notes")?).map(drop)?)
    }),
    Attack::inside("reads-host-name", "read /etc/hostname", CLOSED, |_| {
        Ok(fs::read("/etc/hostname").map(drop)?)
    }),
    Attack::inside("reads-the-machine", "find a listener outside in /proc/net/tcp", CLOSED, |args| {
        let port = format!("0100007F:{:04X}", args.number::<u16>("tcp")?);
        must(fs::read_to_string("/proc/net/tcp")?.contains(&port), "it tells of another network")
    }),
    writes("writes-home", "make a file in the home directory", |cell| {
        leaves(cell, cell.stage.home().join("left"))
    }),
    writes("writes-tmp", "make a file in /tmp", |cell| leaves(cell, left_in(cell, "/tmp"))),
    writes("writes-var-tmp", "make a file in /var/tmp", |cell| leaves(cell, left_in(cell, "/var/tmp"))),
    Attack::inside(
        "writes-directory",
        "make a file in the working directory, which was not named",
        CLOSED,
        |_| Ok(File::create("left").map(drop)?),
    )
    .with(|cell| {
        let directory = cell.room.join("here");
        fs::create_dir(&directory)?;
        cell.act_with(Options { directory: Some(directory.clone()), ..Options::default() }, &[])?;
        must(directory.join("left").exists(), "it was made, but nobody outside sees it")
    }),
    Attack::inside("changes-home", "truncate(2) a file of the home directory", CLOSED, |args| {
        Ok(OpenOptions::new().write(true).open(args.path("room", "file")?)?.set_len(0)?)
    })
    .with(|cell| {
        fs::write(cell.room.join("file"), "text")?;
        cell.act(&[])?;
        must(fs::metadata(cell.room.join("file"))?.len() == 0, "nothing changed outside")
    }),
    Attack::inside("changes-mode-in-home", "chmod(2) a file of the home directory", CLOSED, |args| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        Ok(fs::set_permissions(args.path("room", "file")?, mode)?)
    })
    .with(|cell| {
        super::stage::write_file(&cell.room.join("file"), "text", 0o644)?;
        cell.act(&[])?;
        let found = fs::metadata(cell.room.join("file"))?.permissions();
        must(std::os::unix::fs::PermissionsExt::mode(&found) & 0o777 == 0o600, "nothing changed outside")
    }),
    Attack::inside(
        "opens-another-terminal",
        "read the terminal of another program, where a passphrase may be typed",
        from(Tier::Hardened),
        |args| Ok(OpenOptions::new().read(true).write(true).open(args.text("terminal")?).map(drop)?),
    )
    .with(|cell| {
        let flags = rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY;
        let master = rustix::pty::openpt(flags)?;
        rustix::pty::unlockpt(&master)?;
        let name = rustix::pty::ptsname(&master, Vec::new())?;
        cell.act(&[("terminal", name.to_string_lossy().into_owned())])
    }),
];

const fn writes(name: &'static str, tries: &'static str, script: fn(&Cell<'_>) -> Tried) -> Attack {
    Attack::inside(name, tries, CLOSED, |args| Ok(File::create_new(args.text("file")?)?.write_all(b"left")?))
        .with(script)
}

/// The program makes the file, and the harness looks for it outside.
fn leaves(cell: &Cell<'_>, file: PathBuf) -> Tried {
    let tried = cell.act(&[("file", file.display().to_string())]);
    let seen = fs::remove_file(&file).is_ok();
    tried.and_then(|()| must(seen, "it was made, but nobody outside sees it"))
}

fn left_in(cell: &Cell<'_>, directory: &str) -> PathBuf {
    let room = cell.room.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Path::new(directory).join(format!("envseal-attack-{}-{room}", std::process::id()))
}

//! The processes between the harness and a program: `plain`, which starts it without protection, and
//! `supervise`, which starts it in a tier. Both take the same options, so that an attack is prepared once.

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio as Std};
use std::{env, fs};

use envseal_sandbox::launch::{Launcher, start_through};
use envseal_sandbox::{Guarantee, Image, Spec, StartError, Stdio, Tier, start, tty};

use super::attack::Way;
use super::sys;

/// The start failed closed.
pub const NOT_GIVEN: u8 = 20;
/// Anything else went wrong with it.
pub const FAILED: u8 = 21;

/// How a program is started.
#[derive(Debug, Default, Clone)]
pub struct Options {
    /// Variables beside those that every program of the attacks has.
    pub env: Vec<(String, String)>,
    /// Variables that the supervisor has, but does not declare.
    pub own_env: Vec<(String, String)>,
    pub hide: Vec<PathBuf>,
    pub write: Vec<PathBuf>,
    pub read: Vec<PathBuf>,
    pub directory: Option<PathBuf>,
    /// The program gets a terminal of its own, which becomes its standard input.
    pub terminal: bool,
    /// Between the look at the program and its start, this is done to its path, with the file after it.
    pub swap: Option<(String, PathBuf)>,
    /// Levels of plain starts above the program, where it is not protected.
    pub levels: u32,
    /// The supervisor leaves its own descriptor of this file open across executions.
    pub leak: Option<PathBuf>,
    /// The start happens in a user namespace of the starter's own.
    pub namespace: bool,
    /// Says `pid=N` and `given=...` before anything else.
    pub tell: bool,
}

impl Options {
    /// As arguments of `plain` and `supervise`.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut all: Vec<OsString> = Vec::new();
        let mut add = |name: &str, value: &dyn AsRef<std::ffi::OsStr>| {
            let mut text = OsString::from(format!("{name}="));
            text.push(value.as_ref());
            all.push(text);
        };
        self.env.iter().for_each(|(name, value)| add("env", &format!("{name}={value}")));
        self.hide.iter().for_each(|path| add("hide", path));
        self.write.iter().for_each(|path| add("write", path));
        self.read.iter().for_each(|path| add("read", path));
        self.directory.iter().for_each(|path| add("directory", path));
        self.leak.iter().for_each(|path| add("leak", path));
        if let Some((how, with)) = &self.swap {
            add("swap", &format!("{how}:{}", with.display()));
        }
        add("levels", &self.levels.to_string());
        if self.terminal {
            add("terminal", &"yes");
        }
        if self.namespace {
            add("namespace", &"yes");
        }
        if self.tell {
            add("tell", &"yes");
        }
        all
    }

    fn read(arguments: &[String]) -> Options {
        let mut options = Options::default();
        for (name, value) in arguments.iter().filter_map(|text| text.split_once('=')) {
            match name {
                "env" => options.env.extend(value.split_once('=').map(|(n, v)| (n.into(), v.into()))),
                "hide" => options.hide.push(value.into()),
                "write" => options.write.push(value.into()),
                "read" => options.read.push(value.into()),
                "directory" => options.directory = Some(value.into()),
                "leak" => options.leak = Some(value.into()),
                "swap" => options.swap = value.split_once(':').map(|(how, with)| (how.into(), with.into())),
                "levels" => options.levels = value.parse().unwrap_or_default(),
                "terminal" => options.terminal = true,
                "namespace" => options.namespace = true,
                "tell" => options.tell = true,
                _ => {}
            }
        }
        options
    }
}

/// `plain OPTIONS -- PROGRAM ARGS` and `supervise TIER WAY OPTIONS -- PROGRAM ARGS`.
pub fn main(is_plain: bool, arguments: &[String]) -> ExitCode {
    let place = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    let (options, command) =
        (Options::read(&arguments[..place]), arguments.get(place + 1..).unwrap_or_default());
    let Some((program, rest)) = command.split_first() else {
        return failed("no program");
    };
    let program = Path::new(program);
    if options.namespace
        && let Err(error) = enter_namespace()
    {
        return failed(error);
    }
    let _leaked = options.leak.as_ref().map(|path| leak(path));
    if is_plain {
        return plain(&options, program, rest);
    }
    let parsed = arguments.first().zip(arguments.get(1));
    let parsed = parsed.and_then(|(tier, way)| Some((tier.parse().ok()?, way.parse().ok()?)));
    match parsed {
        Some((tier, way)) => supervise(&options, tier, way, program, rest),
        None => failed("no tier and way"),
    }
}

fn plain(options: &Options, program: &Path, arguments: &[String]) -> ExitCode {
    // As many as look at the program before they start it do: by its path.
    let _looked_at = fs::read(program);
    swap(options, program);
    let mut command = if options.levels > 0 {
        let mut command = Command::new(env::current_exe().expect("the own path"));
        let inner = Options { levels: options.levels - 1, leak: None, swap: None, ..options.clone() };
        command.arg("plain").args(inner.arguments()).arg("--").arg(program);
        command
    } else if options.terminal {
        let mut command = Command::new("/usr/bin/setsid");
        command.arg("--ctty").arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(arguments).envs(options.env.iter().cloned());
    options.directory.iter().for_each(|path| {
        command.current_dir(path);
    });
    let _master = options.terminal.then(|| {
        let flags = rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY;
        let master = rustix::pty::openpt(flags).expect("a terminal");
        rustix::pty::unlockpt(&master).expect("unlocked");
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).expect("the other end");
        command.stdin(Std::from(slave));
        master
    });
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return failed(error),
    };
    if options.tell && options.levels == 0 {
        tell(child.id(), &[]);
    }
    let status = child.wait().expect("an end");
    ExitCode::from(status.code().unwrap_or(128 + status.signal().unwrap_or_default()) as u8)
}

fn supervise(options: &Options, tier: Tier, way: Way, program: &Path, arguments: &[String]) -> ExitCode {
    let image = match Image::open(program) {
        Ok(image) => image,
        Err(error) => return failed(error),
    };
    swap(options, program);
    let mut spec = Spec::new(image).args(arguments).tier(tier).engine(way.engine());
    spec = options.env.iter().fold(spec, |spec, (name, value)| spec.env(name, value));
    spec = options.hide.iter().fold(spec, Spec::hide);
    spec = options.write.iter().fold(spec, Spec::write);
    spec = options.read.iter().fold(spec, Spec::read);
    if let Some(directory) = &options.directory {
        spec = spec.directory(directory);
    }
    if options.terminal {
        let size = tty::Size { rows: 24, columns: 80, width: 0, height: 0 };
        spec = spec.terminal(tty::Pty::open(size).expect("a terminal")).stdin(Stdio::Terminal);
    }
    // Without the installed loader a user namespace is readable to its owner; the table says so.
    if way == Way::Namespaces && tier == Tier::Lockdown {
        spec = spec.allow_weaker([Guarantee::L6]);
    }
    let started = match way {
        Way::Group => match Launcher::installed() {
            Ok(Some(launcher)) => start_through(&launcher, spec),
            Ok(None) => return failed("no launcher is installed"),
            Err(error) => Err(error.into()),
        },
        Way::Private | Way::Namespaces => start(spec),
    };
    let mut running = match started {
        Ok(running) => running,
        Err(error @ (StartError::NotGiven { .. } | StartError::Launcher { .. })) => {
            warn(&error.to_string());
            return ExitCode::from(NOT_GIVEN);
        }
        Err(error) => return failed(error),
    };
    if options.tell {
        let given: Vec<_> =
            Guarantee::ALL.into_iter().filter(|&guarantee| running.enforced().gives(guarantee)).collect();
        tell(running.pid(), &given);
    }
    match running.wait() {
        Ok(exit) => ExitCode::from(exit.shell_status() as u8),
        Err(error) => failed(error),
    }
}

/// A user namespace with the user and the group that this process has.
fn enter_namespace() -> std::io::Result<()> {
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    sys::numbers(libc::SYS_unshare, [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0])?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
}

/// What an attacker does to the program's path once it was looked at.
fn swap(options: &Options, program: &Path) {
    let Some((how, with)) = &options.swap else { return };
    let done = match how.as_str() {
        "rename" => fs::rename(with, program),
        "symlink" => fs::remove_file(program).and_then(|()| std::os::unix::fs::symlink(with, program)),
        // The same file gets other bytes.
        "overwrite" => rewrite(program, with),
        // The directory is another one.
        _ => program.parent().map_or(Ok(()), |directory| {
            fs::rename(directory, directory.with_extension("away"))?;
            fs::create_dir(directory)?;
            fs::rename(with, program)
        }),
    };
    if let Err(error) = done {
        warn(&format!("swap: {error}"));
    }
}

fn rewrite(program: &Path, with: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let bytes = fs::read(with)?;
    // Whoever holds a lease makes others wait; this one does not.
    let mut file = fs::OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(program)?;
    file.write_all(&bytes)?;
    file.set_len(bytes.len() as u64)
}

/// A descriptor that every execution keeps.
fn leak(path: &Path) -> std::os::fd::OwnedFd {
    let file: std::os::fd::OwnedFd = fs::File::open(path).expect("the file").into();
    let copy = rustix::io::dup(&file).expect("a copy");
    warn(&format!("leaked {}", copy.as_raw_fd()));
    copy
}

#[allow(clippy::print_stdout, reason = "the harness reads it")]
fn tell(pid: u32, given: &[Guarantee]) {
    let given: Vec<_> = given.iter().map(|guarantee| guarantee.id()).collect();
    println!("pid={pid}\ngiven={}", given.join(","));
}

fn failed(error: impl std::fmt::Display) -> ExitCode {
    warn(&error.to_string());
    ExitCode::from(FAILED)
}

#[allow(clippy::print_stderr, reason = "the harness reads it")]
pub fn warn(text: &str) {
    eprintln!("{text}");
}

//! What a program is started with: arguments, environment, descriptors, directory, tier.

use std::ffi::{OsStr, OsString};
use std::fs::File;
#[cfg(unix)]
use std::os::fd::OwnedFd;
#[cfg(windows)]
use std::os::windows::io::OwnedHandle;
#[cfg(windows)]
use std::path::Path;
use std::path::PathBuf;

use crate::tty::Pty;
use crate::{Engine, Guarantee, Image, Tier};

/// Where one of the program's standard streams leads.
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum Stdio {
    /// To the caller's own stream; to the null device when the caller has none.
    #[default]
    Inherit,
    /// To the null device.
    Null,
    /// To a new pipe, whose other end [`Running`](crate::Running) hands out.
    Pipe,
    /// To this open descriptor.
    #[cfg(unix)]
    Descriptor(OwnedFd),
    /// To this open handle, which need not be inheritable.
    #[cfg(windows)]
    Handle(OwnedHandle),
    /// To the terminal that [`Spec::terminal`] brought.
    Terminal,
}

/// How much a program may use. `None` leaves what the caller has; a limit that the caller has already
/// is never raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of private writable memory of each process (RLIMIT_DATA, setrlimit(2)); on Windows, of
    /// committed memory (`ProcessMemoryLimit`).
    pub memory: Option<u64>,
    /// Processes and threads of the user, those outside the program included (RLIMIT_NPROC); on Windows,
    /// processes of the tree (`ActiveProcessLimit`).
    pub processes: Option<u64>,
    /// Seconds of processor time of each process (RLIMIT_CPU); on Windows, of time in user mode
    /// (`PerProcessUserTimeLimit`).
    pub cpu: Option<u64>,
    /// Bytes of a file that it writes (RLIMIT_FSIZE). Windows has no such limit: there L5 is not given with it.
    pub file: Option<u64>,
}

impl Limits {
    /// What [`Tier::Lockdown`] holds where nothing else is said: 4 GiB, 4,096 processes, one day.
    pub const LOCKDOWN: Limits =
        Limits { memory: Some(4 << 30), processes: Some(4096), cpu: Some(24 * 60 * 60), file: None };
}

/// All that a program is given. What is not named here, it does not get.
///
/// By default: no arguments, an empty environment, the caller's standard streams and directory, no
/// further descriptors, [`Tier::None`]. The file mode creation mask is the caller's.
#[derive(Debug)]
pub struct Spec {
    pub(crate) image: Image,
    pub(crate) arg0: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) tier: Tier,
    pub(crate) streams: [Stdio; 3],
    pub(crate) terminal: Option<Pty>,
    #[cfg(unix)]
    pub(crate) descriptors: Vec<(OwnedFd, i32)>,
    #[cfg(windows)]
    pub(crate) handles: Vec<OwnedHandle>,
    #[cfg(windows)]
    pub(crate) creation_flags: u32,
    /// Of each file that is opened by path: by what it can be written all the same, if by anything.
    #[cfg(windows)]
    pub(crate) by_path: Vec<Option<String>>,
    pub(crate) weaker: Vec<Guarantee>,
    pub(crate) engine: Engine,
    pub(crate) hidden: Vec<PathBuf>,
    pub(crate) readable: Vec<PathBuf>,
    pub(crate) writable: Vec<PathBuf>,
    #[cfg(unix)]
    pub(crate) sockets: Vec<PathBuf>,
    #[cfg(unix)]
    pub(crate) pins: Vec<(PathBuf, File)>,
    pub(crate) limits: Limits,
    #[cfg(unix)]
    pub(crate) private_group: Option<u32>,
}

impl Spec {
    /// A start of `image` with its path as argument 0.
    pub fn new(image: Image) -> Spec {
        let arg0 = image.path().as_os_str().to_owned();
        Spec {
            image,
            arg0,
            args: Vec::new(),
            env: Vec::new(),
            directory: None,
            tier: Tier::None,
            streams: [Stdio::Inherit, Stdio::Inherit, Stdio::Inherit],
            terminal: None,
            #[cfg(unix)]
            descriptors: Vec::new(),
            #[cfg(windows)]
            handles: Vec::new(),
            #[cfg(windows)]
            creation_flags: 0,
            #[cfg(windows)]
            by_path: Vec::new(),
            weaker: Vec::new(),
            engine: Engine::Private,
            hidden: Vec::new(),
            readable: Vec::new(),
            writable: Vec::new(),
            #[cfg(unix)]
            sockets: Vec::new(),
            #[cfg(unix)]
            pins: Vec::new(),
            limits: Limits::default(),
            #[cfg(unix)]
            private_group: None,
        }
    }

    /// Argument 0: many programs look at the name by which they were called.
    pub fn arg0(mut self, arg0: impl Into<OsString>) -> Spec {
        self.arg0 = arg0.into();
        self
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Spec {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
    pub fn args<I: IntoIterator<Item: Into<OsString>>>(mut self, args: I) -> Spec {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// One variable of the environment; a later one of the same name replaces it. On Windows names are the
    /// same whatever their case, and `SystemRoot` is added where it is missing: no program loads without it.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl Into<OsString>) -> Spec {
        let name = name.as_ref();
        self.env.retain(|(known, _)| !same_name(known, name));
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// More variables of the environment.
    pub fn envs<N: AsRef<OsStr>, V: Into<OsString>>(self, vars: impl IntoIterator<Item = (N, V)>) -> Spec {
        vars.into_iter().fold(self, |spec, (name, value)| spec.env(name, value))
    }

    /// The working directory; by default the caller's.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Spec {
        self.directory = Some(directory.into());
        self
    }

    /// The tier that must be given.
    pub fn tier(mut self, tier: Tier) -> Spec {
        self.tier = tier;
        self
    }

    /// Where standard input comes from.
    pub fn stdin(mut self, stream: Stdio) -> Spec {
        self.streams[0] = stream;
        self
    }

    /// Where standard output goes.
    pub fn stdout(mut self, stream: Stdio) -> Spec {
        self.streams[1] = stream;
        self
    }

    /// Where standard error goes.
    pub fn stderr(mut self, stream: Stdio) -> Spec {
        self.streams[2] = stream;
        self
    }

    /// A terminal of the program's own: it becomes the controlling terminal of a new session, with the
    /// program in its foreground. Streams reach it as [`Stdio::Terminal`]; `/dev/tty` is it in any case.
    pub fn terminal(mut self, terminal: Pty) -> Spec {
        self.terminal = Some(terminal);
        self
    }

    /// One more open handle that the program inherits, under a number of the system's choice: the caller
    /// makes the handle known by other means, and only this one is inherited.
    #[cfg(windows)]
    pub fn handle(mut self, handle: OwnedHandle) -> Spec {
        self.handles.push(handle);
        self
    }

    /// Creation flags (CreateProcessW) beside those that the start sets itself. With `CREATE_SUSPENDED` the
    /// program waits for [`Running::resume`](crate::Running::resume). What would take the program out of
    /// its job or under a debugger is refused at the start.
    #[cfg(windows)]
    pub fn creation_flags(mut self, flags: u32) -> Spec {
        self.creation_flags = flags;
        self
    }

    /// The program opens `file` by its path, as a script is, while the caller holds it open here and shares reading
    /// alone. [`Guarantee::N6`] then says by what it can be another file all the same. `path` is for that text.
    #[cfg(windows)]
    pub fn opens(mut self, path: &Path, file: &File) -> Spec {
        self.by_path.push(writers(file).map(|why| format!("{}: {why}", path.display())));
        self
    }

    /// One more open descriptor, as `number` (3 to 511) in the program.
    #[cfg(unix)]
    pub fn descriptor(mut self, descriptor: OwnedFd, number: i32) -> Spec {
        self.descriptors.push((descriptor, number));
        self
    }

    /// Starts even when these do not hold; [`Enforced`](crate::Enforced) still tells.
    pub fn allow_weaker(mut self, guarantees: impl IntoIterator<Item = Guarantee>) -> Spec {
        self.weaker.extend(guarantees);
        self
    }

    /// By which means the tier is held; by default [`Engine::Private`].
    pub fn engine(mut self, engine: Engine) -> Spec {
        self.engine = engine;
        self
    }

    /// From [`Tier::Hardened`] on, nothing at or beneath `path` can be opened, written, made, removed or
    /// connected to. Beside these, the sockets of agents, D-Bus, desktops and container daemons are hidden
    /// always.
    ///
    /// In the private engine no new name can be made in the directories above `path` (Landlock gives
    /// rights to whole trees, so the others are named one by one), names and sizes stay visible, and in
    /// Hardened modes and times can be set: a path that is only looked at or marked is not judged.
    /// In the namespace engine that is so where `path` is no directory, or not there yet; else it is covered
    /// by an empty one that cannot be changed.
    ///
    /// On Windows this holds in [`Tier::Lockdown`] alone, whose container opens what lets it in by name; the
    /// start looks at each path with the program's own token.
    pub fn hide(mut self, path: impl Into<PathBuf>) -> Spec {
        self.hidden.push(path.into());
        self
    }

    /// In [`Tier::Lockdown`], the file or tree at `path` can be read and executed, beside the system's
    /// own programs and libraries. `path` is canonical: where a link has appeared in it, nothing is given.
    /// On Windows no access list is changed: what is closed to the program's container stops the start with
    /// an error that says how the owner opens it.
    pub fn read(mut self, path: impl Into<PathBuf>) -> Spec {
        self.readable.push(path.into());
        self
    }

    /// In [`Tier::Lockdown`], the file or tree at `path`, likewise canonical, can be read and changed.
    pub fn write(mut self, path: impl Into<PathBuf>) -> Spec {
        self.writable.push(path.into());
        self
    }

    /// In [`Tier::Hardened`], the socket at `path` can be connected to whoever listens there. Without
    /// this, a path socket needs a listener of another user, or one within the program's own tree.
    #[cfg(unix)]
    pub fn socket(mut self, path: impl Into<PathBuf>) -> Spec {
        self.sockets.push(path.into());
        self
    }

    /// In [`Engine::Namespaces`], the program finds these bytes at `path`, whatever is written there outside.
    ///
    /// In [`Tier::Lockdown`] it finds them also when the file, or a directory above it, is renamed or
    /// replaced, and `path` need not be there outside when it is beneath `/tmp`, `/var/tmp`, `/run` or
    /// another directory of the user's. In the other tiers that is so beneath `/dev`, and where the user
    /// cannot rename what leads to `path`. [`Guarantee::N6`] tells how firm it is.
    #[cfg(unix)]
    pub fn pin(mut self, path: impl Into<PathBuf>, content: File) -> Spec {
        self.pins.push((path.into(), content));
        self
    }

    /// Limits beside those of the tier.
    pub fn limits(mut self, limits: Limits) -> Spec {
        self.limits = limits;
        self
    }

    /// The program runs with this group alone as its real, effective and saved one, in a Landlock domain
    /// of its own: no process of the user outside can read it. The caller must have the group in all three
    /// places already, and CAP_WAKE_ALARM as an ambient capability, as the launcher sees to; the user must
    /// not be a member of it.
    #[cfg(unix)]
    pub fn private_group(mut self, group: u32) -> Spec {
        self.private_group = Some(group);
        self
    }
}

#[cfg(not(windows))]
fn same_name(a: &OsStr, b: &OsStr) -> bool {
    a == b
}

#[cfg(windows)]
use crate::backend::{same_name, writers};

//! Everything that the watchers and the program need, made before the fork: they cannot allocate.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Resource, getpid};
use rustix::rand::GetRandomFlags;
use rustix::termios::isatty;
use rustix::thread::CapabilitySet;

use super::board::{Board, Expected, Pins};
use super::hidden::{Hidden, bytes, resolve};
use super::landlock::{self, Rules};
use super::namespaces::{World, terminal_path};
use super::seal::seal;
use super::seccomp::Filter;
use super::strings::Strings;
use super::{surroundings, sys};
use crate::{Engine, Guarantee, Image, Spec, StartError, Stdio, Tier};

/// The highest number that a declared descriptor may have in the program.
const HIGHEST: i32 = 511;

/// One descriptor and the number that it gets.
pub(super) struct Move {
    pub(super) source: RawFd,
    pub(super) target: RawFd,
    /// Out of the way of every target, until it is placed.
    pub(super) between: AtomicI32,
    /// Declared: it reaches the program. The others are closed by the execution.
    pub(super) declared: bool,
}

/// The capability that every program with a private group has, across executions (ambient, capabilities(7)):
/// to set a timer that wakes the machine. The kernel lets nobody read a process who lacks one of its
/// capabilities, and no setgid file of the same group can carry one.
pub(super) const PRIVATE: CapabilitySet = CapabilitySet::WAKE_ALARM;

/// The two ends of the way that a filter's listener takes from the program to a watcher.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gate {
    pub(super) program: RawFd,
    pub(super) watcher: RawFd,
}

/// What lets the start's own execution through the filter of Lockdown, and no other.
#[derive(Debug)]
pub(super) struct Key(AtomicU64);

impl Key {
    fn new() -> Result<Key, StartError> {
        let mut random = [0; 8];
        let failed = |error: rustix::io::Errno| StartError::System {
            step: "draw a key for the execution",
            source: error.into(),
        };
        rustix::rand::getrandom(&mut random, GetRandomFlags::empty()).map_err(failed)?;
        Ok(Key(AtomicU64::new(u64::from_ne_bytes(random))))
    }

    pub(super) fn get(&self) -> [u32; 2] {
        let key = self.0.load(SeqCst);
        [key as u32, (key >> 32) as u32]
    }

    /// It was used.
    pub(super) fn forget(&self) {
        self.0.store(0, SeqCst);
    }
}

/// How a hidden path is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Try {
    /// Open the file.
    Open,
    /// Make a file of this name.
    Make,
}

/// What the new processes do.
pub(super) struct Plan {
    pub(super) tier: Tier,
    pub(super) filter: Option<Vec<libc::sock_filter>>,
    /// Whether the filter has a listener.
    pub(super) listens: bool,
    pub(super) key: Key,
    pub(super) ruleset: Option<RawFd>,
    pub(super) gate: Option<Gate>,
    /// What the program tries to open or make, and must not be able to.
    pub(super) tries: Vec<(CString, Try)>,
    /// What connect(2) never reaches, and what it reaches whoever listens; canonical.
    pub(super) hidden: Vec<CString>,
    pub(super) sockets: Vec<CString>,
    pub(super) private_group: Option<u32>,
    /// The namespaces, in the engine that has them.
    pub(super) world: Option<World>,
    limits: Vec<(Resource, u64)>,
    pub(super) argv: Strings,
    pub(super) envp: Strings,
    pub(super) directory: Option<CString>,
    /// The link to the supervisor comes first, so that a failure to place the others can be told.
    pub(super) moves: Vec<Move>,
    /// Every target, sorted.
    pub(super) targets: Vec<RawFd>,
    pub(super) image: RawFd,
    pub(super) link: RawFd,
    pub(super) terminal: Option<RawFd>,
    pub(super) supervisor: i32,
    /// The process group that the program joins; 0 when it stays where it was made.
    pub(super) group: i32,
    pub(super) outer: AtomicI32,
    pub(super) inner: AtomicI32,
    /// A bit for each guarantee that need not hold.
    pub(super) waived: u32,
    pub(super) expected: Expected,
    pub(super) board: Board,
    /// Lends its allocation to the three stacks and stays empty itself.
    stacks: Vec<u8>,
}

/// The supervisor's ends, and what must stay open until the fork.
pub(super) struct Ends {
    pub(super) link: OwnedFd,
    pub(super) streams: [Option<OwnedFd>; 3],
    pub(super) terminal: Option<OwnedFd>,
    /// The program's ends; dropped once the watchers have their copies.
    pub(super) given: Vec<OwnedFd>,
    pub(super) rules: Option<Rules>,
    pub(super) image: Image,
    /// What is executed is a sealed copy of the image.
    pub(super) is_sealed: bool,
}

impl Plan {
    pub(super) fn new(mut spec: Spec) -> Result<(Plan, Ends), StartError> {
        let (argv, envp) = (arguments(&spec)?, environment(&spec)?);
        for (_, value) in spec.env.drain(..) {
            wipe(value);
        }
        let directory = spec.directory.as_ref().map(|path| c_string(path.as_os_str(), "the directory"));
        let directory = directory.transpose()?;

        let failed = |step| move |error: io::Error| StartError::System { step, source: error };
        let hidden = Hidden::new(spec.hidden.iter().map(PathBuf::as_path));
        // A path with a NUL byte is none.
        let name = |path: &Path| CString::new(bytes(path)).ok();
        // Where there can be no copy, L6 is not given and tells.
        let sealed = if spec.tier == Tier::Lockdown { seal(&spec.image).ok() } else { None };
        let image_fd = sealed.as_ref().map_or(spec.image.file().as_fd(), AsFd::as_fd);
        let image = rustix::fs::fstat(image_fd).map_err(|error| failed("look at the image")(error.into()))?;
        let pair = |step| {
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(|error| failed(step)(error.into()))
        };
        let (link, far) = pair("make a link to the watchers")?;

        let mut given = Vec::with_capacity(8);
        let mut declared: Vec<(RawFd, RawFd)> = Vec::with_capacity(4);
        let (master, slave) = spec.terminal.take().map(|pty| (pty.master, pty.slave)).unzip();
        let mut streams = [None, None, None];
        for ((stream, parent), target) in
            std::mem::take(&mut spec.streams).into_iter().zip(&mut streams).zip(0..)
        {
            let (source, end) = open_stream(stream, target, slave.as_ref())?;
            *parent = end;
            declared.push((source.as_raw_fd(), target));
            given.push(source);
        }
        let terminals: Vec<BorrowedFd<'_>> =
            given.iter().chain(&slave).filter(|stream| isatty(stream)).map(AsFd::as_fd).collect();
        let terminal_path = terminals.first().and_then(terminal_path);
        let rules = landlock::rules(&spec, &hidden, &terminals, landlock::version())
            .map_err(|error| failed("make the Landlock rules")(io::Error::other(error)))?;
        let version = rules.as_ref().map_or(0, |rules| rules.version);
        let filter = surroundings::filter(&spec);
        let key = Key::new()?;
        for (descriptor, number) in spec.descriptors.drain(..) {
            if !(3..=HIGHEST).contains(&number) || declared.iter().any(|&(_, target)| target == number) {
                return Err(StartError::Descriptor { number });
            }
            declared.push((descriptor.as_raw_fd(), number));
            given.push(descriptor);
        }

        let mut free = declared.iter().map(|&(_, target)| target).max().unwrap_or(2) + 1;
        let mut moves = Vec::with_capacity(declared.len() + 6);
        let mut keep = |source: RawFd| {
            let target = free;
            free += 1;
            moves.push(Move { source, target, between: AtomicI32::new(-1), declared: false });
            target
        };
        let (link_at, image_at) = (keep(far.as_raw_fd()), keep(image_fd.as_raw_fd()));
        let terminal_at = slave.as_ref().map(|slave| keep(slave.as_raw_fd()));
        let ruleset_at = rules.as_ref().map(|rules| keep(rules.ruleset.as_raw_fd()));
        let mut gate_at = None;
        if filter.is_some_and(Filter::notifies) {
            let (program, watcher) = pair("make a way for the filter's listener")?;
            gate_at = Some(Gate { program: keep(program.as_raw_fd()), watcher: keep(watcher.as_raw_fd()) });
            given.extend([program, watcher]);
        }
        let (mut world, mut kept) = (None, Vec::new());
        if spec.engine == Engine::Namespaces {
            let (made, open) = World::new(&mut spec, &hidden, terminal_path, version, &mut keep)?;
            (world, kept) = (Some(made), open);
        }
        let declare = |(source, target)| Move { source, target, between: AtomicI32::new(-1), declared: true };
        moves.extend(declared.into_iter().map(declare));
        let mut targets: Vec<RawFd> = moves.iter().map(|step| step.target).collect();
        targets.sort_unstable();

        let plan = Plan {
            argv,
            envp,
            directory,
            moves,
            targets,
            link: link_at,
            image: image_at,
            terminal: terminal_at,
            supervisor: getpid().as_raw_nonzero().get(),
            group: if slave.is_some() { 0 } else { sys::process_group() },
            outer: AtomicI32::new(0),
            inner: AtomicI32::new(0),
            waived: spec.weaker.iter().fold(0, |mask, &guarantee| mask | bit(guarantee)),
            expected: Expected {
                tier: spec.tier,
                engine: spec.engine,
                core_is_piped: surroundings::core_is_piped(),
                image: (image.st_dev, image.st_ino),
                leased: sealed.is_none() && spec.image.is_leased(),
                landlock: version,
                unanswered: surroundings::unanswered(filter),
                readable: surroundings::readable(),
                private_group: spec.private_group.is_some(),
                shared_group: spec.private_group.and_then(surroundings::shared_group),
                dumpable: sealed.is_some() && surroundings::suid_is_dumpable(),
                loader: world.as_ref().is_some_and(World::has_loader),
                pins: world.as_ref().map_or(Pins::None, |world| world.pins),
            },
            tier: spec.tier,
            listens: filter.is_some_and(Filter::notifies),
            filter: filter.map(|filter| filter.keyed(key.get())),
            key,
            ruleset: ruleset_at,
            gate: gate_at,
            tries: if spec.tier >= Tier::Hardened { surroundings::tries(&hidden) } else { Vec::new() },
            hidden: hidden.iter().filter_map(name).collect(),
            sockets: spec.sockets.iter().filter_map(|path| name(&resolve(path))).collect(),
            private_group: spec.private_group,
            world,
            limits: surroundings::limits(&spec),
            board: Board::new(),
            stacks: Vec::with_capacity(3 * sys::STACK),
        };
        given.extend([Some(far), slave].into_iter().flatten());
        let is_sealed = sealed.is_some();
        given.extend(sealed);
        given.extend(kept);
        Ok((plan, Ends { link, streams, terminal: master, given, rules, image: spec.image, is_sealed }))
    }

    /// The capability that comes with a private group and stays; none without one.
    pub(super) fn spared(&self) -> CapabilitySet {
        if self.private_group.is_some() { PRIVATE } else { CapabilitySet::empty() }
    }

    /// The limits of the program.
    pub(super) fn limits(&self) -> &[(Resource, u64)] {
        &self.limits
    }

    /// The upper end of one of the three stacks.
    pub(super) fn stack_top(&self, which: usize) -> *mut u8 {
        let top = self.stacks.as_ptr().cast_mut().wrapping_add((which + 1) * sys::STACK);
        top.wrapping_sub(top.addr() % 16)
    }
}

/// The bit of a guarantee in a mask.
pub(super) fn bit(guarantee: Guarantee) -> u32 {
    1 << guarantee as u32
}

/// The program's end, and the supervisor's where there is one.
pub(super) fn open_stream(
    stream: Stdio,
    number: RawFd,
    slave: Option<&OwnedFd>,
) -> Result<(OwnedFd, Option<OwnedFd>), StartError> {
    let failed = |source: io::Error| StartError::System { step: "open a standard stream", source };
    let null = || {
        let access = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null");
        access.map(OwnedFd::from).map_err(failed)
    };
    match stream {
        Stdio::Null => Ok((null()?, None)),
        Stdio::Descriptor(descriptor) => Ok((descriptor, None)),
        Stdio::Terminal => {
            let slave = slave.ok_or(StartError::NoTerminal)?;
            Ok((slave.try_clone().map_err(failed)?, None))
        }
        Stdio::Inherit => {
            let clone = match number {
                0 => io::stdin().as_fd().try_clone_to_owned(),
                1 => io::stdout().as_fd().try_clone_to_owned(),
                _ => io::stderr().as_fd().try_clone_to_owned(),
            };
            match clone {
                Err(error) if error.raw_os_error() == Some(libc::EBADF) => Ok((null()?, None)),
                clone => Ok((clone.map_err(failed)?, None)),
            }
        }
        Stdio::Pipe => {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
            Ok(if number == 0 { (reader, Some(writer)) } else { (writer, Some(reader)) })
        }
    }
}

fn arguments(spec: &Spec) -> Result<Strings, StartError> {
    let all = || [&spec.arg0].into_iter().chain(&spec.args).map(|arg| [arg.as_bytes()]);
    if all().any(|[arg]| arg.contains(&0)) {
        return Err(StartError::Nul { place: "an argument" });
    }
    Ok(Strings::new(all()))
}

fn environment(spec: &Spec) -> Result<Strings, StartError> {
    for (name, value) in &spec.env {
        let (bytes, value) = (name.as_bytes(), value.as_bytes());
        if bytes.is_empty() || bytes.contains(&b'=') {
            return Err(StartError::Variable { name: name.clone() });
        }
        if bytes.contains(&0) || value.contains(&0) {
            return Err(StartError::Nul { place: "the environment" });
        }
    }
    let all = spec.env.iter().map(|(name, value)| [name.as_bytes(), b"=".as_slice(), value.as_bytes()]);
    Ok(Strings::new(all))
}

fn wipe(value: OsString) {
    let mut bytes = value.into_encoded_bytes();
    bytes.fill(0);
    // The optimiser may not drop the writes to memory that something still looks at.
    std::hint::black_box(&bytes);
}

fn c_string(text: &OsStr, place: &'static str) -> Result<CString, StartError> {
    CString::new(text.as_bytes()).map_err(|_| StartError::Nul { place })
}

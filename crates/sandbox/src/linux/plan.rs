//! Everything that the watchers and the program need, made before the fork: they cannot allocate.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::AtomicI32;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Resource, getpid, getrlimit};

use super::board::{Board, Expected};
use super::strings::Strings;
use super::sys;
use crate::{Guarantee, Image, Spec, StartError, Stdio};

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

/// What the new processes do.
pub(super) struct Plan {
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
    pub(super) image: Image,
}

impl Plan {
    pub(super) fn new(mut spec: Spec) -> Result<(Plan, Ends), StartError> {
        let (argv, envp) = (arguments(&spec)?, environment(&spec)?);
        for (_, value) in spec.env.drain(..) {
            wipe(value);
        }
        let directory = spec.directory.as_ref().map(|path| c_string(path.as_os_str(), "the directory"));
        let directory = directory.transpose()?;

        let failed = |step| move |error: rustix::io::Errno| StartError::System { step, source: error.into() };
        let image = rustix::fs::fstat(spec.image.file()).map_err(failed("look at the image"))?;
        let (link, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(failed("make a link to the watchers"))?;

        let mut given = Vec::with_capacity(8);
        let mut declared: Vec<(RawFd, RawFd)> = Vec::with_capacity(4);
        let (master, slave) = spec.terminal.map(|pty| (pty.master, pty.slave)).unzip();
        let mut streams = [None, None, None];
        for ((stream, parent), target) in spec.streams.into_iter().zip(&mut streams).zip(0..) {
            let (source, end) = open_stream(stream, target, slave.as_ref())?;
            *parent = end;
            declared.push((source.as_raw_fd(), target));
            given.push(source);
        }
        for (descriptor, number) in spec.descriptors {
            if !(3..=HIGHEST).contains(&number) || declared.iter().any(|&(_, target)| target == number) {
                return Err(StartError::Descriptor { number });
            }
            declared.push((descriptor.as_raw_fd(), number));
            given.push(descriptor);
        }

        let free = declared.iter().map(|&(_, target)| target).max().unwrap_or(2) + 1;
        let step = |source, target, declared| Move { source, target, between: AtomicI32::new(-1), declared };
        let mut moves =
            vec![step(far.as_raw_fd(), free, false), step(spec.image.file().as_raw_fd(), free + 1, false)];
        moves.extend(slave.as_ref().map(|slave| step(slave.as_raw_fd(), free + 2, false)));
        moves.extend(declared.into_iter().map(|(source, target)| step(source, target, true)));
        let mut targets: Vec<RawFd> = moves.iter().map(|step| step.target).collect();
        targets.sort_unstable();

        let plan = Plan {
            argv,
            envp,
            directory,
            moves,
            targets,
            link: free,
            image: free + 1,
            terminal: slave.as_ref().map(|_| free + 2),
            supervisor: getpid().as_raw_nonzero().get(),
            group: if slave.is_some() { 0 } else { sys::process_group() },
            outer: AtomicI32::new(0),
            inner: AtomicI32::new(0),
            waived: spec.weaker.iter().fold(0, |mask, &guarantee| mask | bit(guarantee)),
            expected: Expected { core_is_piped: core_is_piped(), image: (image.st_dev, image.st_ino) },
            board: Board::new(),
            stacks: Vec::with_capacity(3 * sys::STACK),
        };
        given.extend([Some(far), slave].into_iter().flatten());
        Ok((plan, Ends { link, streams, terminal: master, given, image: spec.image }))
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
fn open_stream(
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

/// Whether a core limit of 0 would still feed a dump to a program (core(5)). Asked only where it matters.
fn core_is_piped() -> bool {
    if getrlimit(Resource::Core).maximum != Some(0) {
        return false;
    }
    // Unreadable counts as the worse case.
    std::fs::read("/proc/sys/kernel/core_pattern").map_or(true, |pattern| pattern.starts_with(b"|"))
}

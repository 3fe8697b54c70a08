//! What a client asks for: a [`Spec`] as bytes and descriptors, and back.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};

use super::super::open::Guard;
use super::super::plan::open_stream;
use super::codec::{Malformed, Reader, Wiped, Writer, extended};
use crate::tty::Pty;
use crate::{Engine, Guarantee, Image, ImageError, Limits, Spec, StartError, Stdio, Tier};

/// Where a standard stream leads, once the client has opened it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Descriptor,
    Terminal,
}

/// What keeps writers from the image, as the client found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Guarded {
    Foreign,
    Lease,
    Nothing(String),
}

/// A [`Spec`] without its descriptors.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) tier: Tier,
    pub(super) engine: Engine,
    pub(super) weaker: Vec<Guarantee>,
    pub(super) limits: Limits,
    pub(super) image: PathBuf,
    pub(super) sha256: [u8; 32],
    pub(super) guarded: Guarded,
    pub(super) arg0: OsString,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) directory: Option<PathBuf>,
    pub(super) streams: [Stream; 3],
    pub(super) has_terminal: bool,
    pub(super) numbers: Vec<i32>,
    pub(super) hidden: Vec<PathBuf>,
    pub(super) readable: Vec<PathBuf>,
    pub(super) writable: Vec<PathBuf>,
    pub(super) sockets: Vec<PathBuf>,
    pub(super) pins: Vec<PathBuf>,
}

/// A [`Spec`] taken apart.
pub(super) struct Parcel {
    pub(super) request: Request,
    /// The client's directory, the image, the streams, the terminal, what is declared, the pins.
    pub(super) descriptors: Vec<OwnedFd>,
    /// The client's ends of pipes.
    pub(super) streams: [Option<OwnedFd>; 3],
    /// The terminal's master.
    pub(super) terminal: Option<OwnedFd>,
}

impl Parcel {
    pub(super) fn new(spec: Spec) -> Result<Parcel, StartError> {
        // The group is not the client's to choose. All else must go over, so that nothing may be left out here.
        let Spec {
            image,
            arg0,
            args,
            env,
            directory,
            tier,
            streams,
            terminal,
            descriptors: declared,
            weaker,
            engine,
            hidden,
            readable,
            writable,
            sockets,
            pins,
            limits,
            private_group: _,
        } = spec;
        let here = open(c".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let here = here.map_err(|error| StartError::Directory { path: ".".into(), source: error.into() })?;
        let (file, path, sha256, guard) = image.into_parts();
        let mut descriptors = vec![here, file.into()];

        let (master, slave) = terminal.map(|pty| (pty.master, pty.slave)).unzip();
        let mut ends = [None, None, None];
        let mut kinds = [Stream::Descriptor; 3];
        for (number, stream) in (0..).zip(streams) {
            let (source, end) = match stream {
                Stdio::Terminal if slave.is_none() => return Err(StartError::NoTerminal),
                Stdio::Terminal => {
                    kinds[number] = Stream::Terminal;
                    continue;
                }
                stream => open_stream(stream, number as i32, None)?,
            };
            descriptors.push(source);
            ends[number] = end;
        }
        let has_terminal = slave.is_some();
        descriptors.extend(slave);
        let (declared, numbers): (Vec<_>, Vec<_>) = declared.into_iter().unzip();
        descriptors.extend(declared);
        let (pins, pinned): (Vec<_>, Vec<_>) = pins.into_iter().unzip();
        descriptors.extend(pinned.into_iter().map(OwnedFd::from));

        let request = Request {
            tier,
            engine,
            weaker,
            limits,
            image: path,
            sha256,
            guarded: Guarded::of(&guard),
            arg0,
            args,
            env,
            directory,
            streams: kinds,
            has_terminal,
            numbers,
            hidden,
            readable,
            writable,
            sockets,
            pins,
        };
        Ok(Parcel { request, descriptors, streams: ends, terminal: master })
    }
}

impl Guarded {
    fn of(guard: &Guard) -> Guarded {
        match guard {
            Guard::Foreign => Guarded::Foreign,
            Guard::Lease => Guarded::Lease,
            Guard::Nothing(why) => Guarded::Nothing(why.to_string()),
        }
    }

    fn into_guard(self) -> Guard {
        match self {
            Guarded::Foreign => Guard::Foreign,
            // The lease belongs to the open file, which came over: it is asked for there.
            Guarded::Lease => Guard::Lease,
            Guarded::Nothing(why) => Guard::Nothing(io::Error::other(why)),
        }
    }
}

/// Why a request is not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadRequest {
    #[error("the request is {0}")]
    Malformed(#[from] Malformed),
    #[error("the image: {0}")]
    Image(#[from] ImageError),
    #[error("{path}: its bytes are not those that were identified", path = .0.display())]
    Changed(PathBuf),
    #[error("/dev/null: {0}")]
    Null(io::Error),
}

impl Request {
    /// The body of a message; the values of the environment are overwritten here.
    pub(super) fn encode(mut self) -> Wiped {
        let mut out = Writer::with_room(self.room());
        out.byte(self.tier as u8);
        out.byte(self.engine as u8);
        out.list(&self.weaker, |out, &guarantee| out.byte(guarantee as u8));
        let Limits { memory, processes, cpu, file } = self.limits;
        for limit in [memory, processes, cpu, file] {
            out.optional(limit, Writer::number);
        }
        out.text(&self.image);
        self.sha256.iter().for_each(|&byte| out.byte(byte));
        match &self.guarded {
            Guarded::Foreign => out.byte(0),
            Guarded::Lease => out.byte(1),
            Guarded::Nothing(why) => {
                out.byte(2);
                out.text(why);
            }
        }
        out.text(&self.arg0);
        out.list(&self.args, |out, arg| out.text(arg));
        out.list(&self.env, |out, (name, value)| {
            out.text(name);
            out.text(value);
        });
        for (_, value) in self.env.drain(..) {
            drop(Wiped(value.into_encoded_bytes()));
        }
        out.optional(self.directory.as_ref(), |out, path| out.text(path));
        for stream in self.streams {
            out.byte((stream == Stream::Terminal).into());
        }
        out.byte(self.has_terminal.into());
        out.list(&self.numbers, |out, &number| out.number(extended(number)));
        for paths in [&self.hidden, &self.readable, &self.writable, &self.sockets, &self.pins] {
            out.list(paths, |out, path| out.text(path));
        }
        out.finish()
    }

    /// At least the bytes that the body will have.
    fn room(&self) -> usize {
        let text = |text: &OsString| 4 + text.len();
        let paths = [&self.hidden, &self.readable, &self.writable, &self.sockets, &self.pins];
        let path = |path: &PathBuf| 4 + path.as_os_str().len();
        let guarded = if let Guarded::Nothing(why) = &self.guarded { why.len() } else { 0 };
        256 + path(&self.image)
            + guarded
            + text(&self.arg0)
            + self.weaker.len()
            + self.numbers.len() * 8
            + self.directory.as_ref().map_or(0, path)
            + self.args.iter().map(text).sum::<usize>()
            + self.env.iter().map(|(name, value)| text(name) + text(value)).sum::<usize>()
            + paths.into_iter().flatten().map(path).sum::<usize>()
    }

    /// Reads a body. The bytes may be anything.
    pub(super) fn decode(body: &[u8]) -> Result<Request, Malformed> {
        let mut from = Reader::new(body);
        let request = Request {
            tier: tier(from.byte()?)?,
            engine: match from.byte()? {
                0 => Engine::Private,
                1 => Engine::Namespaces,
                _ => return Err(Malformed("no such engine")),
            },
            weaker: from.list(|from| guarantee(from.byte()?))?,
            limits: Limits {
                memory: from.optional(Reader::number)?,
                processes: from.optional(Reader::number)?,
                cpu: from.optional(Reader::number)?,
                file: from.optional(Reader::number)?,
            },
            image: from.path()?,
            sha256: from.array()?,
            guarded: match from.byte()? {
                0 => Guarded::Foreign,
                1 => Guarded::Lease,
                2 => Guarded::Nothing(from.string()?),
                _ => return Err(Malformed("no such guard")),
            },
            arg0: from.text()?,
            args: from.list(Reader::text)?,
            env: from.list(|from| Ok((from.text()?, from.text()?)))?,
            directory: from.optional(Reader::path)?,
            streams: [stream(&mut from)?, stream(&mut from)?, stream(&mut from)?],
            has_terminal: from.flag()?,
            numbers: from.list(Reader::signed)?,
            hidden: from.list(Reader::path)?,
            readable: from.list(Reader::path)?,
            writable: from.list(Reader::path)?,
            sockets: from.list(Reader::path)?,
            pins: from.list(Reader::path)?,
        };
        from.finish()?;
        Ok(request)
    }

    /// Puts the descriptors back in their places and hashes the image through its handle; gives the client's
    /// directory too.
    pub(super) fn into_spec(self, descriptors: Vec<OwnedFd>) -> Result<(Spec, OwnedFd), BadRequest> {
        let mut descriptors = descriptors.into_iter();
        let mut next = || descriptors.next().ok_or(Malformed("short of descriptors"));
        let here = next()?;
        let file = File::from(next()?);
        let mut streams = [Stdio::Null, Stdio::Null, Stdio::Null];
        for (stream, kind) in streams.iter_mut().zip(self.streams) {
            *stream = match kind {
                Stream::Descriptor => Stdio::Descriptor(next()?),
                Stream::Terminal => Stdio::Terminal,
            };
        }
        let slave = if self.has_terminal { Some(next()?) } else { None };
        let declared: Result<Vec<_>, Malformed> =
            self.numbers.into_iter().map(|number| Ok((next()?, number))).collect();
        let declared = declared?;
        let pins: Result<Vec<_>, Malformed> =
            self.pins.into_iter().map(|path| Ok((path, File::from(next()?)))).collect();
        let pins = pins?;
        if descriptors.next().is_some() {
            return Err(Malformed("more descriptors than it names").into());
        }
        // The client keeps the master; nothing here may hold the terminal open.
        let master = || File::open("/dev/null").map(OwnedFd::from).map_err(BadRequest::Null);
        let terminal =
            slave.map(|slave| Ok::<_, BadRequest>(Pty { master: master()?, slave })).transpose()?;

        let image = Image::received(file, self.image, self.guarded.into_guard())?;
        if image.sha256() != self.sha256 {
            return Err(BadRequest::Changed(image.path().to_owned()));
        }
        let mut spec = Spec::new(image).arg0(self.arg0);
        spec.args = self.args;
        spec.env = self.env;
        spec.directory = self.directory;
        spec.tier = self.tier;
        spec.streams = streams;
        spec.terminal = terminal;
        spec.descriptors = declared;
        spec.weaker = self.weaker;
        spec.engine = self.engine;
        spec.hidden = self.hidden;
        spec.readable = self.readable;
        spec.writable = self.writable;
        spec.sockets = self.sockets;
        spec.pins = pins;
        spec.limits = self.limits;
        Ok((spec, here))
    }
}

pub(super) fn tier(number: u8) -> Result<Tier, Malformed> {
    let all = [Tier::None, Tier::Hardened, Tier::Lockdown];
    all.into_iter().find(|&tier| tier as u8 == number).ok_or(Malformed("no such tier"))
}

pub(super) fn guarantee(number: u8) -> Result<Guarantee, Malformed> {
    let all = Guarantee::ALL;
    all.into_iter().find(|&one| one as u8 == number).ok_or(Malformed("no such guarantee"))
}

fn stream(from: &mut Reader<'_>) -> Result<Stream, Malformed> {
    Ok(if from.flag()? { Stream::Terminal } else { Stream::Descriptor })
}

/// Whether a path in a request says where it starts without the client's directory.
pub(super) fn needs_no_directory(directory: Option<&Path>) -> bool {
    directory.is_some_and(Path::is_absolute)
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;

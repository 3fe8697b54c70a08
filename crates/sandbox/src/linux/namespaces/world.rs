//! All that the namespaces of a start need, made before the fork.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32};

use rustix::fs::stat;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::getgid;

use super::super::board::Pins;
use super::super::hidden::Hidden;
use super::super::landlock::Rights;
use super::super::proc_file::path_of;
use super::identity::Identity;
use super::mounts::Step;
use super::network::Way;
use super::pins::{Pin, c_path};
use super::view::{Sources, View};
use super::{Kind, kinds, loader};
use crate::{Guarantee, Spec, StartError, Tier};

/// What the watchers make of the namespaces.
pub(in super::super) struct World {
    pub(in super::super) identity: Identity,
    pub(super) steps: Vec<Step>,
    /// Paths that are new to Landlock, with the rights that they get.
    pub(super) grants: Vec<(CString, u64)>,
    /// Where something else has to be than there was: device and inode as they were.
    pub(super) moved: Vec<(CString, (u64, u64))>,
    pub(super) read_only: Vec<CString>,
    /// The working directory, entered again when everything is in its place.
    pub(super) directory: CString,
    /// The inodes of the supervisor's namespaces.
    pub(super) before: [u64; Kind::ALL.len()],
    /// Where nobody may be able to read the loader.
    pub(super) loader: Option<CString>,
    /// How the network namespace comes, where there is one.
    pub(super) network: Option<Way>,
    /// By what the inner watcher sees the end of the outer one, whose number it cannot know.
    pub(in super::super) outer: AtomicI32,
    /// Whether this kernel opens the namespaces to the user who owns them.
    pub(super) handed_out: AtomicBool,
    pub(in super::super) pins: Pins,
}

impl World {
    /// `keep` gives a descriptor its number in the watchers. Gives what must stay open until the fork too.
    pub(in super::super) fn new(
        spec: &mut Spec,
        hidden: &Hidden,
        terminal: Option<PathBuf>,
        landlock: u32,
        keep: &mut dyn FnMut(RawFd) -> RawFd,
    ) -> Result<(World, Vec<OwnedFd>), StartError> {
        let failed = |step| move |source: io::Error| StartError::System { step, source };
        refuse_borrowed_group(spec)?;
        let (identity, keeper) = Identity::new(keep).map_err(failed("make the keeper of a namespace"))?;
        let mut given = vec![keeper];
        let mut network = None;
        if kinds(spec.tier).contains(&Kind::Network) {
            let failed = |error: Errno| failed("make a way for the network namespace")(error.into());
            let ends = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
            let (outer, inner) = ends.map_err(failed)?;
            network = Some(Way { outer: keep(outer.as_raw_fd()), inner: keep(inner.as_raw_fd()) });
            given.extend([outer, inner]);
        }
        let mut pins = Vec::new();
        for (path, content) in spec.pins.drain(..) {
            pins.push(Pin::new(&path, &content, keep)?);
            given.push(content.into());
        }
        let directory = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let directory = spec.directory.as_ref().map_or(directory.clone(), |named| directory.join(named));
        let sources = Sources {
            spec,
            hidden,
            pins: &pins,
            terminal: terminal.as_deref(),
            directory: &directory,
            rights: Rights::of(landlock),
        };
        let shield = loader::shield(spec);
        let view = match spec.tier {
            Tier::None => View::plain(&sources),
            Tier::Hardened => View::hardened(&sources),
            Tier::Lockdown => View::lockdown(
                &sources,
                shield.as_ref().map(|shield| (&shield.installed, shield.at.as_path())),
            ),
        };
        let pinned = match (pins.is_empty(), view.has_loose_pins) {
            (true, _) => Pins::None,
            (false, false) => Pins::Firm,
            (false, true) => Pins::Loose,
        };
        let world = World {
            identity,
            steps: view.steps,
            grants: view.grants,
            moved: view.moved,
            read_only: view.read_only,
            directory: c_path(&directory),
            before: inodes(),
            loader: shield.map(|shield| c_path(&shield.at)),
            network,
            outer: AtomicI32::new(-1),
            handed_out: AtomicBool::new(true),
            pins: pinned,
        };
        Ok((world, given))
    }

    /// Whether a loader that nobody can read is put in the place of the program's.
    pub(in super::super) fn has_loader(&self) -> bool {
        self.loader.is_some()
    }

    /// What the step with this number does.
    pub(super) fn step(&self, number: i32) -> Option<String> {
        self.steps.get(usize::try_from(number).ok()?).map(ToString::to_string)
    }
}

/// A group that is mapped into a namespace can be taken by whoever owns it, which is every process of the
/// user: one that this process has as a setgid program only must not be.
fn refuse_borrowed_group(spec: &Spec) -> Result<(), StartError> {
    let real = getgid().as_raw();
    let own = super::super::sys::groups() == Some([real; 3]);
    if own && spec.private_group.is_none() {
        return Ok(());
    }
    let why = "a group that is kept from the user's other processes would be theirs in a user namespace";
    Err(StartError::NotGiven { tier: spec.tier, missing: vec![(Guarantee::L6, why.into())] })
}

/// The inodes of this process's namespaces, 0 where one cannot be seen. Allocates nothing.
pub(super) fn inodes() -> [u64; Kind::ALL.len()] {
    Kind::ALL.map(|kind| stat(kind.file()).map_or(0, |found| found.st_ino))
}

/// A terminal's path, relative to `/dev`.
pub(in super::super) fn terminal_path(terminal: &BorrowedFd<'_>) -> Option<PathBuf> {
    let mut room = [0; 256];
    let path = path_of(terminal.as_fd(), &mut room)?;
    let path = Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path));
    path.strip_prefix("/dev").ok().map(Path::to_owned)
}

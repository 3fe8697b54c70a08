//! What a program sees of the file system, as the steps that make it.
//!
//! One tmpfs is mounted on `/dev`, whose own files stay within reach of the watcher as its working
//! directory. What is made in it is bound to where it is to be seen; its last part is the new `/dev`, which
//! covers the rest of it.

use std::ffi::CString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::super::hidden::{Hidden, RUNTIME, SOCKETS, resolve};
use super::super::landlock::Rights;
use super::mounts::{INERT, NO_SETUID, READ_ONLY, Step};
use super::pins::{Pin, c_path};
use crate::Spec;

/// Where the tmpfs is.
const TOP: &str = "/dev";
/// Devices that give away nothing and act on nothing.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Where `Lockdown` may write what ends with it.
const SCRATCH: [&str; 2] = ["/tmp", "/var/tmp"];
/// Bytes and files of what it may write there.
const SCRATCH_OPTIONS: &std::ffi::CStr = c"mode=0755,size=1g,nr_inodes=100k";

/// What is made, and by what it is known to be there.
#[derive(Default)]
pub(super) struct View {
    pub(super) steps: Vec<Step>,
    /// Landlock's rights, to be given to what is new.
    pub(super) grants: Vec<(CString, u64)>,
    /// What is elsewhere now than it was.
    pub(super) moved: Vec<(CString, (u64, u64))>,
    /// What cannot be written any more.
    pub(super) read_only: Vec<CString>,
    /// Pins that somebody outside can take away.
    pub(super) has_loose_pins: bool,
    made: usize,
    has_empty: bool,
    has_nothing: bool,
}

/// A path that the program was given.
struct Named {
    path: PathBuf,
    changes: bool,
}

/// What a view is made from.
pub(super) struct Sources<'a> {
    pub(super) spec: &'a Spec,
    pub(super) hidden: &'a Hidden,
    pub(super) pins: &'a [Pin],
    /// A terminal among the program's streams, relative to `/dev`.
    pub(super) terminal: Option<&'a Path>,
    pub(super) directory: &'a Path,
    pub(super) rights: Rights,
}

impl View {
    /// The whole system, and its own processes.
    pub(super) fn plain(sources: &Sources<'_>) -> View {
        let mut view = View::default();
        view.steps.push(Step::Private);
        if !sources.pins.is_empty() {
            view.memory(c"mode=0755");
            view.pin_in_place(sources.pins, sources);
            view.bind(Path::new("."), Path::new(TOP), true);
        }
        view.processes(sources.rights.all);
        view
    }

    /// The whole system but for what is hidden, devices and processes.
    pub(super) fn hardened(sources: &Sources<'_>) -> View {
        let mut view = View::default();
        view.steps.push(Step::Private);
        if is_mount(Path::new("/sys")) {
            view.attributes(Path::new("/sys"), true, READ_ONLY, 0);
        }
        view.memory(c"mode=0755");
        view.cover_sockets(&sources.spec.sockets);
        for path in sources.hidden.iter() {
            view.cover(path);
        }
        let (own, others): (Vec<_>, Vec<_>) = sources.pins.iter().partition(|pin| pin.at.starts_with(TOP));
        view.pin_in_place(others, sources);
        view.devices(sources, own, true);
        view.grant(Path::new(TOP), sources.rights.all);
        view.processes(sources.rights.all);
        view
    }

    /// The system, read-only; room to write in memory; the paths that were named.
    pub(super) fn lockdown(sources: &Sources<'_>, loader: Option<(&CString, &Path)>) -> View {
        let mut view = View::default();
        view.steps.push(Step::Private);
        view.attributes(Path::new("/"), true, READ_ONLY | NO_SETUID, 0);
        view.read_only.push(c"/".to_owned());
        view.memory(SCRATCH_OPTIONS);
        if let Some((installed, at)) = loader {
            let at = c_path(at);
            view.steps.push(Step::Bind { of: installed.clone(), at, tree: false, if_there: false });
        }
        let named = named(sources.spec);
        let (own, others): (Vec<_>, Vec<_>) = sources.pins.iter().partition(|pin| pin.at.starts_with(TOP));
        let places = places(&named, &others);
        for (place, is_scratch) in &places {
            view.place(place, *is_scratch, &named, &others, sources);
        }
        let beneath = |path: &Path| places.iter().any(|(place, _)| path.starts_with(place));
        for named in named.iter().filter(|named| named.changes && !beneath(&named.path)) {
            view.bind(&named.path, &named.path, true);
            view.attributes(&named.path, true, 0, READ_ONLY);
        }
        for path in sources.hidden.iter() {
            view.cover(path);
        }
        view.pin_in_place(others.into_iter().filter(|pin| !beneath(&pin.at)), sources);
        view.devices(sources, own, false);
        view.grant(Path::new(TOP), sources.rights.list);
        view.grant(Path::new("/dev/shm"), sources.rights.all);
        view.processes(sources.rights.read);
        view
    }

    fn memory(&mut self, options: &std::ffi::CStr) {
        self.differs(Path::new(TOP));
        self.steps.push(Step::Memory { at: c_path(Path::new(TOP)), options: options.to_owned() });
    }

    fn processes(&mut self, rights: u64) {
        self.steps.push(Step::Processes { at: c"/proc".to_owned() });
        self.grant(Path::new("/proc"), rights);
    }

    /// The new `/dev`, which covers the tmpfs.
    fn devices<'p>(
        &mut self,
        sources: &Sources<'_>,
        pins: impl IntoIterator<Item = &'p Pin>,
        has_terminals: bool,
    ) {
        let new = Path::new(TOP).join("dev");
        self.directory(&new);
        self.directory(&new.join("shm"));
        let there = |name: &&&str| Path::new(TOP).join(name).exists();
        let devices: Vec<&str> = DEVICES.iter().filter(there).copied().collect();
        for name in &devices {
            self.file(&new.join(name));
        }
        for (at, to) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "fd/0"),
            ("stdout", "fd/1"),
            ("stderr", "fd/2"),
            ("ptmx", "pts/ptmx"),
        ] {
            if has_terminals || at != "ptmx" {
                self.steps.push(Step::Link { at: c_path(&new.join(at)), to: c_path(Path::new(to)) });
            }
        }
        if has_terminals {
            self.directory(&new.join("pts"));
        }
        if sources.terminal.is_some() {
            self.file(&new.join("console"));
        }
        for pin in pins {
            let at = new.join(pin.at.strip_prefix(TOP).unwrap_or(&pin.at));
            self.directories(&new, &at);
            self.pin(pin, &at, sources);
        }
        self.bind(&new, Path::new(TOP), true);
        for name in devices {
            self.bind(Path::new(name), &Path::new(TOP).join(name), false);
        }
        if has_terminals {
            self.steps.push(Step::Terminals { at: c"/dev/pts".to_owned() });
        }
        // ttyname(3) finds a terminal of another devpts here.
        if let Some(terminal) = sources.terminal {
            self.bind_if_there(terminal, Path::new("/dev/console"));
        }
    }

    /// Lists of services that belong to others, as far as they are there.
    fn cover_sockets(&mut self, sockets: &[PathBuf]) {
        let resolver = resolve(Path::new("/etc/resolv.conf"));
        let allowed: Vec<PathBuf> = sockets.iter().map(|path| resolve(path)).collect();
        for path in SOCKETS.into_iter().map(|path| resolve(Path::new(path))) {
            let needed = |path: &Path| {
                resolver.starts_with(path) || allowed.iter().any(|socket| path.starts_with(socket))
            };
            // How names are resolved stays readable: connect(2) is judged in any case.
            if needed(&path) && path != Path::new(RUNTIME) {
                continue;
            }
            let inside: Vec<Named> = allowed
                .iter()
                .filter(|socket| socket.starts_with(&path) && socket.exists())
                .map(|socket| Named { path: socket.clone(), changes: false })
                .collect();
            if inside.is_empty() {
                self.cover(&path);
            } else if path.is_dir() {
                let own = self.fresh();
                self.restore_all(&own, &path, &inside, &[], 0);
                self.bind(&own, &path, true);
                self.attributes(&path, false, INERT, 0);
                self.differs(&path);
            }
        }
    }

    /// Something empty in the place of what is at `path`.
    fn cover(&mut self, path: &Path) {
        let Ok(found) = path.symlink_metadata() else { return };
        let of = if found.is_dir() { self.empty() } else { self.nothing() };
        self.bind_if_there(&of, path);
        self.moved.push((c_path(path), (found.dev(), found.ino())));
    }

    fn empty(&mut self) -> PathBuf {
        let path = Path::new(TOP).join("empty");
        if !std::mem::replace(&mut self.has_empty, true) {
            self.directory(&path);
            self.freeze(&path, INERT);
        }
        path
    }

    fn nothing(&mut self) -> PathBuf {
        let path = Path::new(TOP).join("nothing");
        if !std::mem::replace(&mut self.has_nothing, true) {
            self.file(&path);
            self.freeze(&path, INERT);
        }
        path
    }

    /// A mount of its own, whose attributes every further bind of it has too.
    fn freeze(&mut self, path: &Path, attributes: u64) {
        self.bind(path, path, false);
        self.attributes(path, false, attributes, 0);
    }

    /// A directory of the tmpfs in the place of `at`, with what was named of it.
    fn place(&mut self, at: &Path, is_scratch: bool, named: &[Named], pins: &[&Pin], sources: &Sources<'_>) {
        let own = self.fresh();
        self.restore_all(&own, at, named, pins, sources.rights.read);
        if sources.directory.starts_with(at)
            && !named.iter().any(|named| sources.directory.starts_with(&named.path))
        {
            let inside = own.join(sources.directory.strip_prefix(at).unwrap_or(Path::new("")));
            self.directories(&own, &inside);
            self.directory(&inside);
        }
        let inside = |pin: &&&Pin| pin.at.starts_with(at) && !is_changed(&pin.at, named);
        for pin in pins.iter().filter(inside) {
            let inside = own.join(pin.at.strip_prefix(at).unwrap_or(&pin.at));
            self.directories(&own, &inside);
            self.pin(pin, &inside, sources);
        }
        self.differs(at);
        self.bind(&own, at, true);
        if is_scratch {
            self.grant(at, sources.rights.all);
        } else {
            self.attributes(at, false, READ_ONLY, 0);
            self.read_only.push(c_path(at));
        }
    }

    fn restore_all(&mut self, own: &Path, at: &Path, named: &[Named], pins: &[&Pin], read: u64) {
        // A place that is only made for a pin, beneath what was named.
        if let Some(above) = named.iter().rfind(|named| named.path != at && at.starts_with(&named.path))
            && !above.changes
        {
            self.restore(own, own, at, false, pins, read);
        }
        for named in named.iter().filter(|named| named.path.starts_with(at)) {
            let to = own.join(named.path.strip_prefix(at).unwrap_or(&named.path));
            self.restore(own, &to, &named.path, named.changes, pins, read);
        }
    }

    /// What is at `path` at `to` too; a directory above a pin entry by entry, so that nobody outside can
    /// rename what leads to it.
    fn restore(&mut self, own: &Path, to: &Path, path: &Path, changes: bool, pins: &[&Pin], read: u64) {
        let Ok(found) = path.symlink_metadata() else { return };
        self.directories(own, to);
        let leads_to_pin = || pins.iter().any(|pin| pin.at.starts_with(path));
        if found.is_dir() && !changes && leads_to_pin() {
            self.directory(to);
            self.grant(path, read);
            for entry in std::fs::read_dir(path).into_iter().flatten().filter_map(Result::ok) {
                let (inside, from) = (to.join(entry.file_name()), entry.path());
                match std::fs::read_link(&from) {
                    Ok(target) => self.steps.push(Step::Link { at: c_path(&inside), to: c_path(&target) }),
                    Err(_) if pins.iter().any(|pin| pin.at == from) => {}
                    Err(_) => self.restore(own, &inside, &from, false, pins, read),
                }
            }
            return;
        }
        if to != own {
            if found.is_dir() { self.directory(to) } else { self.file(to) }
        }
        self.bind_tree_if_there(path, to);
        if changes {
            self.attributes(to, true, 0, READ_ONLY);
        }
    }

    fn pin_in_place<'p>(&mut self, pins: impl IntoIterator<Item = &'p Pin>, sources: &Sources<'_>) {
        for pin in pins {
            self.has_loose_pins |= pin.loose_from().is_some();
            self.differs(&pin.at);
            let file = self.pinned(pin);
            self.bind(&file, &pin.at, false);
            self.grant(&pin.at, sources.rights.read_file);
        }
    }

    fn pin(&mut self, pin: &Pin, at: &Path, sources: &Sources<'_>) {
        self.file(at);
        let file = self.pinned(pin);
        self.bind(&file, at, false);
        self.grant(&pin.at, sources.rights.read_file);
    }

    fn pinned(&mut self, pin: &Pin) -> PathBuf {
        let file = self.fresh_name();
        self.steps.push(Step::Copy { of: pin.content, at: c_path(&file), mode: pin.mode });
        self.freeze(&file, INERT & !libc::MOUNT_ATTR_NOEXEC);
        file
    }

    fn fresh(&mut self) -> PathBuf {
        let path = self.fresh_name();
        self.directory(&path);
        path
    }

    fn fresh_name(&mut self) -> PathBuf {
        self.made += 1;
        Path::new(TOP).join(self.made.to_string())
    }

    /// The directories between `own` and `path`.
    fn directories(&mut self, own: &Path, path: &Path) {
        let above: Vec<&Path> =
            path.ancestors().skip(1).take_while(|above| *above != own && above.starts_with(own)).collect();
        for directory in above.into_iter().rev() {
            self.directory(directory);
        }
    }

    fn directory(&mut self, at: &Path) {
        self.steps.push(Step::Directory { at: c_path(at) });
    }

    fn file(&mut self, at: &Path) {
        self.steps.push(Step::File { at: c_path(at) });
    }

    fn bind(&mut self, of: &Path, at: &Path, tree: bool) {
        self.steps.push(Step::Bind { of: c_path(of), at: c_path(at), tree, if_there: false });
    }

    fn bind_if_there(&mut self, of: &Path, at: &Path) {
        self.steps.push(Step::Bind { of: c_path(of), at: c_path(at), tree: false, if_there: true });
    }

    fn bind_tree_if_there(&mut self, of: &Path, at: &Path) {
        self.steps.push(Step::Bind { of: c_path(of), at: c_path(at), tree: true, if_there: true });
    }

    fn attributes(&mut self, at: &Path, tree: bool, set: u64, clear: u64) {
        self.steps.push(Step::Attributes { at: c_path(at), tree, set, clear });
    }

    fn grant(&mut self, at: &Path, rights: u64) {
        if rights != 0 {
            self.grants.push((c_path(at), rights));
        }
    }

    fn differs(&mut self, path: &Path) {
        if let Ok(found) = path.symlink_metadata() {
            self.moved.push((c_path(path), (found.dev(), found.ino())));
        }
    }
}

/// What the program may read or change, in the order of the paths; of two entries for one path the one that
/// changes.
fn named(spec: &Spec) -> Vec<Named> {
    let reads = spec.readable.iter().map(PathBuf::as_path).chain([spec.image.path()]);
    let reads = reads.map(|path| Named { path: resolve(path), changes: false });
    let changes = spec.writable.iter().map(|path| Named { path: resolve(path), changes: true });
    let mut all: Vec<Named> = reads.chain(changes).filter(|named| named.path.exists()).collect();
    all.sort_by(|a, b| a.path.cmp(&b.path).then(b.changes.cmp(&a.changes)));
    all.dedup_by(|later, first| later.path == first.path);
    all
}

fn is_changed(path: &Path, named: &[Named]) -> bool {
    named.iter().any(|named| named.changes && path.starts_with(&named.path))
}

/// The directories that are made anew, and whether the program may write there: scratch, the sockets of
/// services, and those that the user could rename away with a pin in them.
fn places(named: &[Named], pins: &[&Pin]) -> Vec<(PathBuf, bool)> {
    let is_named = |path: &Path| named.iter().any(|named| path.starts_with(&named.path));
    let scratch = SCRATCH.iter().map(|path| (resolve(Path::new(path)), true));
    let others = [(resolve(Path::new("/run")), false)];
    let free = scratch.chain(others).filter(|(path, _)| !is_named(path));
    let loose = pins.iter().filter(|pin| !is_changed(&pin.at, named)).filter_map(|pin| pin.loose_from());
    let loose = loose.filter(|path| *path != Path::new("/")).map(|path| (path.to_owned(), false));
    let mut all: Vec<(PathBuf, bool)> = free.chain(loose).filter(|(path, _)| path.is_dir()).collect();
    // Of the same path the first; of two one beneath the other, the upper one.
    all.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    let mut kept: Vec<(PathBuf, bool)> = Vec::new();
    for (path, is_scratch) in all {
        if !kept.iter().any(|(above, _)| path.starts_with(above)) {
            kept.push((path, is_scratch));
        }
    }
    kept
}

fn is_mount(path: &Path) -> bool {
    let device = |path: &Path| path.metadata().map(|of| of.dev()).ok();
    device(path).is_some() && device(path) != device(Path::new("/"))
}

//! The Landlock ruleset of a start, built before the fork; the program restricts itself with it.
//!
//! Landlock (landlock(7)) knows rights for whole trees of files and no exceptions from them. To hide a
//! path, each directory above it is given nothing but the right to be listed, and each of its other
//! entries is granted by itself. What appears there later was granted by nobody.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, CreateRulesetError, PathBeneath,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};

use super::hidden::{Hidden, RUNTIME, resolve};
use super::kept::{Looked, PARTS, Purpose, RULESETS};
use super::sys_confine;
use crate::{Engine, Spec, Tier};

/// What the domain of the lowest tier handles. Moving between directories must be, since every domain refuses
/// it unless it is granted.
const NEUTRAL: BitFlags<AccessFs> = landlock::make_bitflags!(AccessFs::{MakeBlock | Refer});

/// The newest version whose rights this crate knows and was tried with.
const KNOWN: u32 = 7;

/// Devices that give away nothing and act on nothing.
const DEVICES: [&str; 7] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx"];

/// What a program in `Lockdown` may read and execute: the system's programs and libraries, and how names
/// of users, times and processors are told.
const SYSTEM: [&str; 18] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/proc/meminfo",
    "/proc/cpuinfo",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu",
];

/// A ruleset, and the version of Landlock that the kernel gave.
pub(super) struct Rules {
    pub(super) ruleset: Arc<OwnedFd>,
    pub(super) version: u32,
}

/// Rights for what is made after the ruleset, as the kernel takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rights {
    pub(super) all: u64,
    pub(super) read: u64,
    pub(super) read_file: u64,
    pub(super) list: u64,
}

impl Rights {
    /// Those that this version handles.
    pub(super) fn of(version: u32) -> Rights {
        let abi = ABI::from(version.min(KNOWN).cast_signed());
        let (all, read) = (AccessFs::from_all(abi), AccessFs::from_read(abi));
        let read_file = read & AccessFs::from_file(abi);
        let list = read & AccessFs::ReadDir;
        Rights { all: all.bits(), read: read.bits(), read_file: read_file.bits(), list: list.bits() }
    }
}

/// The version of Landlock that the running kernel has, 0 where it has none.
pub(super) fn version() -> u32 {
    sys_confine::landlock_version().unwrap_or(0)
}

/// The rules for `spec` by the given version of Landlock, which must not be newer than the kernel's; `None`
/// where it needs none, or where the version is 0.
pub(super) fn rules(
    spec: &Spec,
    hidden: &Hidden,
    terminals: &[BorrowedFd<'_>],
    version: u32,
) -> Result<Option<Rules>, RulesetError> {
    if version == 0 || (spec.tier == Tier::None && spec.private_group.is_none()) {
        return Ok(None);
    }
    let purpose = Purpose {
        tier: spec.tier,
        version,
        hidden: hidden.iter().map(Path::to_owned).collect(),
        readable: [spec.image.path().to_owned()].into_iter().chain(spec.readable.iter().cloned()).collect(),
        writable: spec.writable.clone(),
    };
    let abi = ABI::from(version.min(KNOWN).cast_signed());
    if spec.engine == Engine::Namespaces {
        let made = extensible(spec, hidden, terminals, abi, purpose)?;
        return Ok(made.map(|ruleset| Rules { ruleset: Arc::new(ruleset), version }));
    }
    // A terminal is another each time.
    let keeps = terminals.is_empty();
    if keeps && let Some(ruleset) = RULESETS.find(&purpose) {
        return Ok(Some(Rules { ruleset, version }));
    }
    let (made, looked, _) = make(spec, hidden, terminals, abi)?;
    let ruleset: Option<OwnedFd> = made.into();
    Ok(ruleset.map(|ruleset| {
        let ruleset = Arc::new(ruleset);
        if keeps {
            RULESETS.keep(purpose, looked, &ruleset);
        }
        Rules { ruleset, version }
    }))
}

/// A ruleset that is no other start's, since what is mounted for this one is added to it.
fn extensible(
    spec: &Spec,
    hidden: &Hidden,
    terminals: &[BorrowedFd<'_>],
    abi: ABI,
    purpose: Purpose,
) -> Result<Option<OwnedFd>, RulesetError> {
    if spec.tier > Tier::None
        && let Some(parts) = PARTS.find(&purpose)
        && let Some(ruleset) = create(spec.tier, abi)?.into()
    {
        let ruleset: OwnedFd = ruleset;
        let parts = parts.iter().map(|(beneath, rights)| (beneath.as_fd(), *rights));
        let terminals = terminals.iter().map(|terminal| (*terminal, device_rights(abi).bits()));
        let mut all = parts.chain(terminals);
        let allow = |(beneath, rights)| sys_confine::landlock_allow(ruleset.as_fd(), beneath, rights).is_ok();
        if all.all(allow) {
            return Ok(Some(ruleset));
        }
    }
    let (made, looked, parts) = make(spec, hidden, terminals, abi)?;
    PARTS.keep(purpose, looked, &Arc::new(parts));
    Ok(made.into())
}

fn make(spec: &Spec, hidden: &Hidden, terminals: &[BorrowedFd<'_>], abi: ABI) -> Made {
    let rules = create(spec.tier, abi)?;
    let keeps_parts = spec.engine == Engine::Namespaces;
    match spec.tier {
        Tier::None => Ok((neutral(rules)?, Looked::new(), Vec::new())),
        Tier::Hardened => {
            let uncovered = hidden.without_directories();
            let hidden = if spec.engine == Engine::Namespaces { &uncovered } else { hidden };
            hardened(Granting::new(rules, hidden, abi, keeps_parts), spec, terminals)
        }
        Tier::Lockdown => lockdown(Granting::new(rules, hidden, abi, keeps_parts), spec, terminals),
    }
}

/// Without any rule: everything that is handled is refused.
fn create(tier: Tier, abi: ABI) -> Result<RulesetCreated, RulesetError> {
    let (files, scopes) = (AccessFs::from_all(abi), Scope::from_all(abi));
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    let rules = match tier {
        Tier::None => ruleset.handle_access(NEUTRAL)?,
        Tier::Hardened => scoped(ruleset.handle_access(files)?, scopes)?,
        Tier::Lockdown => {
            let rules = scoped(ruleset.handle_access(files)?, scopes)?;
            let ports = AccessNet::from_all(abi);
            if ports.is_empty() { rules } else { rules.handle_access(ports)? }
        }
    };
    rules.create()
}

/// Nothing to scope is an error to the library.
fn scoped(rules: Ruleset, scopes: BitFlags<Scope>) -> Result<Ruleset, RulesetError> {
    if scopes.is_empty() { Ok(rules) } else { rules.scope(scopes) }
}

/// A domain that refuses nothing of what an ordinary program does. It is there to be one: a process in a
/// domain cannot trace or read one outside of it.
fn neutral(rules: RulesetCreated) -> Result<RulesetCreated, RulesetError> {
    match open_path(Path::new("/")) {
        Some(root) => rules.add_rule(PathBeneath::new(root, NEUTRAL)),
        None => Ok(rules),
    }
}

type Made = Result<(RulesetCreated, Looked, Vec<(OwnedFd, u64)>), RulesetError>;

fn hardened(mut rules: Granting<'_>, spec: &Spec, terminals: &[BorrowedFd<'_>]) -> Made {
    let all = AccessFs::from_all(rules.abi);
    if spec.engine == Engine::Namespaces {
        // Mounts hide. Where another file can take the place of a hidden one, it is hidden here too.
        rules.grant(Path::new("/"), all, true)?;
        return rules.done();
    }
    let read = AccessFs::from_read(rules.abi);
    for entry in rules.entries(Path::new("/")) {
        let path = Path::new("/").join(&entry.name);
        match entry.name.as_encoded_bytes() {
            b"dev" => rules.give(&path, AccessFs::ReadDir.into(), true)?,
            // What can be written there acts on other processes of the user, or on the machine.
            b"proc" | b"sys" => rules.give(&path, read, true)?,
            b"run" => rules.grant_but(&path, Path::new(RUNTIME), all)?,
            _ => rules.grant(&path, all, entry.directory)?,
        }
    }
    rules.give(Path::new("/"), AccessFs::ReadDir.into(), true)?;
    devices(&mut rules, terminals)?;
    for path in &spec.writable {
        rules.grant_named(path, all)?;
    }
    rules.done()
}

fn lockdown(mut rules: Granting<'_>, spec: &Spec, terminals: &[BorrowedFd<'_>]) -> Made {
    let read = AccessFs::from_read(rules.abi);
    // What is exchanged there changes one of these two directories.
    rules.looked.listed(Path::new("/"));
    rules.looked.listed(Path::new("/etc"));
    for path in SYSTEM {
        rules.grant_found(Path::new(path), read)?;
    }
    rules.grant_named(spec.image.path(), read)?;
    devices(&mut rules, terminals)?;
    for path in &spec.readable {
        rules.grant_named(path, read)?;
    }
    for path in &spec.writable {
        rules.grant_named(path, AccessFs::from_all(rules.abi))?;
    }
    rules.done()
}

/// The harmless devices, and the terminals among the program's own streams: no other terminal of the user,
/// where a passphrase may be typed.
fn devices(rules: &mut Granting<'_>, terminals: &[BorrowedFd<'_>]) -> Result<(), RulesetError> {
    let rights = device_rights(rules.abi);
    for path in DEVICES {
        rules.give(&resolve(Path::new(path)), rights, false)?;
    }
    for terminal in terminals {
        rules.add(terminal, rights)?;
    }
    Ok(())
}

fn device_rights(abi: ABI) -> BitFlags<AccessFs> {
    let rights = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev | AccessFs::Truncate;
    rights & AccessFs::from_all(abi)
}

struct Granting<'a> {
    rules: Option<RulesetCreated>,
    hidden: &'a Hidden,
    abi: ABI,
    looked: Looked,
    /// The rules so far, terminals left out, where they are asked for.
    parts: Option<Vec<(OwnedFd, u64)>>,
}

impl<'a> Granting<'a> {
    fn new(rules: RulesetCreated, hidden: &'a Hidden, abi: ABI, keeps_parts: bool) -> Granting<'a> {
        let parts = keeps_parts.then(Vec::new);
        Granting { rules: Some(rules), hidden, abi, looked: Looked::new(), parts }
    }

    fn done(self) -> Made {
        let missing = RulesetError::CreateRuleset(CreateRulesetError::MissingHandledAccess);
        Ok((self.rules.ok_or(missing)?, self.looked, self.parts.unwrap_or_default()))
    }

    fn entries(&mut self, path: &Path) -> Vec<Entry> {
        self.looked.listed(path);
        entries(path)
    }

    fn add(&mut self, beneath: impl AsFd, rights: BitFlags<AccessFs>) -> Result<(), RulesetError> {
        if let Some(rules) = self.rules.take() {
            self.rules = Some(rules.add_rule(PathBeneath::new(beneath, rights))?);
        }
        Ok(())
    }

    /// What the caller named, by a canonical path. A link in it was not there when it was named, and leads
    /// where nobody said: it grants nothing, as what is not there.
    fn grant_named(&mut self, path: &Path, rights: BitFlags<AccessFs>) -> Result<(), RulesetError> {
        self.looked.named(path);
        let Some(named) = open_path(path) else { return Ok(()) };
        let directory =
            fstat(&named).is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Directory);
        self.grant(path, rights, directory)
    }

    fn grant_found(&mut self, path: &Path, rights: BitFlags<AccessFs>) -> Result<(), RulesetError> {
        let path = resolve(path);
        match path.symlink_metadata() {
            Ok(found) => self.grant(&path, rights, found.is_dir()),
            Err(_) => Ok(()),
        }
    }

    /// `path` and all beneath it, but for what is hidden.
    fn grant(
        &mut self,
        path: &Path,
        rights: BitFlags<AccessFs>,
        directory: bool,
    ) -> Result<(), RulesetError> {
        if self.hidden.covers(path) {
            return Ok(());
        }
        if !self.hidden.lies_beneath(path) {
            return self.give(path, rights, directory);
        }
        self.give(path, AccessFs::ReadDir.into(), true)?;
        for entry in self.entries(path) {
            self.grant(&path.join(&entry.name), rights, entry.directory)?;
        }
        Ok(())
    }

    /// The entries of `path`, without `except`.
    fn grant_but(
        &mut self,
        path: &Path,
        except: &Path,
        rights: BitFlags<AccessFs>,
    ) -> Result<(), RulesetError> {
        self.give(path, AccessFs::ReadDir.into(), true)?;
        for entry in self.entries(path) {
            let entry_path = path.join(&entry.name);
            if entry_path != except {
                self.grant(&entry_path, rights, entry.directory)?;
            }
        }
        Ok(())
    }

    fn give(&mut self, path: &Path, rights: BitFlags<AccessFs>, directory: bool) -> Result<(), RulesetError> {
        let rights = if directory { rights } else { rights & AccessFs::from_file(self.abi) };
        match open_path(path) {
            Some(beneath) if !rights.is_empty() => {
                self.add(&beneath, rights)?;
                if let Some(parts) = &mut self.parts {
                    parts.push((beneath, rights.bits()));
                }
                Ok(())
            }
            // What cannot be opened cannot be reached by the program either.
            _ => Ok(()),
        }
    }
}

struct Entry {
    name: std::ffi::OsString,
    directory: bool,
}

/// The entries of a directory, links left out: what they lead to is granted by its own path or not at all.
fn entries(path: &Path) -> Vec<Entry> {
    let Ok(list) = std::fs::read_dir(path) else { return Vec::new() };
    let entry = |entry: std::fs::DirEntry| {
        let kind = entry.file_type().ok()?;
        (!kind.is_symlink()).then(|| Entry { name: entry.file_name(), directory: kind.is_dir() })
    };
    list.filter_map(Result::ok).filter_map(entry).collect()
}

/// Without a link anywhere in the path: where one appeared, there is nothing to grant.
fn open_path(path: &Path) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS).ok()
}

#[cfg(test)]
#[path = "landlock_tests.rs"]
mod tests;

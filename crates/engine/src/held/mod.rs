//! How a run is held by its sandbox: the grant's tier and confinement, laid into a start.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use envseal_sandbox::{Enforced, Engine, Given, Guarantee, Image, Running, Spec, StartError, Tier};
use envseal_vault::{Confinement, EngineName, Grant, TierName};

use crate::confinement::guarantee;
use crate::environment::TEMPORARY;

#[cfg(unix)]
mod homes;
#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

pub use system::start;

/// What a run is held by.
pub struct Held {
    /// The tier: the grant's, or a stronger one that was asked for.
    pub tier: TierName,
    /// All else is the grant's.
    pub confinement: Confinement,
    /// Out of reach from `Hardened` on.
    hidden: Vec<PathBuf>,
    /// A directory for temporary files that is the run's alone, and goes when this is dropped.
    scratch: Option<Scratch>,
}

/// A directory that was made for a run, and goes with all that is in it when this is dropped.
struct Scratch {
    path: PathBuf,
    /// It, or the one that it is in.
    _kept: tempfile::TempDir,
}

impl Held {
    /// For a run that asks for `tier` by `grant`; `hidden` is where the vault and its notes are.
    pub fn new(tier: Option<TierName>, grant: &Grant, hidden: Vec<PathBuf>) -> Self {
        let tier = tier.map_or(grant.tier, |tier| tier.max(grant.tier));
        Self { tier, confinement: grant.confinement.clone(), hidden, scratch: None }
    }

    /// A path that the grant lets through and that now leads to another one: it was replaced by a link.
    pub fn moved(&self) -> Option<&Path> {
        let granted = &self.confinement;
        let mut paths = granted.reads.iter().chain(&granted.writes).chain(&granted.sockets);
        // What is not there lets nothing through.
        let moved = paths.find(|path| dunce::canonicalize(path).is_ok_and(|found| found != **path));
        moved.map(PathBuf::as_path)
    }

    /// Makes what the program would fail without: directories in its home, a place for temporary files, which in
    /// `Lockdown` is opened to `image` as far as the system's means need it.
    pub fn prepare(
        &mut self,
        home: &Path,
        names: &[&OsStr],
        temporary: &OsStr,
        image: &Image,
    ) -> io::Result<()> {
        if self.tier == TierName::None {
            return Ok(());
        }
        if self.tier == TierName::Hardened {
            system::prepare(home, names, &self.hidden);
        }
        let temporary = Path::new(temporary);
        let usable = temporary.is_absolute() && temporary.is_dir();
        let temporary = dunce::canonicalize(if usable { temporary.to_owned() } else { system::temporary() })?;
        // In `Hardened` the usual place does, unless nothing new can be made there.
        let closed = self.hidden.iter().any(|path| path.starts_with(&temporary));
        if self.tier == TierName::Lockdown || closed {
            let kept = system::directory(tempfile::Builder::new().prefix("envseal-"), &temporary)?;
            let image = (self.tier == TierName::Lockdown).then_some(image);
            self.scratch = Some(Scratch { path: system::open_to(image, kept.path())?, _kept: kept });
        }
        Ok(())
    }

    /// Starts what was laid.
    pub fn start(&self, spec: Spec) -> Result<Running, StartError> {
        start(spec, self.confinement.engine, self.waives(Guarantee::L6))
    }

    /// What the tier names, this system does not give, and nobody waived: where its tiers promise less (Windows).
    pub fn missing(&self, enforced: &Enforced) -> Option<String> {
        let missing =
            enforced.iter().filter(|(one, given)| matches!(given, Given::No(_)) && !self.waives(*one));
        let ids: Vec<_> = missing.map(|(one, _)| one.id()).collect();
        (self.tier > TierName::None && !ids.is_empty()).then(|| {
            format!("tier {} does not give {} here; envseal status says why", self.tier, ids.join(", "))
        })
    }

    /// Whether the owner said that it need not hold.
    pub fn waives(&self, one: Guarantee) -> bool {
        self.confinement.weaker.iter().any(|name| guarantee(*name) == Some(one))
    }

    /// The same start, held. `needs` are the files that the program reads by path.
    pub fn lay<'a>(&self, spec: Spec, needs: impl IntoIterator<Item = &'a Path>) -> Spec {
        let granted = &self.confinement;
        let weaker = granted.weaker.iter().copied().filter_map(guarantee);
        let mut spec = spec.tier(tier(self.tier)).engine(engine(granted.engine)).allow_weaker(weaker);
        if self.tier == TierName::None {
            return spec;
        }
        spec = self.hidden.iter().fold(spec, |spec, path| spec.hide(path));
        spec = granted.reads.iter().fold(spec, |spec, path| spec.read(path));
        spec = granted.writes.iter().fold(spec, |spec, path| spec.write(path));
        spec = system::sockets(spec, &granted.sockets);
        spec = needs.into_iter().fold(spec, |spec, path| spec.read(path));
        match &self.scratch {
            Some(scratch) => {
                let spec = spec.write(&scratch.path);
                TEMPORARY.iter().fold(spec, |spec, name| spec.env(name, &scratch.path))
            }
            None => spec,
        }
    }
}

/// What the sandbox calls a tier.
pub fn tier(name: TierName) -> Tier {
    match name {
        TierName::None => Tier::None,
        TierName::Hardened => Tier::Hardened,
        TierName::Lockdown => Tier::Lockdown,
    }
}

/// What the sandbox calls an engine.
pub fn engine(name: EngineName) -> Engine {
    match name {
        EngineName::Private => Engine::Private,
        EngineName::Namespaces => Engine::Namespaces,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approve::{Choice, grant_for};
    use crate::request::tests::sample;

    pub(super) fn grant(tier: TierName) -> Grant {
        Grant { tier, ..grant_for(&sample(), Choice::Always, 0, Default::default()) }
    }

    #[test]
    fn the_tier_is_the_grants_or_a_stronger_one_that_was_asked_for() {
        use TierName::{Hardened, Lockdown, None as Plain};
        for (asked, least, held) in [
            (None, Plain, Plain),
            (None, Hardened, Hardened),
            (Some(Hardened), Plain, Hardened),
            (Some(Lockdown), Hardened, Lockdown),
            (Some(Plain), Hardened, Hardened),
        ] {
            assert_eq!(Held::new(asked, &grant(least), vec![]).tier, held);
        }
    }

    #[test]
    fn a_scratch_directory_is_the_runs_alone_and_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let top = dunce::canonicalize(dir.path()).unwrap();
        let scratch = |tier: TierName, hidden: Vec<PathBuf>| {
            let mut held = Held::new(None, &grant(tier), hidden);
            let image = Image::open(&std::env::current_exe().unwrap()).unwrap();
            held.prepare(Path::new("/nonexistent"), &[], top.as_os_str(), &image).unwrap();
            held
        };
        assert!(scratch(TierName::None, vec![top.join("vault")]).scratch.is_none());
        assert!(scratch(TierName::Hardened, vec!["/elsewhere".into()]).scratch.is_none());
        assert!(scratch(TierName::Hardened, vec![top.join("vault")]).scratch.is_some());
        let held = scratch(TierName::Lockdown, vec![]);
        let path = held.scratch.as_ref().unwrap().path.clone();
        assert!(path.starts_with(&top) && path.is_dir());
        std::fs::write(path.join("x"), "x").unwrap();
        drop(held);
        assert!(!path.exists() && top.read_dir().unwrap().next().is_none(), "nothing stays");
    }
}

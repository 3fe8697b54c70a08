//! What a run asks of its sandbox beside the tier.
//!
//! Whoever asks may be an agent, so asking changes nothing: what a run gets is what its grant says, and what the
//! grant does not say is refused. Only an owner who is asked turns a wish into a grant.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use envseal_sandbox::Guarantee;
use envseal_vault::{Confinement, EngineName, GuaranteeName};

/// What is asked. By default nothing: whatever the grant says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AskedConfinement {
    /// By which means the tier is held; `None` is the grant's.
    pub engine: Option<EngineName>,
    /// Guarantees that need not hold.
    pub weaker: BTreeSet<GuaranteeName>,
    /// Files and trees to read in `Lockdown`.
    pub reads: Vec<PathBuf>,
    /// Files and trees to read and change in `Lockdown`.
    pub writes: Vec<PathBuf>,
    /// Sockets to connect to.
    pub sockets: Vec<PathBuf>,
}

/// A path that is to be let through does not exist, or cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("{option} {}: {source}", crate::show::visible(path.as_os_str()))]
pub struct NoSuchPath {
    /// The option that names it.
    pub option: &'static str,
    /// The path as it was given.
    pub path: PathBuf,
    /// What the system said.
    pub source: std::io::Error,
}

impl AskedConfinement {
    /// The same with every path canonical, `cwd` being what a relative one is relative to.
    pub fn canonical(self, cwd: &Path) -> Result<Self, NoSuchPath> {
        let all = |option, paths: Vec<PathBuf>| -> Result<Vec<PathBuf>, NoSuchPath> {
            let one = |path: PathBuf| match dunce::canonicalize(cwd.join(&path)) {
                Ok(found) => Ok(found),
                Err(source) => Err(NoSuchPath { option, path, source }),
            };
            // In order and once: the same wish is the same request.
            let paths = paths.into_iter().map(one).collect::<Result<BTreeSet<_>, _>>()?;
            Ok(paths.into_iter().collect())
        };
        Ok(Self {
            reads: all("--read", self.reads)?,
            writes: all("--write", self.writes)?,
            sockets: all("--socket", self.sockets)?,
            ..self
        })
    }

    /// Whether a grant that says `granted` gives all of this.
    pub fn is_within(&self, granted: &Confinement) -> bool {
        let beneath = |path: &PathBuf, of: &[PathBuf]| of.iter().any(|named| path.starts_with(named));
        self.engine.is_none_or(|engine| engine == granted.engine)
            && self.weaker.is_subset(&granted.weaker)
            && self.reads.iter().all(|path| beneath(path, &granted.reads) || beneath(path, &granted.writes))
            && self.writes.iter().all(|path| beneath(path, &granted.writes))
            && self.sockets.iter().all(|path| granted.sockets.contains(path))
    }

    /// What a grant for this says.
    pub fn granted(&self) -> Confinement {
        Confinement {
            engine: self.engine.unwrap_or_default(),
            weaker: self.weaker.clone(),
            reads: self.reads.clone(),
            writes: self.writes.clone(),
            sockets: self.sockets.clone(),
        }
    }
}

/// The options of `envseal allow` and `envseal run` that say this.
pub fn options(confinement: &Confinement) -> Vec<OsString> {
    let mut words = Vec::new();
    if confinement.engine != EngineName::default() {
        words.extend(["--engine".into(), confinement.engine.to_string().into()]);
    }
    let paths = [
        ("--read", &confinement.reads),
        ("--write", &confinement.writes),
        ("--socket", &confinement.sockets),
    ];
    for (option, paths) in paths {
        for path in paths {
            words.extend([option.into(), path.into()]);
        }
    }
    if !confinement.weaker.is_empty() {
        words.extend(["--allow-weaker".into(), ids(&confinement.weaker).into()]);
    }
    words
}

/// Ids with commas between.
pub fn ids(weaker: &BTreeSet<GuaranteeName>) -> String {
    weaker.iter().map(|name| name.id()).collect::<Vec<_>>().join(",")
}

/// What the sandbox calls a guarantee.
pub fn guarantee(name: GuaranteeName) -> Option<Guarantee> {
    Guarantee::ALL.into_iter().find(|guarantee| guarantee.id() == name.id())
}

/// A waived guarantee as a sentence: `L6 (memory ...) need not hold`.
pub fn waived(name: GuaranteeName) -> String {
    let title = guarantee(name).map_or("unknown", Guarantee::title);
    format!("{name} ({title}) need not hold.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted() -> Confinement {
        Confinement {
            engine: EngineName::Namespaces,
            weaker: ["L6", "N6"].map(|id| id.parse().unwrap()).into(),
            reads: vec!["/data/in".into()],
            writes: vec!["/data/out".into()],
            sockets: vec!["/run/db.sock".into()],
        }
    }

    #[test]
    fn the_vault_and_the_sandbox_know_the_same_guarantees_in_the_same_order() {
        let known = Guarantee::ALL.map(Guarantee::id);
        assert_eq!(known, GuaranteeName::IDS);
        let names: Vec<GuaranteeName> = known.iter().map(|id| id.parse().unwrap()).collect();
        assert!(names.is_sorted());
        assert!(waived(names[14]).starts_with("L6 (memory and environment unreadable"));
    }

    #[test]
    fn what_a_grant_says_and_less_is_within_it_and_more_is_not() {
        let wish = |change: fn(&mut AskedConfinement)| {
            let mut wish = AskedConfinement::default();
            change(&mut wish);
            wish
        };
        let within = [
            wish(|_| {}),
            wish(|w| w.engine = Some(EngineName::Namespaces)),
            wish(|w| w.weaker = ["L6".parse().unwrap()].into()),
            wish(|w| w.reads = vec!["/data/in".into(), "/data/in/a".into(), "/data/out".into()]),
            wish(|w| w.writes = vec!["/data/out/x/y".into()]),
            wish(|w| w.sockets = vec!["/run/db.sock".into()]),
        ];
        let beyond = [
            wish(|w| w.engine = Some(EngineName::Private)),
            wish(|w| w.weaker = ["L5".parse().unwrap()].into()),
            wish(|w| w.weaker = ["L6", "L5"].map(|id| id.parse().unwrap()).into()),
            wish(|w| w.reads = vec!["/data".into()]),
            wish(|w| w.reads = vec!["/data/inner".into()]),
            wish(|w| w.writes = vec!["/data/in".into()]),
            wish(|w| w.sockets = vec!["/run".into()]),
            wish(|w| w.sockets = vec!["/run/db.sock/x".into()]),
        ];
        for wish in &within {
            assert!(wish.is_within(&granted()), "{wish:?}");
        }
        for wish in &beyond {
            assert!(!wish.is_within(&granted()), "{wish:?}");
        }
        // Nothing but the usual means is within the grant that says nothing.
        assert!(within[0].is_within(&Confinement::default()));
        assert!(within[1..].iter().all(|wish| !wish.is_within(&Confinement::default())));
    }

    fn asked(reads: &[&str]) -> AskedConfinement {
        AskedConfinement { reads: reads.iter().map(PathBuf::from).collect(), ..Default::default() }
    }

    #[test]
    fn paths_become_canonical_and_one_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let top = dunce::canonicalize(dir.path()).unwrap();
        std::fs::create_dir(top.join("real")).unwrap();
        let found = asked(&["./real", "real/../real", "real"]).canonical(&top).unwrap();
        assert_eq!(found.reads, [top.join("real")]);
        let error = asked(&["real", "missing"]).canonical(&top).unwrap_err();
        assert!(error.to_string().starts_with("--read missing: "), "{error}");
        assert_eq!(error.source.kind(), std::io::ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let top = dunce::canonicalize(dir.path()).unwrap();
        std::fs::create_dir(top.join("real")).unwrap();
        std::os::unix::fs::symlink("real", top.join("link")).unwrap();
        assert_eq!(asked(&["link", "real"]).canonical(&top).unwrap().reads, [top.join("real")]);
    }
}

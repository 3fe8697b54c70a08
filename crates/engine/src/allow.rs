//! Builds grants from what an owner says at the command line.

use std::ffi::OsString;
use std::path::{Component, MAIN_SEPARATOR, Path, PathBuf, is_separator};

use envseal_vault::{
    ArgsRule, CallerRule, Confinement, Delivery, Digest, Effect, FileRule, Grant, NamePattern, OsText,
    SecretRule, TierName, Variable,
};

use crate::confinement::{AskedConfinement, NoSuchPath};
use crate::environment::{self, RefusedVariable};
use crate::identity::{Identity, IdentityError, file_at, is_path};
use crate::run::Place;

/// What an owner allows.
#[derive(Debug)]
pub struct Permission {
    /// Names or patterns, each with the variable that carries it.
    pub secrets: Vec<(NamePattern, Option<Variable>)>,
    /// The program as typed.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Which arguments it may have.
    pub which: WhichArgs,
    /// The working directory it must have.
    pub cwd: Option<PathBuf>,
    /// Who may ask.
    pub caller: CallerRule,
    /// The least tier.
    pub tier: TierName,
    /// What the sandbox may leave out or let through beside it, paths as typed.
    pub confinement: AskedConfinement,
    /// How secrets are delivered.
    pub deliver: Delivery,
    /// Files and patterns of files whose bytes must stay.
    pub pins: Vec<String>,
    /// Variables that may pass.
    pub pass: Vec<Variable>,
    /// Output may go unmasked.
    pub raw: bool,
    /// How long it holds, in seconds; without an end when `None`.
    pub lives: Option<u64>,
    /// How many runs it allows.
    pub uses: Option<u32>,
}

/// Which arguments are allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhichArgs {
    /// Those that were typed.
    Exact,
    /// Those that begin with the first so many of the typed ones.
    Prefix(usize),
    /// Any.
    Any,
}

/// Why a grant cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AllowError {
    /// The program cannot be identified.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A variable cannot be used.
    #[error(transparent)]
    Variable(#[from] RefusedVariable),
    /// A variable was given for a pattern.
    #[error("{0} stands for many secrets, which cannot share one variable")]
    PatternWithVariable(NamePattern),
    /// Two secrets under one variable.
    #[error("{0} would carry two secrets")]
    Twice(Variable),
    /// Arbitrary code with open arguments.
    #[error("{} runs arbitrary code (its code comes from arguments or input): only exact arguments can be allowed",
        .0.display())]
    Arbitrary(PathBuf),
    /// More arguments than there are.
    #[error("--args-prefix {wanted} asks for more arguments than the {given} given")]
    Prefix {
        /// What was asked for.
        wanted: usize,
        /// What there is.
        given: usize,
    },
    /// The directory is none.
    #[error("{}: {source}", path.display())]
    Directory {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A path that is to be let through is not there.
    #[error(transparent)]
    Path(#[from] NoSuchPath),
    /// A pattern is malformed, or matches nothing, or too much.
    #[error("--pin {pattern}: {why}")]
    Pin {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        why: String,
    },
}

/// The most files that one grant pins; each is read again at every run.
const MOST_PINS: usize = 1_000;

/// A grant that was made, and what its owner should know of it.
#[derive(Debug)]
pub struct Allowed {
    /// The grant.
    pub grant: Grant,
    /// It is for arbitrary code.
    pub arbitrary: bool,
    /// What it pins without being asked: the files that lead the program to other code.
    pub leads: Vec<PathBuf>,
}

/// Makes the grant that `permission` means at `now`.
pub fn allow(permission: Permission, place: &Place, now: u64) -> Result<Allowed, AllowError> {
    permission.pass.iter().try_for_each(environment::check_pass)?;
    let secrets = rules(permission.secrets)?;
    let identity = Identity::resolve(&permission.program, &permission.args, place.search(), &place.cwd)?;
    if identity.arbitrary && permission.which != WhichArgs::Exact {
        return Err(AllowError::Arbitrary(identity.image.path().to_owned()));
    }
    // Options before a script could load other code: with open arguments, all up to the script stay as typed.
    let lead = identity.script_at.map_or(0, |at| at + 1);
    let texts = |args: &[OsString]| args.iter().map(OsText::from).collect();
    let args = match permission.which {
        WhichArgs::Any if lead == 0 => ArgsRule::Any,
        WhichArgs::Any => ArgsRule::Prefix(texts(&permission.args[..lead])),
        WhichArgs::Exact => ArgsRule::Exact(texts(&permission.args)),
        WhichArgs::Prefix(wanted) => match permission.args.get(..wanted.max(lead)) {
            Some(args) => ArgsRule::Prefix(texts(args)),
            None => return Err(AllowError::Prefix { wanted, given: permission.args.len() }),
        },
    };
    let canonical = |path: PathBuf| match dunce::canonicalize(place.cwd.join(&path)) {
        Ok(path) => Ok(path),
        Err(source) => Err(AllowError::Directory { path, source }),
    };
    let grant = Grant {
        effect: Effect::Allow,
        secrets,
        program: identity.program(),
        called: Some(identity.called.clone()),
        shebang: identity.shebang,
        script: identity.script.clone(),
        script_as: identity.script_as.clone(),
        pins: pins(&permission.pins, &identity.leads, place)?,
        args,
        cwd: match permission.cwd {
            Some(path) => Some(canonical(path)?),
            // Code that no file fixes goes by where it is run.
            None => identity.arbitrary.then(|| place.cwd.clone()),
        },
        caller: permission.caller,
        tier: permission.tier,
        confinement: permission.confinement.canonical(&place.cwd)?.granted(),
        deliver: permission.deliver,
        raw: permission.raw,
        pass: permission.pass,
        fixed: place.fixed(),
        created: now,
        expires: permission.lives.map(|seconds| now.saturating_add(seconds)),
        uses: permission.uses,
    };
    let leads = identity.leads.into_iter().map(|lead| lead.path).collect();
    Ok(Allowed { grant, arbitrary: identity.arbitrary, leads })
}

/// Makes the rule that denies a program secrets, with these arguments or, when there are none, with any.
pub fn deny(
    secrets: Vec<NamePattern>,
    program: &OsString,
    args: &[OsString],
    place: &Place,
    now: u64,
) -> Result<Grant, AllowError> {
    let secrets = rules(secrets.into_iter().map(|name| (name, None)).collect())?;
    let (file, script, shebang) = match Identity::resolve(program, args, place.search(), &place.cwd) {
        Ok(identity) => (identity.program(), identity.script, identity.shebang),
        // A program that cannot be read or is not there yet can be denied by its path all the same.
        Err(_) if is_path(program) => {
            (FileRule { path: place.cwd.join(program), sha256: Digest::new([0; 32]) }, None, false)
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Grant {
        effect: Effect::Deny,
        secrets,
        program: file,
        called: None,
        shebang,
        script,
        script_as: None,
        pins: Vec::new(),
        args: match args {
            [] => ArgsRule::Any,
            args => ArgsRule::Exact(args.iter().map(OsText::from).collect()),
        },
        cwd: None,
        caller: CallerRule::Any,
        tier: TierName::None,
        confinement: Confinement::default(),
        deliver: Delivery::Env,
        raw: false,
        pass: Vec::new(),
        fixed: Default::default(),
        created: now,
        expires: None,
        uses: None,
    })
}

fn rules(secrets: Vec<(NamePattern, Option<Variable>)>) -> Result<Vec<SecretRule>, AllowError> {
    let mut seen = std::collections::BTreeSet::new();
    let rule = |(name, variable): (NamePattern, Option<Variable>)| {
        let carried_by = match (&name, &variable) {
            (NamePattern::Under(_), Some(_)) => return Err(AllowError::PatternWithVariable(name)),
            (NamePattern::Under(_), None) => None,
            (NamePattern::Exact(_), Some(variable)) => Some(variable.clone()),
            (NamePattern::Exact(exact), None) => Some(exact.variable()),
        };
        if let Some(variable) = carried_by {
            environment::check_target(&variable)?;
            if !seen.insert(environment::key(variable.as_str())) {
                return Err(AllowError::Twice(variable));
            }
        }
        Ok(SecretRule { name, variable })
    };
    secrets.into_iter().map(rule).collect()
}

/// Hashes every file that the patterns name, relative to the caller's directory; `leads` are pinned too.
fn pins(patterns: &[String], leads: &[FileRule], place: &Place) -> Result<Vec<FileRule>, AllowError> {
    let mut found = std::collections::BTreeMap::new();
    for pattern in patterns {
        let failed = |why: String| AllowError::Pin { pattern: pattern.clone(), why };
        let root =
            place.cwd.to_str().ok_or_else(|| failed("the working directory's name is not UTF-8".into()))?;
        let absolute = match Path::new(pattern).components().next() {
            _ if Path::new(pattern).is_absolute() => pattern.clone(),
            // On Windows `\x` and `C:x` depend on what the caller's process has for its drives.
            Some(Component::Prefix(_) | Component::RootDir) => {
                return Err(failed("write the whole path, drive and all".into()));
            }
            _ => format!("{}{MAIN_SEPARATOR}{pattern}", glob::Pattern::escape(root)),
        };
        // A pattern that ends in `**` means the files below, not the directories.
        let tree = absolute.strip_suffix("**").is_some_and(|begin| begin.ends_with(is_separator));
        let absolute = if tree { format!("{absolute}{MAIN_SEPARATOR}*") } else { absolute };
        let before = found.len();
        for path in glob::glob(&absolute).map_err(|error| failed(error.to_string()))? {
            let path = path.map_err(|error| failed(error.to_string()))?;
            if path.is_dir() {
                continue;
            }
            let file = file_at(&path).map_err(|error| failed(format!("{}: {error}", path.display())))?;
            found.insert(file.path, file.sha256);
            if found.len() > MOST_PINS {
                return Err(failed(format!("more than {MOST_PINS} files")));
            }
        }
        if found.len() == before {
            return Err(failed("no further file matches".into()));
        }
    }
    found.extend(leads.iter().map(|lead| (lead.path.clone(), lead.sha256)));
    Ok(found.into_iter().map(|(path, sha256)| FileRule { path, sha256 }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(cwd: PathBuf) -> Place {
        let caller = envseal_vault::Caller { pid: 1, uid: 1, ancestry: Vec::new(), terminal: false };
        Place { env: vec![("PATH".into(), "p".into()), ("OTHER".into(), "x".into())], cwd, caller }
    }

    fn permission(secrets: &[&str], pins: &[&str]) -> Permission {
        let secret = |text: &&str| {
            let (name, variable) = text.split_once('=').unwrap_or((text, text));
            (name.parse().unwrap(), Some(variable.parse().unwrap()))
        };
        Permission {
            secrets: secrets.iter().map(secret).collect(),
            program: std::env::current_exe().unwrap().into_os_string(),
            args: vec!["a b".into()],
            which: WhichArgs::Exact,
            cwd: None,
            caller: CallerRule::Any,
            tier: TierName::None,
            confinement: AskedConfinement::default(),
            deliver: Delivery::Env,
            pins: pins.iter().map(|pin| (*pin).to_owned()).collect(),
            pass: Vec::new(),
            raw: false,
            lives: Some(60),
            uses: None,
        }
    }

    /// A directory with some files in it, in brackets that a pattern must not read.
    fn files() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let top = dunce::canonicalize(dir.path()).unwrap().join("my [x] files");
        std::fs::create_dir_all(top.join("lib").join("deep")).unwrap();
        for name in ["main.js", "package.json", "lib/a.js", "lib/deep/b.js"] {
            std::fs::write(top.join(name), name).unwrap();
        }
        (dir, top)
    }

    #[test]
    fn a_grant_says_what_the_owner_said_of_a_program_that_is_known_by_its_bytes() {
        let (_dir, top) = files();
        let Allowed { grant, arbitrary, leads } =
            allow(permission(&["A", "B=C"], &[]), &place(top), 1000).unwrap();
        assert!(leads.is_empty() && grant.pins.is_empty());
        let this = file_at(&std::env::current_exe().unwrap()).unwrap();
        assert_eq!((grant.program, arbitrary, grant.expires), (this, false, Some(1060)));
        assert_eq!(grant.args, ArgsRule::Exact(vec!["a b".into()]));
        let fixed: Vec<_> =
            grant.fixed.iter().map(|(name, value)| (name.as_str(), value.as_os_str())).collect();
        assert_eq!(fixed, [("PATH", "p".as_ref())]);
    }

    #[test]
    fn patterns_pin_every_file_that_they_name() {
        let (_dir, top) = files();
        let place = place(top.clone());
        let pinned = |patterns: &[&str]| -> Vec<PathBuf> {
            allow(permission(&["A"], patterns), &place, 0)
                .unwrap()
                .grant
                .pins
                .into_iter()
                .map(|pin| pin.path)
                .collect()
        };
        assert_eq!(pinned(&["*.json", "main.js"]), [top.join("main.js"), top.join("package.json")]);
        assert_eq!(
            pinned(&["lib/**"]),
            [top.join("lib").join("a.js"), top.join("lib").join("deep").join("b.js")]
        );
        let absolute = top.join("main.js").into_os_string().into_string().unwrap();
        let absolute = glob::Pattern::escape(&absolute);
        assert_eq!(pinned(&[&absolute]), [top.join("main.js")]);
        for nothing in ["none.js", "lib"] {
            let error = allow(permission(&["A"], &[nothing]), &place, 0).unwrap_err();
            assert!(matches!(error, AllowError::Pin { .. }), "{nothing}: {error}");
        }
    }

    #[test]
    fn what_leads_a_program_is_pinned_without_being_asked() {
        let (_dir, top) = files();
        let python = top.join("lib").join("python").with_extension(std::env::consts::EXE_EXTENSION);
        std::fs::copy(std::env::current_exe().unwrap(), &python).unwrap();
        std::fs::write(top.join("pyvenv.cfg"), "version = 3").unwrap();
        let with = |program: &Path, pins: &[&str]| {
            let permission = Permission {
                program: program.as_os_str().to_owned(),
                args: vec!["main.js".into()],
                ..permission(&["A"], pins)
            };
            allow(permission, &place(top.clone()), 0).unwrap()
        };
        let settings = file_at(&top.join("pyvenv.cfg")).unwrap();
        for (pins, count) in [(&[][..], 1), (&["pyvenv.cfg"], 1), (&["*.json"], 2)] {
            let allowed = with(&python, pins);
            assert!(allowed.grant.pins.contains(&settings), "{allowed:?}");
            assert_eq!((allowed.grant.pins.len(), allowed.leads), (count, vec![settings.path.clone()]));
        }
        let other = python.with_file_name(format!("tool{}", std::env::consts::EXE_SUFFIX));
        std::fs::rename(&python, &other).unwrap();
        assert!(with(&other, &[]).grant.pins.is_empty());
    }

    #[test]
    fn two_secrets_under_one_variable_are_refused() {
        let (_dir, top) = files();
        let error = |secrets: &[&str]| allow(permission(secrets, &[]), &place(top.clone()), 0).err();
        assert!(matches!(error(&["A", "B=A"]), Some(AllowError::Twice(_))));
        // Upper and lower case are one on Windows only.
        assert_eq!(error(&["A", "B=a"]).is_some(), cfg!(windows));
    }

    #[cfg(windows)]
    #[test]
    fn a_pattern_that_depends_on_a_drive_is_refused() {
        let (_dir, top) = files();
        for pattern in ["\\main.js", "C:main.js", "/main.js"] {
            let error = allow(permission(&["A"], &[pattern]), &place(top.clone()), 0).unwrap_err();
            assert!(error.to_string().contains("the whole path"), "{pattern}: {error}");
        }
    }
}

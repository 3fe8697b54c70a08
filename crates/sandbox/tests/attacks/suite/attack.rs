//! What an attack is: a name, what it tries, where it must be refused, and the two halves that do it.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::{fmt, io};

use envseal_sandbox::{Engine, Tier};

use super::cell::Cell;

/// One attempt against the tiers.
pub struct Attack {
    /// Its name in the table and on the command line.
    pub name: &'static str,
    /// What is tried, as half a sentence.
    pub tries: &'static str,
    /// Where it must be refused; elsewhere it must succeed.
    pub closed: Closed,
    /// The harness's half: prepares, starts the program and looks at what became of it.
    pub script: fn(&Cell<'_>) -> Tried,
    /// The attack program's half.
    pub act: fn(&Args) -> Tried,
}

impl Attack {
    /// An attack that the program alone carries out.
    pub const fn inside(
        name: &'static str,
        tries: &'static str,
        closed: Closed,
        act: fn(&Args) -> Tried,
    ) -> Attack {
        Attack { name, tries, closed, script: |cell| cell.act(&[]), act }
    }

    /// The same with preparations of the harness.
    pub const fn with(self, script: fn(&Cell<'_>) -> Tried) -> Attack {
        Attack { script, ..self }
    }

    /// An attack that the harness carries out; the program has no part of its own.
    pub const fn outside(
        name: &'static str,
        tries: &'static str,
        closed: Closed,
        script: fn(&Cell<'_>) -> Tried,
    ) -> Attack {
        Attack { name, tries, closed, script, act: |_| fault("this attack has no half of its own") }
    }
}

/// How a program is started in its tier: by which engine, and whether through the installed launcher, which gives
/// it a group that nobody else has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Private,
    Group,
    Namespaces,
}

impl Way {
    pub fn engine(self) -> Engine {
        match self {
            Way::Private | Way::Group => Engine::Private,
            Way::Namespaces => Engine::Namespaces,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Way::Private | Way::Namespaces => self.engine().fmt(f),
            Way::Group => f.write_str("group"),
        }
    }
}

impl FromStr for Way {
    type Err = ();

    fn from_str(text: &str) -> Result<Way, ()> {
        let all = [Way::Private, Way::Group, Way::Namespaces];
        all.into_iter().find(|way| way.to_string() == text).ok_or(())
    }
}

/// From which tier on an attack must be refused, by the way of the start; `None`: it is open by design.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    pub private: Option<Tier>,
    pub group: Option<Tier>,
    pub namespaces: Option<Tier>,
    /// Where the machine has an execute-only loader installed, Lockdown is closed with namespaces too.
    pub by_loader: bool,
}

/// Refused from `tier` on, by both engines.
pub const fn from(tier: Tier) -> Closed {
    Closed { private: Some(tier), group: Some(tier), namespaces: Some(tier), by_loader: false }
}

/// Refused by no tier, and said so.
pub const NEVER: Closed = Closed { private: None, group: None, namespaces: None, by_loader: false };

/// What reads the program's memory from outside: the sealed image in the private engine, in every tier the
/// private group; with namespaces, whose owner the reader is, the installed loader.
pub const READER: Closed =
    Closed { private: Some(Tier::Lockdown), group: Some(Tier::None), namespaces: None, by_loader: true };

impl Closed {
    /// The same, but with namespaces from this tier on.
    pub const fn in_namespaces(self, tier: Option<Tier>) -> Closed {
        Closed { namespaces: tier, ..self }
    }

    /// The same, but with the private group from this tier on.
    pub const fn with_group(self, tier: Option<Tier>) -> Closed {
        Closed { group: tier, ..self }
    }

    /// Whether it must be refused here. `loader`: the machine has the loader installed.
    pub fn expects(self, tier: Tier, way: Way, loader: bool) -> bool {
        let from = match way {
            Way::Private => self.private,
            Way::Group => self.group,
            Way::Namespaces => self.namespaces,
        };
        let by_loader = self.by_loader && loader && way == Way::Namespaces && tier == Tier::Lockdown;
        by_loader || from.is_some_and(|from| tier >= from)
    }
}

/// Whether an attack succeeded, and if not, why.
pub type Tried = Result<(), Miss>;

/// Why an attack did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// The system refused it.
    Refused(String),
    /// The start failed closed.
    NotGiven(String),
    /// The machine cannot do it, protected or not.
    Absent(String),
    /// The attack itself is broken.
    Fault(String),
}

/// What a refusal answers. Anything else is a fault of the attack, until it is understood.
const REFUSALS: [i32; 9] = [
    libc::EPERM,
    libc::EACCES,
    libc::ENOSYS,
    libc::ENOENT,
    libc::ESRCH,
    libc::EROFS,
    libc::EAFNOSUPPORT,
    libc::ENETUNREACH,
    // A namespace in which no further one can be made.
    libc::ENOSPC,
];

impl From<io::Error> for Miss {
    fn from(error: io::Error) -> Miss {
        match error.raw_os_error() {
            Some(errno) if REFUSALS.contains(&errno) => Miss::Refused(error.to_string()),
            _ => Miss::Fault(error.to_string()),
        }
    }
}

impl From<rustix::io::Errno> for Miss {
    fn from(error: rustix::io::Errno) -> Miss {
        io::Error::from(error).into()
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, why) = match self {
            Miss::Refused(why) => ("closed", why),
            Miss::NotGiven(why) => ("not given", why),
            Miss::Absent(why) => ("not on this machine", why),
            Miss::Fault(why) => ("fault", why),
        };
        write!(f, "{kind}: {why}")
    }
}

pub fn fault<T>(why: impl fmt::Display) -> Result<T, Miss> {
    Err(Miss::Fault(why.to_string()))
}

pub fn refused<T>(why: impl fmt::Display) -> Result<T, Miss> {
    Err(Miss::Refused(why.to_string()))
}

pub fn absent<T>(why: impl fmt::Display) -> Result<T, Miss> {
    Err(Miss::Absent(why.to_string()))
}

/// `Ok` when it holds; else the refusal that the text names.
pub fn must(holds: bool, why: &str) -> Tried {
    if holds { Ok(()) } else { refused(why) }
}

/// Takes further answers for a refusal than the usual ones.
pub fn also<T>(result: io::Result<T>, errnos: &[i32]) -> Result<T, Miss> {
    result.map_err(|error| match error.raw_os_error() {
        Some(errno) if errnos.contains(&errno) => Miss::Refused(error.to_string()),
        _ => error.into(),
    })
}

/// The arguments of an attack program: `name=value`.
#[derive(Debug, Default)]
pub struct Args(BTreeMap<String, String>);

impl Args {
    pub fn read(arguments: &[String]) -> Args {
        let pair = |text: &String| text.split_once('=').map(|(name, value)| (name.into(), value.into()));
        Args(arguments.iter().filter_map(pair).collect())
    }

    pub fn text(&self, name: &str) -> Result<&str, Miss> {
        match self.0.get(name) {
            Some(value) => Ok(value),
            None => fault(format!("no argument {name}")),
        }
    }

    pub fn path(&self, name: &str, beneath: &str) -> Result<std::path::PathBuf, Miss> {
        Ok(std::path::Path::new(self.text(name)?).join(beneath))
    }

    pub fn number<N: FromStr>(&self, name: &str) -> Result<N, Miss> {
        let text = self.text(name)?;
        text.parse().or_else(|_| fault(format!("{name} is no number: {text}")))
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

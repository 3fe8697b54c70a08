//! Tiers and the guarantees that each of them promises, the same on every operating system.

use std::fmt;
use std::str::FromStr;

use Guarantee::{H1, H2, H3, L1, L2, L3, L4, L5, L6, N1, N2, N3, N4, N5, N6};

/// How closely a program is held. Each tier includes the guarantees of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Tier {
    /// Not isolated, but its tree ends with its supervisor and it is what was approved (`N1`-`N6`).
    #[default]
    None,
    /// Real development tools run; other processes, agents and dangerous system calls are out of reach.
    Hardened,
    /// One computation: no second program, no network, files by name only.
    Lockdown,
}

/// By which means Linux holds a tier; other systems have one way only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Engine {
    /// No user namespace, because one opens the program to the user who made it: Landlock, seccomp, a
    /// private group or a sealed image.
    #[default]
    Private,
    /// User, PID, mount, IPC, UTS and, in Lockdown, network namespaces beside Landlock and seccomp.
    Namespaces,
}

/// One promise of a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guarantee {
    /// The whole tree of processes dies with its supervisor.
    N1,
    /// No process of the tree escapes the containment.
    N2,
    /// No crash dump holds the program's memory.
    N3,
    /// The program has the declared environment and descriptors only.
    N4,
    /// The program cannot gain privileges.
    N5,
    /// The executed bytes are the approved bytes.
    N6,
    /// Cannot signal, trace or dump other processes; has its own IPC.
    H1,
    /// Cannot reach the hidden paths, agents, desktop sockets and keyrings.
    H2,
    /// Dangerous system calls are refused.
    H3,
    /// One process, no second program.
    L1,
    /// No network.
    L2,
    /// Reads what it needs, writes scratch and named paths only.
    L3,
    /// No clipboard, desktop, windows or hotkeys.
    L4,
    /// Bounded memory, processes and CPU.
    L5,
    /// Memory and environment are unreadable to the same user.
    L6,
}

impl Tier {
    /// The guarantees of this tier, those of the lesser tiers first.
    pub fn guarantees(self) -> &'static [Guarantee] {
        match self {
            Tier::None => &Guarantee::ALL[..6],
            Tier::Hardened => &Guarantee::ALL[..9],
            Tier::Lockdown => &Guarantee::ALL,
        }
    }

    /// Those of them on which a start insists on this system; the others are listed as they are found.
    ///
    /// All of them, except on Windows: a plain process there has neither a job nor a token of its own, and
    /// what keeps a program from other processes and files of its user keeps tools of developers from
    /// their work too. So there `None` insists on `N4` and `N6`, `Hardened` on `N1` to `N6`.
    pub fn promises(self) -> &'static [Guarantee] {
        self.promises_where(cfg!(windows))
    }

    fn promises_where(self, is_windows: bool) -> &'static [Guarantee] {
        match self {
            Tier::None if is_windows => &[N4, N6],
            Tier::Hardened if is_windows => &Guarantee::ALL[..6],
            tier => tier.guarantees(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Tier::None => "none",
            Tier::Hardened => "hardened",
            Tier::Lockdown => "lockdown",
        }
    }
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Engine::Private => "private",
            Engine::Namespaces => "namespaces",
        }
    }
}

impl Guarantee {
    /// Every guarantee, in the order of the tiers.
    pub const ALL: [Guarantee; 15] = [N1, N2, N3, N4, N5, N6, H1, H2, H3, L1, L2, L3, L4, L5, L6];

    /// The short name that people and logs use, such as `N1`.
    pub fn id(self) -> &'static str {
        match self {
            N1 => "N1",
            N2 => "N2",
            N3 => "N3",
            N4 => "N4",
            N5 => "N5",
            N6 => "N6",
            H1 => "H1",
            H2 => "H2",
            H3 => "H3",
            L1 => "L1",
            L2 => "L2",
            L3 => "L3",
            L4 => "L4",
            L5 => "L5",
            L6 => "L6",
        }
    }

    /// What is promised, as half a line of text.
    pub fn title(self) -> &'static str {
        match self {
            N1 => "dies with its supervisor, whole tree",
            N2 => "nothing escapes the containment",
            N3 => "no crash dump holds its memory",
            N4 => "only the declared environment and descriptors",
            N5 => "no new privileges",
            N6 => "the executed bytes are the approved bytes",
            H1 => "cannot signal, trace or dump other processes",
            H2 => "cannot reach hidden paths, agents, desktop sockets and keyrings",
            H3 => "dangerous system calls refused",
            L1 => "one process, no second program",
            L2 => "no network",
            L3 => "reads only what it needs, writes only scratch and named paths",
            L4 => "no clipboard, desktop, windows or hotkeys",
            L5 => "bounded memory, processes and CPU",
            L6 => "memory and environment unreadable to the same user",
        }
    }

    /// The least tier that promises this.
    pub fn tier(self) -> Tier {
        match self {
            N1 | N2 | N3 | N4 | N5 | N6 => Tier::None,
            H1 | H2 | H3 => Tier::Hardened,
            L1 | L2 | L3 | L4 | L5 | L6 => Tier::Lockdown,
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

/// A text that names no tier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no tier is called {0:?}: none, hardened or lockdown")]
pub struct UnknownTier(pub String);

/// A text that names no engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no engine is called {0:?}: private or namespaces")]
pub struct UnknownEngine(pub String);

/// A text that names no guarantee.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no guarantee is called {0:?}: N1 to N6, H1 to H3, L1 to L6")]
pub struct UnknownGuarantee(pub String);

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(text: &str) -> Result<Tier, UnknownTier> {
        [Tier::None, Tier::Hardened, Tier::Lockdown]
            .into_iter()
            .find(|tier| tier.name() == text)
            .ok_or_else(|| UnknownTier(text.to_owned()))
    }
}

impl FromStr for Engine {
    type Err = UnknownEngine;

    fn from_str(text: &str) -> Result<Engine, UnknownEngine> {
        [Engine::Private, Engine::Namespaces]
            .into_iter()
            .find(|engine| engine.name() == text)
            .ok_or_else(|| UnknownEngine(text.to_owned()))
    }
}

impl FromStr for Guarantee {
    type Err = UnknownGuarantee;

    fn from_str(text: &str) -> Result<Guarantee, UnknownGuarantee> {
        Guarantee::ALL
            .into_iter()
            .find(|guarantee| guarantee.id().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownGuarantee(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_includes_the_one_before() {
        assert!(Tier::None < Tier::Hardened && Tier::Hardened < Tier::Lockdown);
        assert!(Tier::Hardened.guarantees().starts_with(Tier::None.guarantees()));
        assert!(Tier::Lockdown.guarantees().starts_with(Tier::Hardened.guarantees()));
        for tier in [Tier::None, Tier::Hardened, Tier::Lockdown] {
            assert!(tier.guarantees().iter().all(|guarantee| guarantee.tier() <= tier));
        }
    }

    #[test]
    fn a_tier_promises_what_it_guarantees_and_on_windows_no_more() {
        for tier in [Tier::None, Tier::Hardened, Tier::Lockdown] {
            assert_eq!(tier.promises_where(false), tier.guarantees());
            assert!(tier.promises_where(true).iter().all(|name| tier.guarantees().contains(name)));
        }
        assert_eq!(Tier::None.promises_where(true), [N4, N6]);
        assert_eq!(Tier::Hardened.promises_where(true), [N1, N2, N3, N4, N5, N6]);
        assert_eq!(Tier::Lockdown.promises_where(true), Guarantee::ALL);
    }

    #[test]
    fn names_are_read_back_as_written() {
        for tier in [Tier::None, Tier::Hardened, Tier::Lockdown] {
            assert_eq!(tier.to_string().parse(), Ok(tier));
        }
        for engine in [Engine::Private, Engine::Namespaces] {
            assert_eq!(engine.to_string().parse(), Ok(engine));
        }
        for guarantee in Guarantee::ALL {
            assert_eq!(guarantee.to_string().parse(), Ok(guarantee));
        }
        assert!("Lockdown".parse::<Tier>().is_err());
        assert!("N7".parse::<Guarantee>().is_err());
    }
}

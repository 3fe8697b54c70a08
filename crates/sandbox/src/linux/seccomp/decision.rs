//! What a filter answers: a tree of questions about one system call.

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// The kernel makes it.
    Allow,
    /// It fails with this errno.
    Fail(u16),
    /// It waits for whoever holds the filter's listener.
    Notify,
}

impl Action {
    /// Not permitted (EPERM).
    pub(super) const REFUSE: Action = Action::Fail(libc::EPERM as u16);
    /// As a kernel without this call answers (ENOSYS): programs fall back on an older one.
    pub(super) const ABSENT: Action = Action::Fail(libc::ENOSYS as u16);
}

/// The 32 bits that a question looks at. Arguments are registers of 64 bits and BPF loads 32, so a
/// rule says which half it means: the low one alone where the kernel converts the argument to a type of 32
/// bits or less, both where it uses all 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Word {
    Number,
    Architecture,
    /// The low half of an argument, counted from 0.
    Low(u8),
    /// The high half of it.
    High(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Test {
    Equals(u32),
    AtLeast(u32),
    /// Has one of these bits.
    HasAny(u32),
    /// Is `value` in the bits of `mask`.
    Masked {
        mask: u32,
        value: u32,
    },
}

/// An answer, or a question with the two ways on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Decision {
    Answer(Action),
    Ask { word: Word, test: Test, yes: Box<Decision>, no: Box<Decision> },
}

/// Goes on with `yes` when `word` passes `test`, else with `no`.
pub(super) fn ask(word: Word, test: Test, yes: impl Into<Decision>, no: impl Into<Decision>) -> Decision {
    Decision::Ask { word, test, yes: Box::new(yes.into()), no: Box::new(no.into()) }
}

impl From<Action> for Decision {
    fn from(action: Action) -> Decision {
        Decision::Answer(action)
    }
}

impl Decision {
    /// What it asks about.
    pub(super) fn word(&self) -> Option<Word> {
        match self {
            Decision::Answer(_) => None,
            Decision::Ask { word, .. } => Some(*word),
        }
    }

    /// Whether [`Action::Notify`] is among the answers.
    pub(super) fn notifies(&self) -> bool {
        match self {
            Decision::Answer(action) => *action == Action::Notify,
            Decision::Ask { yes, no, .. } => yes.notifies() || no.notifies(),
        }
    }
}

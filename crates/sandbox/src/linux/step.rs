//! The steps of a start that can fail, by number, since the watchers cannot send text.

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Step {
    /// Arrange descriptors.
    Descriptors,
    /// Watch the supervisor.
    Supervisor,
    /// Make the inner watcher.
    Watcher,
    /// Make the user namespace, or the others.
    Namespaces,
    /// Give the user namespace the caller's user and group.
    Identity,
    /// Make what the program sees; the errno carries which part of it.
    World,
    /// Take the terminal.
    Terminal,
    /// Join the process group.
    Group,
    /// Make the process of the program.
    Process,
    /// Enter the working directory.
    Directory,
    /// Execute the program.
    Execute,
    /// Something ended the process before it was executed.
    Ended,
}

impl Step {
    const ALL: [(Step, &'static str); 12] = [
        (Step::Descriptors, "arrange the program's descriptors"),
        (Step::Supervisor, "watch the supervisor"),
        (Step::Watcher, "make the inner watcher"),
        (Step::Namespaces, "make the namespaces"),
        (Step::Identity, "map the user and the group"),
        (Step::World, "make the program's view of the system"),
        (Step::Terminal, "take the terminal"),
        (Step::Group, "join the process group"),
        (Step::Process, "make the program's process"),
        (Step::Directory, "enter the working directory"),
        (Step::Execute, "execute the program"),
        (Step::Ended, "keep the process alive until it is executed"),
    ];

    pub(super) fn from_number(number: u32) -> Option<Step> {
        Step::ALL.into_iter().map(|(step, _)| step).find(|&step| step as u32 == number)
    }

    /// What was tried, to follow "cannot".
    pub(super) fn text(self) -> &'static str {
        Step::ALL[self as usize].1
    }
}

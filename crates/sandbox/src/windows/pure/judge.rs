//! What the facts that were read back say of each guarantee.

use std::fmt::Write;

use super::limits::{
    ACTIVE_PROCESS, BREAKAWAY_OK, DIE_ON_UNHANDLED_EXCEPTION, JobLimits, KILL_ON_JOB_CLOSE,
    SILENT_BREAKAWAY_OK, UI_ALL,
};
use crate::{Given, Guarantee, Tier};

/// What was found out about a process between its creation and its first instruction. A text stands for
/// what could not be asked, or was refused: the call, and what the system said.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) tier: Tier,
    /// `None` where no job was made.
    pub(crate) job: Option<Job>,
    pub(crate) creation: Creation,
    pub(crate) token: Result<Token, String>,
    /// The program's container, or why there is none.
    pub(crate) profile: Result<Profile, String>,
    /// The rights that another process of this user gets to the supervisor and its threads, by trying.
    pub(crate) supervisor: Result<Vec<&'static str>, String>,
    /// The rights that another process of this user gets to the process or its first thread, by trying.
    pub(crate) open_to_user: Result<Vec<&'static str>, String>,
    /// The rights that the program's token would get to the supervisor.
    pub(crate) reaches_supervisor: Result<Vec<String>, String>,
    /// The hidden paths that the program's token could open.
    pub(crate) reaches_hidden: Result<Vec<String>, String>,
    /// Whether the mitigation policies are in force.
    pub(crate) mitigated: Result<(), String>,
    /// Whether the process may not create another one.
    pub(crate) childless: Result<(), String>,
    /// Whether a limit was asked for that Windows does not have.
    pub(crate) limits_files: bool,
    /// Whether limits were asked for.
    pub(crate) is_limited: bool,
}

/// How the process was made.
#[derive(Debug, Clone)]
pub(crate) struct Creation {
    /// Whether an inheritable handle that was not on the list stayed outside.
    pub(crate) only_listed: Result<(), String>,
    /// What the bytes of the program, and of what it opens by path, are worth.
    pub(crate) image: Given,
    /// Whether the program has the caller's console.
    pub(crate) shares_console: bool,
    /// How it got into its job.
    pub(crate) birth: Birth,
}

/// How a process gets into its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Birth {
    /// `PROC_THREAD_ATTRIBUTE_JOB_LIST`: it is never outside.
    InJob,
    /// AssignProcessToJobObject while it is suspended, where the list is refused.
    Assigned,
    /// The same while it runs: somebody else made it.
    Attached,
}

/// The container that a program is made in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    /// Whether its profile was there before.
    pub(crate) existed: bool,
    /// Whether it is let through to the services of this machine.
    pub(crate) loopback: Result<bool, String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) asked: JobLimits,
    pub(crate) found: Result<JobLimits, String>,
    pub(crate) ui: Result<u32, String>,
    pub(crate) contains: Result<bool, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) is_container: bool,
    pub(crate) capabilities: u32,
    /// Mandatory level: 0x1000 low, 0x2000 medium, 0x3000 high.
    pub(crate) integrity: u32,
    /// Privileges beside SeChangeNotifyPrivilege, which every token has.
    pub(crate) privileges: u32,
    pub(crate) is_administrator: bool,
}

pub(crate) const LOW: u32 = 0x1000;
pub(crate) const MEDIUM: u32 = 0x2000;

const ASSIGNED: &str = "it was put into its job after it was made, suspended: had the supervisor ended in between, \
                        it would be outside";
const ATTACHED: &str = "what it started before it was attached to is outside of the job";
const NO_JOB: &str = "tier none is a plain process without a job";
const OWN_TOKEN: &str = "the program has its user's own token; this begins with tier lockdown";

/// Every guarantee of the tier, and `L5` where limits were asked for.
pub(crate) fn judge(facts: &Facts) -> Vec<(Guarantee, Given)> {
    let mut wanted = facts.tier.guarantees().to_vec();
    if facts.is_limited && !wanted.contains(&Guarantee::L5) {
        wanted.push(Guarantee::L5);
    }
    let locked = facts.tier == Tier::Lockdown;
    let answer = |guarantee| match guarantee {
        Guarantee::N1 => facts.dies_with_supervisor(),
        Guarantee::N2 => facts.stays_in_job(),
        Guarantee::N3 => facts.leaves_no_dump(),
        Guarantee::N4 => facts.has_the_declared_only(),
        Guarantee::N5 => facts.gains_nothing(),
        Guarantee::N6 => facts.is_what_was_approved(),
        _ if !locked && guarantee != Guarantee::L5 => Given::No(OWN_TOKEN.into()),
        Guarantee::H1 => facts.reaches_no_process(),
        Guarantee::H2 => facts.reaches_nothing_hidden(),
        Guarantee::H3 => facts.is_mitigated(),
        Guarantee::L1 => facts.stays_alone(),
        Guarantee::L2 => facts.has_no_network(),
        Guarantee::L3 => facts.opens_its_own_only(),
        Guarantee::L4 => facts.touches_no_desktop(),
        Guarantee::L5 => facts.is_bounded(),
        Guarantee::L6 => facts.is_unreadable(),
    };
    wanted.into_iter().map(|guarantee| (guarantee, answer(guarantee))).collect()
}

impl Facts {
    /// The job's limits as they were read back, of a job that has the program.
    fn job(&self) -> Result<(&Job, &JobLimits), String> {
        let job = self.job.as_ref().ok_or(NO_JOB)?;
        if !job.contains.clone()? {
            return Err("IsProcessInJob: the process is not in the job".into());
        }
        let found = job.found.as_ref().map_err(String::clone)?;
        Ok((job, found))
    }

    /// The same, where these `flags` stand as they were asked for.
    fn job_with(&self, flags: u32) -> Result<&JobLimits, String> {
        let (job, found) = self.job()?;
        if found.has(&job.asked, flags) {
            return Ok(found);
        }
        let mut why = format!("asked for limits {flags:#x} of a job, QueryInformationJobObject reports ");
        let _ = write!(why, "{:#x}", found.flags & flags);
        if found.flags & flags == flags {
            why.push_str(" with other values");
        }
        Err(why)
    }

    fn dies_with_supervisor(&self) -> Given {
        if let Err(why) = self.job_with(KILL_ON_JOB_CLOSE) {
            return Given::No(why);
        }
        match self.creation.birth {
            Birth::InJob => Given::Guarded(format!("{}, the job's handle too", self.supervisor_is_open())),
            Birth::Assigned => Given::Guarded(ASSIGNED.into()),
            Birth::Attached => Given::Guarded(ATTACHED.into()),
        }
    }

    /// Why what the supervisor holds is not its alone: the start of a sentence, before what that is.
    fn supervisor_is_open(&self) -> String {
        match &self.supervisor {
            Ok(rights) if rights.is_empty() => "who started the supervisor, or opened it before it closed \
                                                itself, can take what it holds"
                .into(),
            Ok(rights) => format!(
                "the supervisor is open to its user's processes ({}), which can take what it holds",
                rights.join(", ")
            ),
            Err(why) => {
                format!("whether others open the supervisor and take what it holds is not known ({why})")
            }
        }
    }

    fn stays_in_job(&self) -> Given {
        let found = match self.job_with(KILL_ON_JOB_CLOSE) {
            Ok(found) => found,
            Err(why) => return Given::No(why),
        };
        if found.flags & (BREAKAWAY_OK | SILENT_BREAKAWAY_OK) != 0 {
            return Given::No(format!("the job lets processes out: limits {:#x}", found.flags));
        }
        match self.creation.birth {
            Birth::Attached => return Given::No(ATTACHED.into()),
            Birth::Assigned => return Given::Guarded(ASSIGNED.into()),
            Birth::InJob => {}
        }
        match self.token {
            Ok(token) if token.is_container => Given::Yes,
            _ => Given::Guarded(
                "services start programs outside of the job for whoever asks them (task scheduler, WMI, COM)"
                    .into(),
            ),
        }
    }

    fn leaves_no_dump(&self) -> Given {
        match self.job_with(DIE_ON_UNHANDLED_EXCEPTION) {
            Ok(_) => Given::Guarded(
                "a fast fail (__fastfail, abort) is still reported to Windows Error Reporting, \
                 and its service may write a dump"
                    .into(),
            ),
            Err(why) => Given::No(why),
        }
    }

    fn has_the_declared_only(&self) -> Given {
        if self.creation.birth == Birth::Attached {
            return Given::No("it was started by someone else".into());
        }
        self.creation.only_listed.clone().map_or_else(Given::No, |()| Given::Yes)
    }

    fn gains_nothing(&self) -> Given {
        if self.tier == Tier::None || self.creation.birth == Birth::Attached {
            return Given::No("the program has its caller's token".into());
        }
        let token = match &self.token {
            Ok(token) => token,
            Err(why) => return Given::No(why.clone()),
        };
        if token.privileges > 0 {
            return Given::No(format!("its token has {} privileges", token.privileges));
        }
        if token.is_administrator || token.integrity > MEDIUM {
            let level = token.integrity;
            return Given::No(format!(
                "its token is an administrator's, or above medium integrity ({level:#x})"
            ));
        }
        if token.is_container {
            return Given::Yes;
        }
        Given::Guarded("a person can still be asked to elevate another program (UAC)".into())
    }

    fn is_what_was_approved(&self) -> Given {
        if self.creation.birth == Birth::Attached {
            return Given::No("it was started by someone else".into());
        }
        self.creation.image.clone()
    }

    fn in_container(&self, what_else: &str) -> Given {
        match &self.token {
            Ok(token) if token.is_container => Given::Yes,
            Ok(_) => {
                let why = self.profile.as_ref().err().map(|why| format!(" ({why})")).unwrap_or_default();
                Given::No(format!("the program is in no AppContainer{why}: {what_else}"))
            }
            Err(why) => Given::No(why.clone()),
        }
    }

    fn has_no_network(&self) -> Given {
        match &self.token {
            Ok(token) if token.is_container && token.capabilities > 0 => {
                Given::No(format!("its container has {} capabilities", token.capabilities))
            }
            _ => match (self.in_container("the network is open"), &self.profile) {
                (Given::Yes, Ok(Profile { loopback: Ok(false), .. })) => Given::Yes,
                (Given::Yes, Ok(Profile { loopback: Ok(true), .. })) => Given::No(
                    "its container is let through to the services of this machine (CheckNetIsolation \
                     LoopbackExempt -d takes it off that list)"
                        .into(),
                ),
                (Given::Yes, Ok(Profile { loopback: Err(why), .. }) | Err(why)) => Given::Guarded(format!(
                    "whether its container is let through to the services of this machine is not known ({why})"
                )),
                (given, _) => given,
            },
        }
    }

    fn opens_its_own_only(&self) -> Given {
        match (self.in_container("files are open as to its user"), &self.profile) {
            (Given::Yes, Ok(Profile { existed: false, .. })) => Given::Yes,
            (Given::Yes, Ok(Profile { existed: true, .. })) => Given::Guarded(
                "its container's profile was there before: it finds there what earlier runs, or anybody else of \
                 its user, left"
                    .into(),
            ),
            (Given::Yes, Err(why)) => Given::Guarded(format!("what its container holds is not known ({why})")),
            (given, _) => given,
        }
    }

    fn reaches_no_process(&self) -> Given {
        match &self.reaches_supervisor {
            Err(why) => Given::No(why.clone()),
            Ok(rights) if !rights.is_empty() => {
                Given::No(format!("its token gets {} to the supervisor", rights.join(", ")))
            }
            Ok(_) => match &self.token {
                Ok(token) if token.is_container && token.integrity <= LOW => Given::Guarded(
                    "asked over the supervisor, to which its token gets no right; from other processes its low \
                     integrity and its container keep it, and that is not asked"
                        .into(),
                ),
                Ok(token) if token.integrity <= LOW => Given::Guarded(
                    "it shares the namespace of named objects with its user's processes".into(),
                ),
                Ok(token) => Given::No(format!("its token is above low integrity ({:#x})", token.integrity)),
                Err(why) => Given::No(why.clone()),
            },
        }
    }

    fn reaches_nothing_hidden(&self) -> Given {
        match &self.reaches_hidden {
            Err(why) => Given::No(why.clone()),
            Ok(paths) if !paths.is_empty() => Given::No(format!("its token opens {}", paths.join(", "))),
            Ok(_) => self.in_container("agents, services and pipes of its user are open"),
        }
    }

    fn is_mitigated(&self) -> Given {
        match &self.mitigated {
            Ok(()) => Given::Guarded(
                "extension points, remote and low images and fonts are refused; system calls are not filtered \
                 one by one"
                    .into(),
            ),
            Err(why) => Given::No(why.clone()),
        }
    }

    fn stays_alone(&self) -> Given {
        match (self.job_with(ACTIVE_PROCESS), &self.childless) {
            (Ok(found), _) if found.active != 1 => {
                Given::No(format!("{} processes are allowed", found.active))
            }
            (Err(why), _) => Given::No(why),
            (Ok(_), Err(why)) => Given::Guarded(format!(
                "by the job alone, which ends a second process when it begins ({why})"
            )),
            (Ok(_), Ok(())) => Given::Yes,
        }
    }

    fn touches_no_desktop(&self) -> Given {
        let ui = match self.job() {
            Ok((job, _)) => job.ui.clone(),
            Err(why) => Err(why),
        };
        match ui {
            Err(why) => Given::No(why),
            Ok(found) if found != UI_ALL => Given::No(format!(
                "asked for UI limits {UI_ALL:#x}, QueryInformationJobObject reports {found:#x}"
            )),
            Ok(_) if self.creation.shares_console => {
                Given::Guarded("it has its caller's console: it can read what is shown there and type".into())
            }
            Ok(_) => Given::Guarded("it is on its user's desktop, where it can register hotkeys".into()),
        }
    }

    fn is_bounded(&self) -> Given {
        if self.limits_files {
            return Given::No("Windows has no limit for the size of files".into());
        }
        match self.job.as_ref().map(|job| job.asked.bounds()) {
            Some(0) => Given::No("no limit was asked for".into()),
            Some(bounds) => self.job_with(bounds).map_or_else(Given::No, |_| Given::Yes),
            None => Given::No(NO_JOB.into()),
        }
    }

    fn is_unreadable(&self) -> Given {
        match &self.open_to_user {
            Ok(rights) if rights.is_empty() => Given::Guarded(format!(
                "{}, its memory with what the program was given too",
                self.supervisor_is_open()
            )),
            Ok(rights) => Given::No(format!("the user's processes get {} to it", rights.join(", "))),
            Err(why) => Given::No(why.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Enforced, Limits};

    /// What a Windows says where everything holds.
    fn facts(tier: Tier) -> Facts {
        let asked = JobLimits::of(tier, Limits::default());
        let job = asked.map(|asked| Job { asked, found: Ok(asked), ui: Ok(UI_ALL), contains: Ok(true) });
        let locked = tier == Tier::Lockdown;
        let token = Token {
            is_container: locked,
            capabilities: 0,
            integrity: if locked { LOW } else { MEDIUM },
            privileges: 0,
            is_administrator: false,
        };
        let creation =
            Creation { only_listed: Ok(()), image: Given::Yes, shares_console: false, birth: Birth::InJob };
        Facts {
            tier,
            job,
            creation,
            token: Ok(token),
            profile: Ok(Profile { existed: false, loopback: Ok(false) }),
            supervisor: Ok(Vec::new()),
            open_to_user: Ok(Vec::new()),
            reaches_supervisor: Ok(Vec::new()),
            reaches_hidden: Ok(Vec::new()),
            mitigated: Ok(()),
            childless: Ok(()),
            limits_files: false,
            is_limited: false,
        }
    }

    fn missing(facts: &Facts) -> Vec<Guarantee> {
        Enforced::new(facts.tier, judge(facts)).iter().filter_map(no).collect()
    }

    fn no((guarantee, given): (Guarantee, &Given)) -> Option<Guarantee> {
        matches!(given, Given::No(_)).then_some(guarantee)
    }

    fn with(tier: Tier, change: impl FnOnce(&mut Facts)) -> Vec<Guarantee> {
        let mut facts = facts(tier);
        change(&mut facts);
        missing(&facts)
    }

    #[test]
    fn each_tier_gives_what_it_promises_on_windows_and_lists_the_rest() {
        use Guarantee::{H1, H2, H3, N1, N2, N3, N5};
        assert_eq!(missing(&facts(Tier::None)), [N1, N2, N3, N5]);
        assert_eq!(missing(&facts(Tier::Hardened)), [H1, H2, H3]);
        assert_eq!(missing(&facts(Tier::Lockdown)), []);
    }

    #[test]
    fn a_job_that_reports_nothing_gives_nothing() {
        use Guarantee::{L1, L4, L5, N1, N2, N3};
        let empty = |facts: &mut Facts| {
            let job = facts.job.as_mut().expect("a job");
            (job.found, job.ui) = (Ok(JobLimits::default()), Ok(0));
        };
        assert_eq!(with(Tier::Lockdown, empty), [N1, N2, N3, L1, L4, L5]);
        let outside = |facts: &mut Facts| facts.job.as_mut().expect("a job").contains = Ok(false);
        assert_eq!(with(Tier::Lockdown, outside), [N1, N2, N3, L1, L4, L5]);
        let refused = |facts: &mut Facts| facts.job.as_mut().expect("a job").found = Err("error 5".into());
        assert_eq!(with(Tier::Lockdown, refused), [N1, N2, N3, L1, L4, L5]);
    }

    #[test]
    fn a_job_with_a_way_out_is_no_containment() {
        for flag in [BREAKAWAY_OK, SILENT_BREAKAWAY_OK] {
            let open = |facts: &mut Facts| {
                let found = facts.job.as_mut().expect("a job").found.as_mut().expect("found");
                found.flags |= flag;
            };
            assert_eq!(with(Tier::Lockdown, open), [Guarantee::N2]);
        }
    }

    #[test]
    fn a_program_outside_of_a_container_has_files_and_network() {
        use Guarantee::{H2, L2, L3};
        let outside = |facts: &mut Facts| facts.token.as_mut().expect("a token").is_container = false;
        assert_eq!(with(Tier::Lockdown, outside), [H2, L2, L3]);
        let capable = |facts: &mut Facts| facts.token.as_mut().expect("a token").capabilities = 1;
        assert_eq!(with(Tier::Lockdown, capable), [L2]);
    }

    #[test]
    fn a_token_with_power_gains_privileges() {
        for tier in [Tier::Hardened, Tier::Lockdown] {
            let base = missing(&facts(tier));
            let lost = |change: fn(&mut Token)| {
                let mut found = with(tier, |facts| change(facts.token.as_mut().expect("a token")));
                found.retain(|guarantee| !base.contains(guarantee));
                found
            };
            assert_eq!(lost(|token| token.privileges = 1), [Guarantee::N5]);
            assert_eq!(lost(|token| token.is_administrator = true), [Guarantee::N5]);
            assert!(lost(|token| token.integrity = 0x3000).contains(&Guarantee::N5));
        }
    }

    #[test]
    fn an_attempt_that_succeeded_takes_the_guarantee_away() {
        use Guarantee::{H1, H2, H3, L1, L6, N4};
        let lockdown = |change: fn(&mut Facts)| with(Tier::Lockdown, change);
        assert_eq!(lockdown(|facts| facts.open_to_user = Ok(vec!["PROCESS_VM_READ"])), [L6]);
        assert_eq!(lockdown(|facts| facts.reaches_supervisor = Ok(vec!["PROCESS_VM_READ".into()])), [H1]);
        assert_eq!(lockdown(|facts| facts.reaches_hidden = Ok(vec!["C:\\vault".into()])), [H2]);
        assert_eq!(lockdown(|facts| facts.mitigated = Err("error 87".into())), [H3]);
        assert_eq!(lockdown(|facts| facts.creation.only_listed = Err("a handle".into())), [N4]);
        assert_eq!(lockdown(|facts| facts.childless = Err("error 50".into())), []);
        let two = |facts: &mut Facts| {
            let job = facts.job.as_mut().expect("a job");
            job.asked.active = 2;
            job.found = Ok(job.asked);
        };
        assert_eq!(with(Tier::Lockdown, two), [L1]);
    }

    #[test]
    fn limits_beyond_the_tier_are_judged_too() {
        let limited = |facts: &mut Facts| facts.is_limited = true;
        let none = with(Tier::None, limited);
        assert!(none.contains(&Guarantee::L5), "a plain process has no limits");
        let named = Limits { memory: Some(1 << 30), ..Limits::default() };
        let bounded = |facts: &mut Facts| {
            let asked = JobLimits::of(Tier::Hardened, named).expect("a job");
            facts.job = Some(Job { asked, found: Ok(asked), ui: Ok(0), contains: Ok(true) });
            facts.is_limited = true;
        };
        assert!(!with(Tier::Hardened, bounded).contains(&Guarantee::L5));
        assert_eq!(with(Tier::Lockdown, |facts| facts.limits_files = true), [Guarantee::L5]);
    }

    #[test]
    fn a_process_that_was_attached_to_is_nobodys_choice() {
        use Guarantee::{H1, H2, H3, N2, N4, N5, N6};
        let attached = with(Tier::Hardened, |facts| facts.creation.birth = Birth::Attached);
        assert_eq!(attached, [N2, N4, N5, N6, H1, H2, H3]);
    }

    #[test]
    fn weaknesses_are_named() {
        let given = |change: fn(&mut Facts), wanted: Guarantee| {
            let mut facts = facts(Tier::Lockdown);
            change(&mut facts);
            judge(&facts).into_iter().find(|(name, _)| *name == wanted).map(|(_, given)| given)
        };
        assert_eq!(given(|_| (), Guarantee::N6), Some(Given::Yes));
        let weak = Given::Guarded("libraries".into());
        let open = given(|facts| facts.creation.image = Given::Guarded("libraries".into()), Guarantee::N6);
        assert_eq!(open, Some(weak));
        let console = given(|facts| facts.creation.shares_console = true, Guarantee::L4);
        assert!(matches!(console, Some(Given::Guarded(why)) if why.contains("console")));
        let over = given(|_| (), Guarantee::H1);
        assert!(matches!(over, Some(Given::Guarded(why)) if why.starts_with("asked over the supervisor")));
        for wanted in [Guarantee::N1, Guarantee::L6] {
            let closed = given(|_| (), wanted);
            assert!(matches!(closed, Some(Given::Guarded(why)) if why.contains("before it closed itself")));
            let open = given(|facts| facts.supervisor = Ok(vec!["PROCESS_DUP_HANDLE"]), wanted);
            assert!(matches!(open, Some(Given::Guarded(why)) if why.contains("(PROCESS_DUP_HANDLE)")));
            let unknown = given(|facts| facts.supervisor = Err("error 5".into()), wanted);
            assert!(matches!(unknown, Some(Given::Guarded(why)) if why.contains("(error 5)")));
        }
        assert_eq!(given(|_| (), Guarantee::N2), Some(Given::Yes));
        for wanted in [Guarantee::N1, Guarantee::N2] {
            let later = given(|facts| facts.creation.birth = Birth::Assigned, wanted);
            assert!(matches!(later, Some(Given::Guarded(why)) if why == ASSIGNED));
        }
    }

    #[test]
    fn what_a_container_brings_along_is_named() {
        let given = |profile: Result<Profile, String>, wanted: Guarantee| {
            let facts = Facts { profile, ..facts(Tier::Lockdown) };
            judge(&facts).into_iter().find(|(name, _)| *name == wanted).map(|(_, given)| given)
        };
        let of = |existed, loopback| Ok(Profile { existed, loopback });
        assert_eq!(given(of(false, Ok(false)), Guarantee::L2), Some(Given::Yes));
        assert_eq!(given(of(false, Ok(false)), Guarantee::L3), Some(Given::Yes));
        let before = given(of(true, Ok(false)), Guarantee::L3);
        assert!(matches!(before, Some(Given::Guarded(why)) if why.contains("was there before")));
        let exempt = given(of(false, Ok(true)), Guarantee::L2);
        assert!(matches!(exempt, Some(Given::No(why)) if why.contains("LoopbackExempt")));
        let unread = given(of(false, Err("error 5".into())), Guarantee::L2);
        assert!(matches!(unread, Some(Given::Guarded(why)) if why.contains("error 5")));
        for wanted in [Guarantee::L2, Guarantee::L3] {
            let foreign = given(Err("started by someone else".into()), wanted);
            assert!(matches!(foreign, Some(Given::Guarded(why)) if why.contains("someone else")));
        }
    }
}

//! What the job of each tier, and the creation of its process, are asked to hold.

use crate::{Limits, Tier};

/// `JOB_OBJECT_LIMIT_*` (winnt.h), as far as they are asked for, and the two that never are.
pub(crate) const PROCESS_TIME: u32 = 0x0002;
pub(crate) const JOB_TIME: u32 = 0x0004;
pub(crate) const ACTIVE_PROCESS: u32 = 0x0008;
pub(crate) const PROCESS_MEMORY: u32 = 0x0100;
pub(crate) const JOB_MEMORY: u32 = 0x0200;
pub(crate) const DIE_ON_UNHANDLED_EXCEPTION: u32 = 0x0400;
pub(crate) const BREAKAWAY_OK: u32 = 0x0800;
pub(crate) const SILENT_BREAKAWAY_OK: u32 = 0x1000;
pub(crate) const KILL_ON_JOB_CLOSE: u32 = 0x2000;

/// Every `JOB_OBJECT_UILIMIT_*` that Windows 10 knows: handles, reading and writing the clipboard, system
/// parameters, display settings, global atoms, desktops, leaving Windows.
pub(crate) const UI_ALL: u32 = 0xff;

/// `PROCESS_CREATION_MITIGATION_POLICY_*_ALWAYS_ON` (winbase.h): no extension points (input methods,
/// AppInit and hook libraries), no libraries from the network, none of low integrity, those of System32
/// before those beside the program, no fonts but the system's.
pub(crate) const NO_EXTENSION_POINTS: u64 = 1 << 32;
pub(crate) const SYSTEM_FONTS_ONLY: u64 = 1 << 48;
pub(crate) const NO_REMOTE_IMAGES: u64 = 1 << 52;
pub(crate) const NO_LOW_IMAGES: u64 = 1 << 56;
pub(crate) const PREFER_SYSTEM32: u64 = 1 << 60;

/// Units of 100 nanoseconds in a second.
const SECOND: u64 = 10_000_000;

/// `JOBOBJECT_EXTENDED_LIMIT_INFORMATION` in plain numbers: times in units of 100 ns, memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct JobLimits {
    pub(crate) flags: u32,
    pub(crate) process_time: u64,
    pub(crate) job_time: u64,
    pub(crate) active: u32,
    pub(crate) process_memory: u64,
    pub(crate) job_memory: u64,
}

impl JobLimits {
    /// `None` for the tier without a job.
    pub(crate) fn of(tier: Tier, named: Limits) -> Option<JobLimits> {
        if tier == Tier::None {
            return None;
        }
        let locked = tier == Tier::Lockdown;
        let default = if locked { Limits::LOCKDOWN } else { Limits::default() };
        let memory = named.memory.or(default.memory);
        let time =
            named.cpu.or(default.cpu).map(|seconds| seconds.saturating_mul(SECOND).min(i64::MAX as u64));
        let processes = if locked { Some(1) } else { named.processes };
        let mut limits =
            JobLimits { flags: KILL_ON_JOB_CLOSE | DIE_ON_UNHANDLED_EXCEPTION, ..JobLimits::default() };
        if let Some(memory) = memory {
            limits.flags |= PROCESS_MEMORY;
            limits.process_memory = memory;
        }
        if let Some(memory) = memory.filter(|_| locked) {
            limits.flags |= JOB_MEMORY;
            limits.job_memory = memory;
        }
        if let Some(time) = time {
            limits.flags |= PROCESS_TIME;
            limits.process_time = time;
        }
        if let Some(time) = time.filter(|_| locked) {
            limits.flags |= JOB_TIME;
            limits.job_time = time;
        }
        if let Some(processes) = processes {
            limits.flags |= ACTIVE_PROCESS;
            limits.active = u32::try_from(processes).unwrap_or(u32::MAX);
        }
        Some(limits)
    }

    /// The flags that bound memory, time and number.
    pub(crate) fn bounds(&self) -> u32 {
        self.flags & (PROCESS_TIME | JOB_TIME | ACTIVE_PROCESS | PROCESS_MEMORY | JOB_MEMORY)
    }

    /// Whether each of these `flags` stands here with the value that it has in `asked`.
    pub(crate) fn has(&self, asked: &JobLimits, flags: u32) -> bool {
        let same = |flag: u32, equal: bool| flags & flag == 0 || equal;
        self.flags & flags == flags
            && same(PROCESS_TIME, self.process_time == asked.process_time)
            && same(JOB_TIME, self.job_time == asked.job_time)
            && same(ACTIVE_PROCESS, self.active == asked.active)
            && same(PROCESS_MEMORY, self.process_memory == asked.process_memory)
            && same(JOB_MEMORY, self.job_memory == asked.job_memory)
    }
}

/// `JOBOBJECT_BASIC_UI_RESTRICTIONS` of a tier.
pub(crate) fn ui(tier: Tier) -> Option<u32> {
    (tier == Tier::Lockdown).then_some(UI_ALL)
}

/// The mitigation policies of a tier: those that programs of any kind run under.
pub(crate) fn mitigations(tier: Tier) -> Option<u64> {
    let all = NO_EXTENSION_POINTS | NO_REMOTE_IMAGES | NO_LOW_IMAGES | PREFER_SYSTEM32 | SYSTEM_FONTS_ONLY;
    (tier == Tier::Lockdown).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_has_no_job() {
        assert_eq!(JobLimits::of(Tier::None, Limits::LOCKDOWN), None);
        assert_eq!((ui(Tier::None), mitigations(Tier::None)), (None, None));
    }

    #[test]
    fn hardened_asks_for_the_end_of_the_tree_and_of_crashed_programs_and_nothing_else() {
        let limits = JobLimits::of(Tier::Hardened, Limits::default());
        assert_eq!(limits, Some(JobLimits { flags: 0x2400, ..JobLimits::default() }));
        assert_eq!(ui(Tier::Hardened), None);
        let named = Limits { memory: Some(1 << 30), processes: Some(7), cpu: Some(2), file: None };
        let limits = JobLimits::of(Tier::Hardened, named).expect("a job");
        assert_eq!(limits.flags, 0x2400 | PROCESS_MEMORY | ACTIVE_PROCESS | PROCESS_TIME);
        assert_eq!((limits.active, limits.process_memory, limits.process_time), (7, 1 << 30, 20_000_000));
    }

    #[test]
    fn lockdown_asks_for_one_process_and_bounds_memory_and_time() {
        let limits = JobLimits::of(Tier::Lockdown, Limits::default()).expect("a job");
        let day = 24 * 60 * 60 * 10_000_000;
        let expected = JobLimits {
            flags: 0x2400 | PROCESS_MEMORY | JOB_MEMORY | PROCESS_TIME | JOB_TIME | ACTIVE_PROCESS,
            process_time: day,
            job_time: day,
            active: 1,
            process_memory: 4 << 30,
            job_memory: 4 << 30,
        };
        assert_eq!(limits, expected);
        let named = Limits { processes: Some(9), cpu: Some(u64::MAX), ..Limits::default() };
        let limits = JobLimits::of(Tier::Lockdown, named).expect("a job");
        assert_eq!((limits.active, limits.process_time), (1, i64::MAX as u64));
        assert_eq!(ui(Tier::Lockdown), Some(0xff));
        assert_eq!(mitigations(Tier::Lockdown), Some(0x1111_0001_0000_0000));
    }

    #[test]
    fn no_tier_lets_anything_out_of_its_job() {
        for tier in [Tier::Hardened, Tier::Lockdown] {
            for named in [Limits::default(), Limits::LOCKDOWN] {
                let flags = JobLimits::of(tier, named).expect("a job").flags;
                assert_eq!(flags & (BREAKAWAY_OK | SILENT_BREAKAWAY_OK), 0);
                assert_eq!(flags & KILL_ON_JOB_CLOSE, KILL_ON_JOB_CLOSE);
            }
        }
    }

    #[test]
    fn a_limit_counts_only_with_its_flag_and_its_value() {
        let asked = JobLimits::of(Tier::Lockdown, Limits::default()).expect("a job");
        assert!(asked.has(&asked, asked.flags));
        assert!(!JobLimits::default().has(&asked, KILL_ON_JOB_CLOSE));
        assert!(!JobLimits { active: 2, ..asked }.has(&asked, ACTIVE_PROCESS));
        assert!(!JobLimits { job_memory: 1 << 40, ..asked }.has(&asked, asked.bounds()));
        assert!(!JobLimits { flags: asked.flags & !JOB_TIME, ..asked }.has(&asked, asked.bounds()));
    }
}

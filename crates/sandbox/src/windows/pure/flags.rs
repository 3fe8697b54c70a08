//! Which creation flags the caller may bring, and those that a start sets itself.

use crate::Tier;

pub(crate) const SUSPENDED: u32 = 0x0000_0004;
pub(crate) const DETACHED: u32 = 0x0000_0008;
pub(crate) const NEW_CONSOLE: u32 = 0x0000_0010;
pub(crate) const NEW_PROCESS_GROUP: u32 = 0x0000_0200;
pub(crate) const UNICODE_ENVIRONMENT: u32 = 0x0000_0400;
pub(crate) const EXTENDED_STARTUP_INFO: u32 = 0x0008_0000;
pub(crate) const NO_WINDOW: u32 = 0x0800_0000;

/// Each flag that is refused, with the reason.
const REFUSED: [(u32, &str); 6] = [
    (0x0100_0000, "CREATE_BREAKAWAY_FROM_JOB would take the program out of its job"),
    (0x0000_0003, "a debugger reads the program's memory (DEBUG_PROCESS, DEBUG_ONLY_THIS_PROCESS)"),
    (0x0200_0000, "CREATE_PRESERVE_CODE_AUTHZ_LEVEL goes round the owner's software restrictions"),
    (0x0004_0000, "CREATE_PROTECTED_PROCESS cannot be looked at, so that nothing could be read back"),
    (
        0x0000_1800,
        "16-bit programs do not run in a job of their own (CREATE_SEPARATE_WOW_VDM, CREATE_SHARED_WOW_VDM)",
    ),
    (0x0040_0000, "CREATE_SECURE_PROCESS cannot be looked at, so that nothing could be read back"),
];

/// What `CreateProcessW` gets for the caller's `flags`: always suspended, so that everything is set and read
/// back before the program's first instruction.
///
/// `own_streams` says that no stream is the caller's own. A program in Lockdown is then without a console,
/// through which it could read the caller's screen and type into it.
pub(crate) fn creation(
    flags: u32,
    tier: Tier,
    has_terminal: bool,
    own_streams: bool,
) -> Result<u32, (u32, &'static str)> {
    for (bits, why) in REFUSED {
        if flags & bits != 0 {
            return Err((flags & bits, why));
        }
    }
    let console = flags & (DETACHED | NEW_CONSOLE | NO_WINDOW);
    if has_terminal && console != 0 {
        return Err((console, "the program has a terminal of its own already"));
    }
    let alone = tier == Tier::Lockdown && own_streams && !has_terminal && console == 0;
    let detached = if alone { DETACHED } else { 0 };
    Ok(flags | detached | SUSPENDED | UNICODE_ENVIRONMENT | EXTENDED_STARTUP_INFO)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALWAYS: u32 = SUSPENDED | UNICODE_ENVIRONMENT | EXTENDED_STARTUP_INFO;

    #[test]
    fn the_callers_flags_survive_beside_ours() {
        for flags in [0, NEW_PROCESS_GROUP, NO_WINDOW | 0x20, NEW_CONSOLE, SUSPENDED, 0x0400_0000] {
            assert_eq!(creation(flags, Tier::Hardened, false, true), Ok(flags | ALWAYS));
        }
    }

    #[test]
    fn what_would_weaken_the_start_is_refused_by_name() {
        for bits in [0x0100_0000, 1, 2, 0x0200_0000, 0x0004_0000, 0x0800, 0x1000, 0x0040_0000] {
            let refused = creation(bits | NEW_PROCESS_GROUP, Tier::None, false, false).expect_err("refused");
            assert_eq!(refused.0, bits);
            assert!(!refused.1.is_empty());
        }
        assert!(creation(NO_WINDOW, Tier::None, true, true).is_err());
        assert!(creation(NEW_PROCESS_GROUP, Tier::None, true, true).is_ok());
    }

    #[test]
    fn lockdown_has_the_callers_console_only_where_a_stream_is_the_callers() {
        assert_eq!(creation(0, Tier::Lockdown, false, true), Ok(DETACHED | ALWAYS));
        assert_eq!(creation(0, Tier::Lockdown, false, false), Ok(ALWAYS));
        assert_eq!(creation(0, Tier::Lockdown, true, true), Ok(ALWAYS));
        assert_eq!(creation(NO_WINDOW, Tier::Lockdown, false, true), Ok(NO_WINDOW | ALWAYS));
    }
}

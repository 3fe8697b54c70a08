//! Why the namespaces are not to be had, as a person needs it.

use std::fs;
use std::io;

use super::super::step::Step;
use super::World;
use crate::{Guarantee, StartError, Tier};

/// Bits of an errno; above them stands which of the world's steps failed.
const ERRNO: u32 = 12;

/// What is told of a step of the world, in the place of an errno.
pub(super) fn pack(step: usize, errno: i32) -> i32 {
    let step = i32::try_from(step).unwrap_or(0) << ERRNO;
    step | (errno & ((1 << ERRNO) - 1))
}

/// The refusal of a start whose namespaces failed at `step`.
pub(in super::super) fn refusal(tier: Tier, step: Step, errno: i32, world: Option<&World>) -> StartError {
    let error = io::Error::from_raw_os_error(errno & ((1 << ERRNO) - 1));
    let (guarantee, why) = match step {
        Step::World => {
            let tried = world.and_then(|world| world.step(errno >> ERRNO));
            (Guarantee::H2, format!("cannot {}: {error}", tried.unwrap_or_else(|| step.text().to_owned())))
        }
        _ => (Guarantee::H1, format!("user namespaces are not to be had: {error}{}", setting())),
    };
    // The lowest tier has neither of them, but its tree ends by its PID namespace.
    let guarantee = if tier == Tier::None { Guarantee::N2 } else { guarantee };
    StartError::NotGiven { tier, missing: vec![(guarantee, why)] }
}

/// The setting of this system that is known to refuse them.
fn setting() -> &'static str {
    let is = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    if is("/proc/sys/user/max_user_namespaces", "0") {
        " (user.max_user_namespaces is 0)"
    } else if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        " (kernel.unprivileged_userns_clone is 0)"
    } else if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        " (kernel.apparmor_restrict_unprivileged_userns is 1: only programs with an AppArmor profile that \
         grants userns have rights in theirs)"
    } else {
        ""
    }
}

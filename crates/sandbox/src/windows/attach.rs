//! Puts a process that runs already into a job: for diagnostics, beside the start that has no race.

use std::os::windows::io::AsHandle;

use super::facts::Question;
use super::make::job;
use super::pure::judge::judge;
use super::running::{Parts, Running};
use super::sys_process::{id, lesser};
use crate::{Enforced, Given, Limits, StartError, Tier};

/// Puts `child` into the job of `tier` and gives what can be read back of it. For diagnostics.
///
/// The child ran before: what it started until now, and what it sent elsewhere, is outside of the job, and
/// of its bytes, handles, environment and token nothing is known. [`Running::enforced`] says so, and nothing
/// is refused for it. A program that holds a secret is started by [`start`](crate::start) instead.
///
/// `child` needs the rights that a [`std::process::Child`] has. What is returned ends it when it is dropped; after
/// an error it runs on as it did.
pub fn attach(child: impl AsHandle, tier: Tier) -> Result<Running, StartError> {
    let step = |step| move |source| StartError::System { step, source };
    let process = child.as_handle();
    let limits = Limits::default();
    // Whatever can fail comes before the child is in a job that ends it: an error leaves it as it was.
    let pid = id(process).map_err(step("ask for its number (GetProcessId)"))?;
    let kept = lesser(process).map_err(step("keep a handle of it (DuplicateHandle)"))?;
    let prepared = job(tier, limits)?;
    if let Some(prepared) = &prepared {
        let failed = "put the running process into a job (AssignProcessToJobObject)";
        prepared.job.assign(process).map_err(step(failed))?;
    }
    let question = Question {
        tier,
        limits,
        hidden: &[],
        image: Given::No("it was started by someone else".into()),
        shares_console: true,
    };
    let enforced = Enforced::new(tier, judge(&question.of_running(process, prepared.as_ref())));
    Ok(Running::new(Parts {
        pid,
        process: kept,
        thread: None,
        prepared,
        enforced,
        ends: [None, None, None],
        terminal: None,
        has_group: false,
    }))
}

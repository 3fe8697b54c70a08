//! Starts a program and waits until it runs, or until it is known why it does not.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::board::Facts;
use super::judge::judge;
use super::namespaces::refusal;
use super::plan::{Ends, Plan};
use super::report::{REPORT, Report};
use super::running::{Parts, Running, bury};
use super::step::Step;
use super::sys::{block_signals, spawn};
use super::watch::Outer;
use crate::{Enforced, Given, Guarantee, Spec, StartError};

/// Starts the program of `spec` in its tier.
///
/// Returns when the program was executed and what the kernel says of its guarantees was read back; a
/// guarantee that is missing and not waived stops the start before anything is executed. The
/// environment's values are overwritten in this process and in the watchers once they were handed over.
///
/// The watchers are copies of this process: memory that must not be copied needs `MADV_DONTFORK`.
pub fn start(mut spec: Spec) -> Result<Running, StartError> {
    if spec.private_group.is_some() {
        // With the group but not closed to it, the program could read every other one that has it.
        spec.weaker.retain(|&guarantee| guarantee != Guarantee::L6);
    }
    let (tier, waived) = (spec.tier, spec.weaker.clone());
    if spec.image.shebang().is_some() {
        return Err(StartError::Script { path: spec.image.path().to_owned() });
    }
    let directory = spec.directory.clone().unwrap_or_default();
    let (plan, ends) = Plan::new(spec)?;

    let mask = block_signals();
    let made = spawn::<Outer>(&plan);
    mask.restore();
    let failed = |source| StartError::System { step: "make the outer watcher", source };
    let (_, watcher) = made.map_err(failed)?;
    let watcher = watcher.ok_or_else(|| failed(Errno::NOSYS.into()))?;
    let Ends { link, streams, terminal, given, rules, image, is_sealed } = ends;
    drop((given, rules));
    plan.key.forget();

    let expected = plan.expected;
    let enforced = |facts: Facts| {
        // What the lease is worth was looked at before the execution: the program itself may break it since.
        let guarded = if is_sealed || image.is_leased() { Given::Yes } else { image.guarded() };
        Enforced::new(tier, judge(&facts, &expected, &guarded))
    };
    let error = match first_report(&link) {
        Some(Report::Started { pid, facts }) => {
            let enforced = enforced(facts);
            match refuse_missing(&enforced, &waived) {
                Ok(()) => {
                    let own_session = terminal.is_some();
                    let parts = Parts { pid, own_session, link, watcher, enforced, streams, terminal };
                    return Ok(Running::new(parts));
                }
                Err(error) => error,
            }
        }
        Some(Report::Lacking { facts }) => {
            let missing = enforced(facts).missing();
            StartError::NotGiven { tier, missing: unwaived(missing, &waived) }
        }
        Some(Report::Failed { step, errno }) => match Step::from_number(step) {
            Some(step @ (Step::Namespaces | Step::Identity | Step::World)) => {
                refusal(tier, step, errno, plan.world.as_ref())
            }
            step => failure(step, errno, image.path().to_owned(), directory),
        },
        _ => StartError::Killed,
    };
    drop(link);
    bury(&watcher);
    Err(error)
}

fn refuse_missing(enforced: &Enforced, waived: &[Guarantee]) -> Result<(), StartError> {
    let missing = unwaived(enforced.missing(), waived);
    if missing.is_empty() { Ok(()) } else { Err(StartError::NotGiven { tier: enforced.tier(), missing }) }
}

fn unwaived(missing: Vec<(Guarantee, String)>, waived: &[Guarantee]) -> Vec<(Guarantee, String)> {
    missing.into_iter().filter(|(guarantee, _)| !waived.contains(guarantee)).collect()
}

fn first_report(link: impl std::os::fd::AsFd) -> Option<Report> {
    let mut bytes = [0; REPORT];
    loop {
        match recv(&link, &mut bytes, RecvFlags::empty()) {
            Ok((_, REPORT)) => return Report::decode(&bytes),
            Err(Errno::INTR) => {}
            _ => return None,
        }
    }
}

fn failure(step: Option<Step>, errno: i32, image: PathBuf, directory: PathBuf) -> StartError {
    let source = io::Error::from_raw_os_error(errno);
    match step {
        Some(Step::Execute) => StartError::Exec { path: image, source },
        Some(Step::Directory) => StartError::Directory { path: directory, source },
        Some(Step::Ended) | None => StartError::Killed,
        Some(step) => StartError::System { step: step.text(), source },
    }
}

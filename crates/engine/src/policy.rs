//! Decides whether a request may have its secrets.
//!
//! Pure and total: no clock, no file, no prompt. The caller brings the time and the grants, and acts on the
//! answer. A deny that matches wins over every allow.

use std::path::PathBuf;

use envseal_vault::{ArgsRule, CallerRule, Digest, Effect, FileRule, Grant, GrantId, OsText, SecretName};

use crate::request::Request;

/// The answer to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// This grant lets it run.
    Allow(GrantId),
    /// Nothing forbids it and nothing allows it: the owner may be asked. Says what came nearest.
    Ask(Why),
    /// The owner has forbidden it.
    Deny(Why),
}

/// Why a request is not simply allowed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// No grant names this program with these secrets.
    #[error("no grant lets {} have {}", program.display(), list(secrets))]
    NoGrant {
        /// The program.
        program: PathBuf,
        /// The secrets asked for.
        secrets: Vec<SecretName>,
    },
    /// A grant for this path names other bytes.
    #[error("{} has changed since grant {grant} allowed it (allowed {}, now {})",
        path.display(), allowed.short(), found.short())]
    Changed {
        /// The grant.
        grant: GrantId,
        /// The program, script or pinned file.
        path: PathBuf,
        /// Digest in the grant.
        allowed: Digest,
        /// Digest now.
        found: Digest,
    },
    /// A pinned file is gone.
    #[error("{} is missing, and grant {grant} pins it", path.display())]
    PinMissing {
        /// The grant.
        grant: GrantId,
        /// The file.
        path: PathBuf,
    },
    /// A file leads the program to other code, and nobody has allowed its bytes.
    #[error("{} leads {} to other code, and grant {grant} does not pin it", path.display(), program.display())]
    NotPinned {
        /// The grant.
        grant: GrantId,
        /// The file.
        path: PathBuf,
        /// The program.
        program: PathBuf,
    },
    /// A grant fits but for one condition.
    #[error("grant {grant} is near but {differs}")]
    Near {
        /// The grant.
        grant: GrantId,
        /// What differs.
        differs: Differs,
    },
    /// A deny rule.
    #[error("grant {grant} denies it")]
    Denied {
        /// The rule.
        grant: GrantId,
    },
}

/// The condition of a grant that a request does not meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Differs {
    /// Not all secrets, or under another variable.
    #[error("does not cover these secrets under these variables")]
    Secrets,
    /// The script is another one, or there is none.
    #[error("is for another script, or for it by another path")]
    Script,
    /// The arguments differ.
    #[error("is for other arguments")]
    Args,
    /// Code comes from arguments or input, and the grant does not fix them.
    #[error("does not fix the arguments of an interpreter that runs arbitrary code")]
    Arbitrary,
    /// Another name of a program that may act by its name.
    #[error("is for the program under another name")]
    Called,
    /// The working directory differs.
    #[error("is for another working directory")]
    Cwd,
    /// The caller is of another kind.
    #[error("is for another kind of caller")]
    Caller,
    /// A weaker tier is asked for than the grant's.
    #[error("is for a stronger tier")]
    Tier,
    /// More is asked of the sandbox than the grant gives, or another engine.
    #[error(
        "does not give what is asked of the sandbox (another engine, paths, sockets or waived guarantees)"
    )]
    Confinement,
    /// Another delivery.
    #[error("is for another delivery")]
    Delivery,
    /// Unmasked output is not allowed.
    #[error("does not let output go unmasked")]
    Raw,
    /// A variable is passed that the grant does not name.
    #[error("does not let all of these variables pass")]
    Pass,
    /// Its time is over.
    #[error("has expired")]
    Expired,
    /// It was used as often as it allowed.
    #[error("is used up")]
    UsedUp,
}

/// Decides a request by the grants of a vault at `now` (seconds since 1970).
///
/// When several grants allow, the one that ends first is taken, so that a narrow one is not kept for later by a
/// wide one; then the older.
pub fn decide(request: &Request, grants: &[(GrantId, Grant)], now: u64) -> Decision {
    let denied = grants.iter().find(|(_, g)| g.effect == Effect::Deny && denies(request, g, now));
    if let Some((id, _)) = denied {
        return Decision::Deny(Why::Denied { grant: *id });
    }
    let mut best: Option<(u64, GrantId)> = None;
    let mut nearest: Option<(Nearness, Why)> = None;
    for (id, grant) in grants.iter().filter(|(_, g)| g.effect == Effect::Allow) {
        match allows(request, *id, grant, now) {
            Ok(()) => {
                let key = (grant.expires.unwrap_or(u64::MAX), *id);
                best = Some(best.map_or(key, |b| b.min(key)));
            }
            Err(Some((nearness, why))) if nearest.as_ref().is_none_or(|(n, _)| nearness > *n) => {
                nearest = Some((nearness, why));
            }
            Err(_) => {}
        }
    }
    match (best, nearest) {
        (Some((_, id)), _) => Decision::Allow(id),
        (None, Some((_, why))) => Decision::Ask(why),
        (None, None) => Decision::Ask(Why::NoGrant {
            program: request.program.path.clone(),
            secrets: request.secrets.iter().map(|wanted| wanted.name.clone()).collect(),
        }),
    }
}

/// How many conditions held before one failed: the higher, the better a grant explains a refusal.
type Nearness = usize;

/// `Err(None)` when the grant has nothing to do with the request.
fn allows(request: &Request, id: GrantId, grant: &Grant, now: u64) -> Result<(), Option<(Nearness, Why)>> {
    let same_path = grant.program.path == request.program.path;
    let any_secret = request.secrets.iter().any(|w| grant.secrets.iter().any(|r| r.name.matches(&w.name)));
    if !same_path || !any_secret {
        return Err(None);
    }
    let near = |differs| Err(Some((differs as Nearness, Why::Near { grant: id, differs })));
    let changed = |file: &FileRule, found: Digest| {
        let why = Why::Changed { grant: id, path: file.path.clone(), allowed: file.sha256, found };
        Err(Some((Nearness::MAX, why)))
    };
    // In the order of `Differs`: what is checked last came nearest.
    let covered = request.secrets.iter().all(|wanted| {
        grant.secrets.iter().any(|rule| {
            let variable = rule.variable.clone().unwrap_or_else(|| wanted.name.variable());
            rule.name.matches(&wanted.name) && variable == wanted.variable
        })
    });
    if !covered {
        return near(Differs::Secrets);
    }
    let same_script = match (&grant.script, &request.script) {
        (None, None) => true,
        (Some(rule), Some(script)) => rule.path == script.path,
        _ => false,
    };
    if !same_script || grant.shebang != request.shebang || grant.script_as != request.script_as {
        return near(Differs::Script);
    }
    if !args_match(&grant.args, request) {
        return near(Differs::Args);
    }
    if request.arbitrary && !matches!(grant.args, ArgsRule::Exact(_)) {
        return near(Differs::Arbitrary);
    }
    if grant.called.as_ref().is_some_and(|called| *called != request.called) {
        return near(Differs::Called);
    }
    if grant.cwd.as_ref().is_some_and(|cwd| *cwd != request.cwd) {
        return near(Differs::Cwd);
    }
    if !caller_matches(grant.caller, request) {
        return near(Differs::Caller);
    }
    if request.tier.is_some_and(|tier| tier < grant.tier) {
        return near(Differs::Tier);
    }
    if !request.confinement.is_within(&grant.confinement) {
        return near(Differs::Confinement);
    }
    if request.deliver != grant.deliver {
        return near(Differs::Delivery);
    }
    if request.raw && !grant.raw {
        return near(Differs::Raw);
    }
    if !request.pass.iter().all(|name| grant.pass.contains(name)) {
        return near(Differs::Pass);
    }
    if grant.expires.is_some_and(|expires| now >= expires) || now < grant.created.saturating_sub(CLOCK_SLACK)
    {
        return near(Differs::Expired);
    }
    if grant.uses == Some(0) {
        return near(Differs::UsedUp);
    }
    if grant.program.sha256 != request.program.sha256 {
        return changed(&grant.program, request.program.sha256);
    }
    if let (Some(rule), Some(script)) = (&grant.script, &request.script)
        && rule.sha256 != script.sha256
    {
        return changed(rule, script.sha256);
    }
    // Its bytes are looked at with the other pins'.
    let is_pinned = |lead: &FileRule| grant.pins.iter().any(|pin| pin.path == lead.path);
    if let Some(lead) = request.leads.iter().find(|lead| !is_pinned(lead)) {
        let (path, program) = (lead.path.clone(), request.program.path.clone());
        return Err(Some((Nearness::MAX, Why::NotPinned { grant: id, path, program })));
    }
    for pin in &grant.pins {
        match request.pinned.get(&pin.path) {
            Some(found) if *found == pin.sha256 => {}
            Some(found) => return changed(pin, *found),
            None => {
                let why = Why::PinMissing { grant: id, path: pin.path.clone() };
                return Err(Some((Nearness::MAX, why)));
            }
        }
    }
    Ok(())
}

/// A clock may be this many seconds behind the one that gave the grant; one that was set back further does not
/// bring an expired grant to life.
const CLOCK_SLACK: u64 = 300;

/// A deny holds for the program under its path or its bytes, and for any of the secrets.
fn denies(request: &Request, grant: &Grant, now: u64) -> bool {
    let same = |rule: &FileRule, file: &FileRule| rule.path == file.path || rule.sha256 == file.sha256;
    let script = match (&grant.script, &request.script) {
        (None, _) => true,
        (Some(rule), Some(script)) => same(rule, script),
        (Some(_), None) => false,
    };
    same(&grant.program, &request.program)
        && script
        && request.secrets.iter().any(|w| grant.secrets.iter().any(|r| r.name.matches(&w.name)))
        && args_match(&grant.args, request)
        && grant.cwd.as_ref().is_none_or(|cwd| *cwd == request.cwd)
        && caller_matches(grant.caller, request)
        && grant.expires.is_none_or(|expires| now < expires)
}

fn args_match(rule: &ArgsRule, request: &Request) -> bool {
    let same = |rule: &[OsText]| rule.iter().map(|text| &text.0).eq(&request.args[..rule.len()]);
    match rule {
        ArgsRule::Exact(args) => args.len() == request.args.len() && same(args),
        ArgsRule::Prefix(args) => args.len() <= request.args.len() && same(args),
        ArgsRule::Any => true,
    }
}

fn caller_matches(rule: CallerRule, request: &Request) -> bool {
    match rule {
        CallerRule::Any => true,
        CallerRule::Terminal => request.terminal && !request.shielded,
        CallerRule::Shielded => request.shielded,
    }
}

fn list(names: &[SecretName]) -> String {
    names.iter().map(SecretName::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;

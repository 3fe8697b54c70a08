//! Asks the system what holds for a process that was made.

use std::os::windows::io::{AsHandle, BorrowedHandle};
use std::path::PathBuf;

use windows_sys::Win32::Security::{TOKEN_QUERY, WinBuiltinAdministratorsSid};
use windows_sys::Win32::System::Threading::{
    ProcessChildProcessPolicy, ProcessExtensionPointDisablePolicy, ProcessFontDisablePolicy,
    ProcessImageLoadPolicy,
};

use super::closed::{TOKEN_RIGHTS, open_still};
use super::look;
use super::make::{Made, Prepared};
use super::pure::judge::{Birth, Creation, Facts, Job, Profile, Token as TokenFacts};
use super::sys::has_same;
use super::sys_container::{Container, reaches_loopback};
use super::sys_process::policy;
use super::sys_security::Sid;
use super::sys_token::Token;
use crate::{Given, Limits, Tier};

/// What is asked about beside the process itself.
pub(super) struct Question<'a> {
    pub(super) tier: Tier,
    pub(super) limits: Limits,
    pub(super) hidden: &'a [PathBuf],
    pub(super) image: Given,
    pub(super) shares_console: bool,
}

impl Question<'_> {
    /// Of a process that waits for its first instruction.
    pub(super) fn of(
        &self,
        made: &Made,
        container: &Result<Container, String>,
        job: Option<&Prepared>,
    ) -> Facts {
        let process = made.child.process();
        let inherited = has_same(process, made.canary.as_handle());
        let only_listed =
            if inherited { Err("it inherited a handle that was not listed".to_owned()) } else { Ok(()) };
        let token = made.token.as_ref().map_err(String::clone);
        let locked = self.tier == Tier::Lockdown;
        let only_locked = || "only asked in lockdown".to_owned();
        let of_token = |ask: &dyn Fn(&Token) -> Result<Vec<String>, String>| match &token {
            Ok(token) if locked => ask(token),
            Ok(_) => Err(only_locked()),
            Err(why) => Err(why.clone()),
        };
        let texts = |rights: Vec<&'static str>| rights.into_iter().map(str::to_owned).collect();
        let reaches_supervisor = of_token(&|token| look::reaches_supervisor(token).map(texts));
        let reaches_hidden = of_token(&|token| look::reaches(token, self.hidden));
        Facts {
            tier: self.tier,
            job: job.map(|job| asked_back(job, process)),
            creation: Creation {
                only_listed,
                image: self.image.clone(),
                shares_console: self.shares_console,
                birth: made.birth,
            },
            profile: made.container.clone().and_then(|()| profile(container.as_ref())),
            supervisor: supervisor(job),
            token: token.and_then(facts),
            open_to_user: made
                .closed
                .clone()
                .map(|()| look::open_to_user(made.child.pid, &[made.child.tid], TOKEN_RIGHTS)),
            reaches_supervisor,
            reaches_hidden,
            mitigated: made.mitigations.clone().and_then(|()| mitigated(process)),
            childless: made.children.clone().and_then(|()| childless(process)),
            limits_files: self.limits.file.is_some(),
            is_limited: self.limits != Limits::default(),
        }
    }

    /// Of a process that somebody else made and that ran already.
    pub(super) fn of_running(&self, process: BorrowedHandle<'_>, job: Option<&Prepared>) -> Facts {
        let not_ours = || "it was started by someone else".to_owned();
        Facts {
            tier: self.tier,
            job: job.map(|job| asked_back(job, process)),
            creation: Creation {
                only_listed: Err(not_ours()),
                image: self.image.clone(),
                shares_console: true,
                birth: Birth::Attached,
            },
            profile: Err(not_ours()),
            supervisor: supervisor(job),
            token: Token::of(process, TOKEN_QUERY)
                .map_err(|error| format!("OpenProcessToken, the program's: {error}"))
                .and_then(|token| facts(&token)),
            open_to_user: Err(not_ours()),
            reaches_supervisor: Err(not_ours()),
            reaches_hidden: Err(not_ours()),
            mitigated: Err(not_ours()),
            childless: Err(not_ours()),
            limits_files: self.limits.file.is_some(),
            is_limited: self.limits != Limits::default(),
        }
    }
}

fn profile(container: Result<&Container, &String>) -> Result<Profile, String> {
    let container = container.map_err(String::clone)?;
    Ok(Profile { existed: container.existed, loopback: reaches_loopback(&container.sid) })
}

/// Only of interest where the supervisor holds a job.
fn supervisor(job: Option<&Prepared>) -> Result<Vec<&'static str>, String> {
    job.map_or_else(|| Err("not asked without a job".into()), |_| open_still())
}

fn facts(token: &Token) -> Result<TokenFacts, String> {
    let failed = |error| format!("GetTokenInformation, the program's: {error}");
    let administrators = Sid::well_known(WinBuiltinAdministratorsSid);
    let administrators = administrators.map_err(|error| format!("CreateWellKnownSid: {error}"))?;
    // A system that does not know of containers has none.
    let is_container = token.is_container().unwrap_or(false);
    Ok(TokenFacts {
        is_container,
        capabilities: if is_container { token.capabilities().map_err(failed)? } else { 0 },
        integrity: token.integrity().map_err(failed)?,
        privileges: token.privileges().map_err(failed)?.len() as u32,
        is_administrator: token.belongs_to(&administrators).map_err(failed)?,
    })
}

fn asked_back(prepared: &Prepared, process: BorrowedHandle<'_>) -> Job {
    let found = match &prepared.refused {
        Some(refused) => Err(refused.clone()),
        None => prepared
            .job
            .limits()
            .map_err(|error| format!("QueryInformationJobObject, extended limits: {error}")),
    };
    let ui = match &prepared.ui_refused {
        Some(refused) => Err(refused.clone()),
        None => {
            prepared.job.ui().map_err(|error| format!("QueryInformationJobObject, UI restrictions: {error}"))
        }
    };
    let contains = prepared.job.contains(process).map_err(|error| format!("IsProcessInJob: {error}"));
    Job { asked: prepared.asked, found, ui, contains }
}

/// Each policy that was asked for, as the process has it: the bits of its structure (winnt.h).
fn mitigated(process: BorrowedHandle<'_>) -> Result<(), String> {
    // NoRemoteImages, NoLowMandatoryLabelImages and PreferSystem32Images are the first three.
    let expected = [
        ("extension points", ProcessExtensionPointDisablePolicy, 0b1),
        ("images", ProcessImageLoadPolicy, 0b111),
        ("fonts", ProcessFontDisablePolicy, 0b1),
    ];
    for (what, which, bits) in expected {
        let found =
            policy(process, which).map_err(|error| format!("GetProcessMitigationPolicy, {what}: {error}"))?;
        if found & bits != bits {
            return Err(format!(
                "asked for {bits:#b}, GetProcessMitigationPolicy, {what}, reports {found:#b}"
            ));
        }
    }
    Ok(())
}

fn childless(process: BorrowedHandle<'_>) -> Result<(), String> {
    let found = policy(process, ProcessChildProcessPolicy)
        .map_err(|error| format!("GetProcessMitigationPolicy, child processes: {error}"))?;
    // NoChildProcessCreation.
    if found & 1 == 1 { Ok(()) } else { Err("GetProcessMitigationPolicy, child processes, reports 0".into()) }
}

//! Makes the process of a start: suspended, in its job, with its token, and with nothing that is not listed.

use std::io;
use std::os::windows::io::{AsHandle, OwnedHandle};

use windows_sys::Win32::Foundation::{ERROR_INVALID_PARAMETER, ERROR_NOT_SUPPORTED, HANDLE};
use windows_sys::Win32::Security::{
    SECURITY_CAPABILITIES, TOKEN_ADJUST_DEFAULT, TOKEN_DUPLICATE, TOKEN_QUERY, WinBuiltinAdministratorsSid,
    WinLowLabelSid, WinMediumLabelSid,
};
use windows_sys::Win32::Storage::FileSystem::WRITE_DAC;
use windows_sys::Win32::System::WindowsProgramming::PROCESS_CREATION_CHILD_PROCESS_RESTRICTED;

use super::closed::Lists;
use super::pure::judge::{Birth, LOW, MEDIUM};
use super::pure::limits::{JobLimits, mitigations, ui};
use super::streams::Streams;
use super::strings::Strings;
use super::sys::{canary, raw};
use super::sys_container::{Container, capabilities, container};
use super::sys_job::{Job, Port};
use super::sys_process::{Attributes, Child, Creation};
use super::sys_security::Sid;
use super::sys_token::Token;
use super::tty::Pty;
use crate::{Limits, StartError, Tier};

/// A job with everything set that the system took.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) job: Job,
    pub(super) port: Port,
    pub(super) asked: JobLimits,
    /// What was refused: the call, and what the system said.
    pub(super) refused: Option<String>,
    pub(super) ui_refused: Option<String>,
}

/// The job of `tier`; `None` for the tier without one.
pub(super) fn job(tier: Tier, limits: Limits) -> Result<Option<Prepared>, StartError> {
    let Some(asked) = JobLimits::of(tier, limits) else { return Ok(None) };
    let step = |step| move |source| StartError::System { step, source };
    let job = Job::new().map_err(step("make the job (CreateJobObjectW)"))?;
    let port = Port::new().map_err(step("make the job's port (CreateIoCompletionPort)"))?;
    job.tell(&port).map_err(step("let the job tell (SetInformationJobObject, completion port)"))?;
    let refused = job.set_limits(&asked).err();
    let refused = refused.map(|error| format!("SetInformationJobObject, extended limits: {error}"));
    let ui_refused = ui(tier).and_then(|ui| job.set_ui(ui).err());
    let ui_refused = ui_refused.map(|error| format!("SetInformationJobObject, UI restrictions: {error}"));
    Ok(Some(Prepared { job, port, asked, refused, ui_refused }))
}

/// The token of the program, its container, and who may open what is the program's.
pub(super) struct Identity {
    token: Option<Token>,
    closed: Option<Lists>,
    pub(super) container: Result<Container, String>,
}

/// `name` is that of the container.
pub(super) fn identity(tier: Tier, name: &str) -> Result<Identity, StartError> {
    let none = || Err("only lockdown has a container".to_owned());
    if tier == Tier::None {
        return Ok(Identity { token: None, closed: None, container: none() });
    }
    let step = |step| move |source| StartError::System { step, source };
    let sid = |kind| Sid::well_known(kind).map_err(step("name a group (CreateWellKnownSid)"));
    let own = Token::own().map_err(step("open the caller's token (OpenProcessToken)"))?;
    let denied = [sid(WinBuiltinAdministratorsSid)?];
    let token = own.restricted(&denied).map_err(step("make a lesser token (CreateRestrictedToken)"))?;
    let locked = tier == Tier::Lockdown;
    let level = if locked { LOW } else { MEDIUM };
    let before = own.integrity().map_err(step("read the caller's integrity (GetTokenInformation)"))?;
    if before > level {
        let level = sid(if locked { WinLowLabelSid } else { WinMediumLabelSid })?;
        token.set_integrity(&level).map_err(step("lower the token's integrity (SetTokenInformation)"))?;
    }
    if !locked {
        return Ok(Identity { token: Some(token), closed: None, container: none() });
    }
    let user = own.user().map_err(step("name the user (GetTokenInformation)"))?;
    let container = container(name);
    let closed = Lists::new(&user, container.as_ref().ok().map(|container| &container.sid));
    let failed = "write an access list (ConvertStringSecurityDescriptorToSecurityDescriptorW)";
    Ok(Identity { token: Some(token), closed: Some(closed.map_err(step(failed))?), container })
}

/// A process that waits for its first instruction, and what was refused on the way.
pub(super) struct Made {
    pub(super) child: Child,
    /// Its own, to look at.
    pub(super) token: Result<Token, String>,
    /// Whether its token is closed to the user's other processes, and whether what it makes will be.
    pub(super) closed: Result<(), String>,
    /// An inheritable handle that was not on the list.
    pub(super) canary: OwnedHandle,
    /// Whether it was made in its container.
    pub(super) container: Result<(), String>,
    pub(super) birth: Birth,
    pub(super) mitigations: Result<(), String>,
    pub(super) children: Result<(), String>,
}

/// All that a process is made from.
pub(super) struct Plan<'a> {
    pub(super) tier: Tier,
    pub(super) flags: u32,
    pub(super) strings: &'a Strings,
    pub(super) streams: &'a Streams,
    pub(super) terminal: Option<&'a Pty>,
    pub(super) job: Option<&'a Job>,
    pub(super) identity: &'a Identity,
}

/// Why there is no process.
pub(super) enum Failure {
    /// CreateProcessW, or CreateProcessAsUserW, said this.
    Create(io::Error),
    /// Another step.
    Step(StartError),
}

/// In the job from birth; assigned where the list is refused.
pub(super) fn make(mut plan: Plan<'_>) -> Result<Made, Failure> {
    if plan.job.is_none() {
        return plan.make(Birth::Assigned);
    }
    match plan.make(Birth::InJob) {
        Err(Failure::Create(error)) if refuses_list(&error) => plan.make(Birth::Assigned),
        made => made,
    }
}

/// What systems say that know no job list. (ERROR_ACCESS_DENIED, which some say to a job in a job, can be brought about
/// by who may change the file's access list.)
fn refuses_list(error: &io::Error) -> bool {
    let codes = [ERROR_NOT_SUPPORTED, ERROR_INVALID_PARAMETER];
    error.raw_os_error().is_some_and(|code| codes.contains(&(code as u32)))
}

impl Plan<'_> {
    pub(super) fn make(&mut self, birth: Birth) -> Result<Made, Failure> {
        let step = |step| move |source| Failure::Step(StartError::System { step, source });
        let listing = "list what the process is made with (UpdateProcThreadAttribute)";
        let handles = self.streams.list();
        let jobs: Option<[HANDLE; 1]> = self.job.map(|job| [raw(job)]);
        let policy = mitigations(self.tier);
        let alone = PROCESS_CREATION_CHILD_PROCESS_RESTRICTED;
        let capabilities: Option<SECURITY_CAPABILITIES> =
            self.identity.container.as_ref().ok().map(|container| capabilities(&container.sid));
        let mut attributes = Attributes::new(6).map_err(step(listing))?;
        if !handles.is_empty() {
            attributes.handles(&handles).map_err(step(listing))?;
        }
        if let Some(jobs) = jobs.as_ref().filter(|_| birth == Birth::InJob) {
            // A list that is refused here is refused as by the creation.
            attributes.jobs(jobs).map_err(Failure::Create)?;
        }
        if let Some(terminal) = self.terminal {
            attributes.console(terminal.console.number()).map_err(step(listing))?;
        }
        let refused = |what: &str, error: io::Error| format!("UpdateProcThreadAttribute, {what}: {error}");
        let no_policy = || Err("only lockdown has mitigation policies".to_owned());
        let mitigations = match policy.as_ref() {
            Some(policy) => {
                attributes.mitigations(policy).map_err(|error| refused("mitigation policy", error))
            }
            None => no_policy(),
        };
        let children = match policy {
            Some(_) => attributes.children(&alone).map_err(|error| refused("child process policy", error)),
            None => no_policy(),
        };
        let container = self.identity.container.as_ref().map(|_| ()).map_err(String::clone);
        let container = container.and_then(|()| {
            let set = capabilities.as_ref().map_or(Ok(()), |of| attributes.container(of));
            set.map_err(|error| refused("security capabilities", error))
        });
        let canary = canary().map_err(step("make a handle that must not be inherited (CreateEventW)"))?;
        let closed = self.identity.closed.as_ref();
        // The system writes into the command line.
        let mut line = self.strings.line.clone();
        let creation = Creation {
            program: &self.strings.program,
            line: &mut line,
            token: self.identity.token.as_ref().map(Token::as_handle),
            process: closed.map(|closed| &closed.process),
            thread: closed.map(|closed| &closed.thread),
            flags: self.flags,
            environment: &self.strings.environment,
            directory: self.strings.directory.as_deref(),
            streams: self.streams.numbers,
            inherits: !handles.is_empty(),
            attributes: &mut attributes,
        };
        let child = creation.create().map_err(Failure::Create)?;
        if let Some(job) = self.job.filter(|_| birth == Birth::Assigned) {
            let failed = "put the suspended process into its job (AssignProcessToJobObject)";
            job.assign(child.process().as_handle()).map_err(step(failed))?;
        }
        let change = if closed.is_some() { TOKEN_ADJUST_DEFAULT | WRITE_DAC } else { 0 };
        let token = Token::of(child.process(), TOKEN_QUERY | TOKEN_DUPLICATE | change)
            .map_err(|error| format!("OpenProcessToken, the program's: {error}"));
        let closed = match (&token, closed) {
            (Err(why), _) => Err(why.clone()),
            (Ok(_), None) => Err("only lockdown closes the program's token".to_owned()),
            (Ok(token), Some(closed)) => close(token, closed),
        };
        Ok(Made { child, token, closed, canary, container, birth, mitigations, children })
    }
}

/// The token that the system made for the process: what it makes is closed, and then the token itself.
fn close(token: &Token, closed: &Lists) -> Result<(), String> {
    let list = closed.object.list().and_then(|list| token.set_default_list(Some(&list)));
    list.map_err(|error| format!("SetTokenInformation, the program's default access list: {error}"))?;
    let applied = closed.token.apply(token.as_handle());
    applied.map_err(|error| format!("SetKernelObjectSecurity, the program's token: {error}"))
}

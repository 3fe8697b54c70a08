//! Starts a program: makes its process, asks back what holds, lets it run.

use std::io;
use std::os::windows::io::AsHandle;

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_ACCESS_DISABLED_BY_POLICY, ERROR_BAD_EXE_FORMAT, ERROR_DIRECTORY,
    ERROR_ELEVATION_REQUIRED, ERROR_EXE_MACHINE_TYPE_MISMATCH, ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND,
};
use windows_sys::Win32::Storage::FileSystem::VOLUME_NAME_NT;

use super::closed::Making;
use super::facts::Question;
use super::look;
use super::make::{Failure, Identity, Made, Plan, Prepared, identity, job, make};
use super::open::approved;
use super::pure::flags::{self, DETACHED, NEW_CONSOLE, NEW_PROCESS_GROUP, NO_WINDOW, SUSPENDED};
use super::pure::judge::judge;
use super::running::{Parts, Running};
use super::streams::Streams;
use super::strings::Strings;
use super::sys::final_path;
use super::sys_process::{self, Child};
use crate::{Enforced, Engine, Guarantee, Image, Spec, StartError};

/// Starts the program of `spec` in its tier.
///
/// Returns when the program runs and what the system says of its guarantees was read back; one that is
/// promised ([`Tier::promises`](crate::Tier::promises)), missing and not waived stops the start before the
/// program's first instruction. The environment's values are overwritten once they were handed over.
///
/// While the process is made, the handles that it inherits exist in inheritable copies: a program that
/// another thread starts in this moment with all inheritable handles (as [`std::process::Command`] does)
/// gets them too.
pub fn start(mut spec: Spec) -> Result<Running, StartError> {
    if spec.engine == Engine::Namespaces {
        return Err(StartError::NoEngine { engine: spec.engine });
    }
    let tier = spec.tier;
    let strings = Strings::new(&spec)?;
    let failed = "make what the program takes over as open as it was (SetTokenInformation)";
    let making = Making::new().map_err(|source| StartError::System { step: failed, source })?;
    let streams = std::mem::take(&mut spec.streams);
    let streams = Streams::new(streams, std::mem::take(&mut spec.handles), spec.terminal.is_some())?;
    let flags = flags::creation(spec.creation_flags, tier, spec.terminal.is_some(), streams.are_own)
        .map_err(|(flags, why)| StartError::CreationFlags { flags, why })?;
    let prepared = job(tier, spec.limits)?;
    let identity = identity(tier, &container_name(&spec.image))?;
    let plan = Plan {
        tier,
        flags,
        strings: &strings,
        streams: &streams,
        terminal: spec.terminal.as_ref(),
        job: prepared.as_ref().map(|prepared| &prepared.job),
        identity: &identity,
    };
    let made = make(plan).map_err(|failure| match failure {
        Failure::Create(error) => refused(&spec, error),
        Failure::Step(error) => error,
    })?;
    drop(making);
    let enforced = look_back(&spec, flags, &made, &identity, prepared.as_ref(), &streams)?;
    if let Ok(container) = &identity.container
        && enforced.gives(Guarantee::L3)
    {
        let sid = container.sid.text().unwrap_or_default();
        opens_what_it_needs(&spec, &made, &sid)?;
    }
    let waits = spec.creation_flags & SUSPENDED != 0;
    if !waits {
        let failed = |source| StartError::System { step: "let the program run (ResumeThread)", source };
        made.child.resume().map_err(failed)?;
    }
    let (pid, failed) = (made.child.pid, "keep a handle of the program (DuplicateHandle)");
    let released = made.child.release(waits);
    let (process, thread) = released.map_err(|source| StartError::System { step: failed, source })?;
    let has_group = flags & NEW_PROCESS_GROUP != 0;
    let ends = streams.ends;
    let terminal = spec.terminal.take();
    Ok(Running::new(Parts { pid, process, thread, prepared, enforced, ends, terminal, has_group }))
}

/// A program has one container of its own, so that the owner can open files to it by name.
pub(super) fn container_name(image: &Image) -> String {
    let digest = image.sha256();
    let half = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
    format!("envseal.{}", half.collect::<String>())
}

/// What holds for the process, or why it must not run.
fn look_back(
    spec: &Spec,
    flags: u32,
    made: &Made,
    identity: &Identity,
    prepared: Option<&Prepared>,
    streams: &Streams,
) -> Result<Enforced, StartError> {
    is_the_image(&spec.image, &made.child)?;
    let has_console = flags & (DETACHED | NEW_CONSOLE | NO_WINDOW) == 0 && spec.terminal.is_none();
    let question = Question {
        tier: spec.tier,
        limits: spec.limits,
        hidden: &spec.hidden,
        image: approved(spec),
        shares_console: has_console || !streams.are_own,
    };
    let enforced = Enforced::new(spec.tier, judge(&question.of(made, &identity.container, prepared)));
    let missing: Vec<_> =
        enforced.missing().into_iter().filter(|(guarantee, _)| !spec.weaker.contains(guarantee)).collect();
    if missing.is_empty() { Ok(enforced) } else { Err(StartError::NotGiven { tier: spec.tier, missing }) }
}

/// The kernel's name of what the process runs is that of the open handle. While the handle is open nobody
/// renames the file or a directory above it, so that one name is one file.
fn is_the_image(image: &Image, child: &Child) -> Result<(), StartError> {
    let step = |step| move |source| StartError::System { step, source };
    let open = final_path(image.file(), VOLUME_NAME_NT)
        .map_err(step("name the open program (GetFinalPathNameByHandleW)"))?;
    let runs = sys_process::image(child.process().as_handle())
        .map_err(step("name what the process runs (QueryFullProcessImageNameW)"))?;
    if open == runs {
        return Ok(());
    }
    Err(StartError::AnotherImage {
        path: image.path().to_owned(),
        found: runs.to_string_lossy().into_owned(),
    })
}

/// The paths that the caller named are open to the program's own token.
fn opens_what_it_needs(spec: &Spec, made: &Made, sid: &str) -> Result<(), StartError> {
    let step = "look at what the program may open (AccessCheck)";
    let failed = |why: &String| StartError::System { step, source: io::Error::other(why.clone()) };
    let token = made.token.as_ref().map_err(failed)?;
    let readable = spec.readable.iter().map(|path| (path, false, "(OI)(CI)(RX)"));
    let writable = spec.writable.iter().map(|path| (path, true, "(OI)(CI)(M)"));
    for (path, writes, rights) in readable.chain(writable) {
        if !look::opens(token, path, writes).map_err(|why| failed(&why))? {
            let rights = if path.is_dir() { rights } else { rights.trim_start_matches("(OI)(CI)") };
            return Err(StartError::Closed { path: path.clone(), sid: sid.to_owned(), rights });
        }
    }
    Ok(())
}

fn refused(spec: &Spec, error: io::Error) -> StartError {
    let of_program = [
        ERROR_FILE_NOT_FOUND,
        ERROR_PATH_NOT_FOUND,
        ERROR_ACCESS_DENIED,
        ERROR_BAD_EXE_FORMAT,
        ERROR_EXE_MACHINE_TYPE_MISMATCH,
        ERROR_ELEVATION_REQUIRED,
        ERROR_ACCESS_DISABLED_BY_POLICY,
    ];
    match error.raw_os_error().map(|code| code as u32) {
        Some(ERROR_DIRECTORY) => {
            StartError::Directory { path: spec.directory.clone().unwrap_or_default(), source: error }
        }
        Some(code) if of_program.contains(&code) => {
            StartError::Exec { path: spec.image.path().to_owned(), source: error }
        }
        _ if spec.tier == crate::Tier::None => {
            StartError::System { step: "make the process (CreateProcessW)", source: error }
        }
        _ => StartError::System { step: "make the process (CreateProcessAsUserW)", source: error },
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::pure::judge::Birth;
    use super::super::sys_process::{exit_code, wait};
    use super::*;
    use crate::{Limits, Stdio, Tier};

    fn system(name: &str) -> Image {
        let root = super::super::sys::windows_directory().expect("a system");
        Image::open(&Path::new(&root).join("system32").join(name)).expect("a program of the system")
    }

    /// `cmd.exe /c exit 7`, made by `birth` and not yet running.
    fn made(tier: Tier, birth: Birth) -> (Made, Option<Prepared>, Spec) {
        let spec = Spec::new(system("cmd.exe")).args(["/c", "exit", "7"]).tier(tier);
        let strings = Strings::new(&spec).expect("texts");
        let streams =
            Streams::new([Stdio::Null, Stdio::Null, Stdio::Null], Vec::new(), false).expect("streams");
        let prepared = job(tier, Limits::default()).expect("a job");
        let identity = identity(tier, "envseal.test").expect("an identity");
        let mut plan = Plan {
            tier,
            flags: flags::creation(0, tier, false, true).expect("flags"),
            strings: &strings,
            streams: &streams,
            terminal: None,
            job: prepared.as_ref().map(|prepared| &prepared.job),
            identity: &identity,
        };
        let Ok(made) = plan.make(birth) else { panic!("no process") };
        (made, prepared, spec)
    }

    #[test]
    fn where_the_job_list_is_refused_the_suspended_process_is_assigned() {
        for tier in [Tier::Hardened, Tier::Lockdown] {
            for birth in [Birth::InJob, Birth::Assigned] {
                let (made, prepared, _) = made(tier, birth);
                let job = &prepared.as_ref().expect("a job").job;
                assert!(job.contains(made.child.process()).expect("asked"), "{tier} {birth:?}");
                assert_eq!(job.active().expect("counted"), 1);
                assert!(!wait(made.child.process(), Some(50)).expect("asked"), "it ran already");
                made.child.resume().expect("resumed");
                assert!(wait(made.child.process(), Some(20_000)).expect("asked"));
                assert_eq!(exit_code(made.child.process()).expect("a code"), 7, "{tier} {birth:?}");
            }
        }
    }

    #[test]
    fn a_process_that_is_let_go_of_before_it_runs_is_ended() {
        let (made, prepared, _) = made(Tier::Hardened, Birth::InJob);
        let (process, job) =
            (made.child.process().try_clone_to_owned().expect("a copy"), prepared.expect("a job"));
        drop(made);
        assert!(wait(process.as_handle(), Some(0)).expect("asked"));
        assert_eq!(exit_code(process.as_handle()).expect("a code"), 1);
        assert_eq!(job.job.active().expect("counted"), 0);
    }

    #[test]
    fn a_process_of_another_file_than_the_hashed_one_is_found_out() {
        let (made, _, spec) = made(Tier::None, Birth::Assigned);
        is_the_image(&spec.image, &made.child).expect("the image");
        let refused = is_the_image(&system("ping.exe"), &made.child).expect_err("another");
        let StartError::AnotherImage { path, found } = &refused else { panic!("{refused}") };
        assert!(path.ends_with("ping.exe") && found.to_lowercase().ends_with("cmd.exe"), "{refused}");
    }

    #[test]
    fn the_handle_that_is_kept_waits_for_the_program_and_ends_it() {
        use super::super::sys_process::lesser;
        let (made, _job, _) = made(Tier::Hardened, Birth::InJob);
        let handle = lesser(made.child.process()).expect("a handle");
        sys_process::terminate(handle.as_handle(), 9).expect("ended");
        assert!(wait(handle.as_handle(), Some(20_000)).expect("asked"));
        assert_eq!(exit_code(handle.as_handle()).expect("a code"), 9);
    }
}

//! The launcher: becomes the group, starts one program, and supervises it.
//!
//! Anybody may run it, in any state that a process of the user can be in. What the kernel grants is checked
//! first. Nothing is taken from the environment, the arguments, the directory or open descriptors but the
//! socket; all signals that can be blocked are, so that timers and keys do nothing. What goes to the program
//! as in a plain start, because it was the caller's to set, are the process group, limits, umask and
//! priority.
//!
//! That AT_SECURE is set, and so the dynamic loader took nothing from the caller, follows from the capability:
//! execve sets it whenever a user other than root gains one (cap_bprm_creds_from_file in the kernel).
//!
//! A hard link to the launcher is the launcher: the same inode, written by root only. Its name is of no
//! account.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::sockopt::{socket_domain, socket_peercred, socket_type};
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{
    DumpableBehavior, PidfdFlags, Resource, Rlimit, chdir, fchdir, geteuid, getgid, getgroups, getppid,
    getuid, pidfd_open, set_dumpable_behavior, setrlimit, umask,
};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, capabilities, capability_is_in_ambient_set,
    configure_capability_in_ambient_set, set_capabilities, set_thread_groups, set_thread_res_gid,
};

use super::super::plan::PRIVATE;
use super::super::running::{Parts, bury};
use super::super::start::start;
use super::super::sys;
use super::failure;
use super::frame::{Broken, FAILED, Message, REFUSED, REQUEST, STARTED, Wire};
use super::place::RANGE;
use super::reply::Started;
use super::request::{Request, needs_no_directory};
use crate::{Engine, Guarantee, Running, Spec, StartError};

/// envseal could not do it.
const FAILURE: u8 = 125;
/// What the launcher needs for itself, whatever the client's mask is.
const OWN_MASK: Mode = Mode::RWXG.union(Mode::RWXO);

/// The whole of the program `envseal-launch`.
pub fn main() -> ExitCode {
    // Never restored: the program unblocks for itself.
    let _ = sys::block_signals();
    sys::default_signals();
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(1), maximum: Some(1) });
    let refusal = match take_group() {
        Err(refusal) => refusal,
        Ok(group) => match settle() {
            Err(refusal) => refusal,
            Ok((socket, mask)) => match serve(&socket, group, mask) {
                Ok(()) => return ExitCode::SUCCESS,
                Err(refusal) => return refuse(&socket, &refusal),
            },
        },
    };
    // A person who runs it by hand reads it; a client does on its socket.
    let _ = writeln!(io::stderr(), "envseal-launch: {refusal}");
    refuse(io::stdin(), &refusal)
}

fn refuse(socket: impl AsFd, refusal: &str) -> ExitCode {
    // To a descriptor that is no socket nothing is sent.
    let wire = Wire { socket: socket.as_fd(), until: Some(std::time::Instant::now()) };
    let _ = wire.send(REFUSED, refusal.as_bytes(), &[]);
    ExitCode::from(FAILURE)
}

/// Takes a group that no other process has, with the capability that the file gives, and gives that up.
///
/// The number is drawn from a range that no account has ([`RANGE`]): whoever has run a program of theirs in a
/// group, and kept a setgid file or a user namespace with it, has nothing of the next one. And who has collected
/// many lacks the second thing that the program has, a capability that no such file can carry ([`PRIVATE`]).
fn take_group() -> Result<Gid, String> {
    let permitted = capabilities(None).map_err(|error| format!("its capabilities: {error}"))?.permitted;
    if !permitted.contains(CapabilitySet::SETGID | PRIVATE) {
        return Err("it cannot take a group of its own: it is not installed, or was started where its file \
                    gives no capability (under a debugger, with no_new_privs, in a user namespace, from a \
                    file system mounted nosuid, or by a program of its own)"
            .to_owned());
    }
    let none = CapabilitySet::empty();
    let taking = CapabilitySets {
        effective: CapabilitySet::SETGID,
        permitted: CapabilitySet::SETGID | PRIVATE,
        inheritable: none,
    };
    let failed = |error: Errno| format!("a group of its own: {error}");
    let mut groups = getgroups().map_err(failed)?;
    // The user's own group is not always among the supplementary ones, and will be nowhere else.
    let real = getgid();
    if !groups.contains(&real) {
        groups.push(real);
    }
    let mut random = [0; 4];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .map_err(|error| format!("/dev/urandom: {error}"))?;
    let number = RANGE.start + u32::from_le_bytes(random) % (RANGE.end - RANGE.start);
    let group = Gid::from_raw(number);
    if getuid() != geteuid() {
        return Err("it is installed setuid".to_owned());
    }
    set_capabilities(None, taking).map_err(failed)?;
    set_thread_groups(&groups).map_err(failed)?;
    set_thread_res_gid(group, group, group).map_err(failed)?;
    let kept = CapabilitySets { effective: none, permitted: PRIVATE, inheritable: PRIVATE };
    set_capabilities(None, kept).map_err(failed)?;
    configure_capability_in_ambient_set(PRIVATE, true).map_err(failed)?;
    let left = capabilities(None).map_err(failed)?;
    if sys::groups() != Some([number; 3])
        || left.permitted != PRIVATE
        || !left.effective.is_empty()
        || capability_is_in_ambient_set(PRIVATE) != Ok(true)
    {
        return Err("the group was not taken whole".to_owned());
    }
    Ok(group)
}

/// Leaves all that was inherited behind but the socket, and the mask for the program.
fn settle() -> Result<(OwnedFd, Mode), String> {
    sys::close_all_but(&[0, 1, 2]).map_err(|error| format!("open descriptors: {error}"))?;
    let failed = |error: Errno| format!("standard streams: {error}");
    let socket = fcntl_dupfd_cloexec(io::stdin(), 3).map_err(failed)?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    let null = null.map_err(|error| format!("/dev/null: {error}"))?;
    // Standard input last: until then a refusal goes there.
    dup2_stdout(&null).and_then(|()| dup2_stderr(&null)).and_then(|()| dup2_stdin(&null)).map_err(failed)?;
    chdir(c"/").map_err(|error| format!("/: {error}"))?;
    Ok((socket, umask(OWN_MASK)))
}

fn serve(socket: &OwnedFd, group: Gid, mask: Mode) -> Result<(), String> {
    let client = client(socket)?;
    // Where the system lets setgid programs be dumped, a change of groups makes this one so again.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| format!("prctl: {error}"))?;

    let wire = Wire { socket: socket.as_fd(), until: None };
    let (spec, here) = match wire.receive() {
        Ok(Message { kind: REQUEST, body, descriptors }) => {
            let request = Request::decode(&body.0).map_err(|error| format!("the request is {error}"))?;
            drop(body);
            if request.engine == Engine::Namespaces {
                // Whoever owns a user namespace has every capability in it, and so the group that is mapped there.
                return Err("in a user namespace the group would be its owner's to take".to_owned());
            }
            request.into_spec(descriptors).map_err(|error| error.to_string())?
        }
        Ok(_) => return Err("the message is no request".to_owned()),
        Err(Broken::Ended) => return Ok(()),
        Err(error @ Broken::Version(_)) => {
            return Err(format!(
                "the client and the launcher are of different versions ({error}); install \
                                again with: sudo envseal install"
            ));
        }
        Err(error) => return Err(format!("the request: {error}")),
    };
    let answer = match enter(&here, needs_no_directory(spec.directory.as_deref())) {
        Err(error) => Err(error),
        Ok(()) => {
            umask(mask);
            start(private(spec, group))
        }
    };
    umask(OWN_MASK);
    let _ = chdir(c"/");
    drop(here);
    match answer {
        Ok(running) => {
            let watcher = hand_over(&wire, running).map_err(|error| error.to_string())?;
            stay(&watcher, &client, socket);
        }
        // Nobody is left to be told when this fails.
        Err(error) => drop(wire.send(FAILED, &failure::encode(&error).0, &[])),
    }
    Ok(())
}

/// With the group comes all that keeps it from others, whatever the client would do without: a program that had
/// the group outside of a domain of its own could read every other one that has it.
fn private(mut spec: Spec, group: Gid) -> Spec {
    spec.weaker.retain(|&guarantee| guarantee != Guarantee::L6);
    spec.private_group(group.as_raw())
}

/// The client: who made the socket, the same user, and still this process's parent.
fn client(socket: &OwnedFd) -> Result<OwnedFd, String> {
    let local =
        socket_domain(socket) == Ok(AddressFamily::UNIX) && socket_type(socket) == Ok(SocketType::STREAM);
    if !local {
        return Err("it is started by envseal, with a socket as its standard input".to_owned());
    }
    let peer = socket_peercred(socket).map_err(|error| format!("the client: {error}"))?;
    if peer.uid != getuid() {
        return Err("the client is another user".to_owned());
    }
    let process =
        pidfd_open(peer.pid, PidfdFlags::empty()).map_err(|error| format!("the client: {error}"))?;
    // Asked after it was opened: the number of a living parent is nobody else's.
    if getppid() != Some(peer.pid) {
        return Err("the client is not its parent".to_owned());
    }
    Ok(process)
}

/// Enters the client's directory, where the program's own, and relative paths, start.
fn enter(here: &OwnedFd, needs_none: bool) -> Result<(), StartError> {
    match fchdir(here) {
        Err(error) if !needs_none => Err(StartError::Directory { path: ".".into(), source: error.into() }),
        // Entered by its own path, or not at all.
        _ => Ok(()),
    }
}

/// Gives the client what a plain start would have left in its hands; the link must have no other holder, so
/// that the watchers see the client's end. Returns what is left to watch.
fn hand_over(wire: &Wire<'_>, running: Running) -> Result<OwnedFd, Broken> {
    let Parts { pid, own_session, link, watcher, enforced, .. } = running.into_parts();
    let started = Started { pid, own_session, enforced };
    wire.send(STARTED, &started.encode().0, &[link.as_fd(), watcher.as_fd()])?;
    Ok(watcher)
}

/// Until the outer watcher or the client has ended. The end of this process is what ends the tree then.
fn stay(watcher: &OwnedFd, client: &OwnedFd, socket: &OwnedFd) {
    let mut ends = [watcher, client, socket].map(|end| PollFd::new(end, PollFlags::IN));
    while poll(&mut ends, None) == Err(Errno::INTR) {}
    if !ends[0].revents().is_empty() {
        bury(watcher);
    }
}

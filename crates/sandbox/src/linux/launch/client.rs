//! The client's side of a start through the launcher.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::super::running::{Parts, Running, bury};
use super::failure;
use super::frame::{Broken, FAILED, Message, REFUSED, REQUEST, STARTED, Wire};
use super::place::Launcher;
use super::reply::Started;
use super::request::Parcel;
use crate::{Spec, StartError};

/// How long the launcher may take. It hashes the image again, which may be large and on a slow disk.
const PATIENCE: Duration = Duration::from_secs(60);

/// The launcher's process, as the client holds it. Dropped, it is ended and reaped: the watchers, whose
/// supervisor it is, end the tree then if it still lives.
#[derive(Debug)]
pub(in super::super) struct Helper {
    process: OwnedFd,
    /// The launcher sees this end close when the client ends in any way.
    socket: OwnedFd,
}

impl Drop for Helper {
    fn drop(&mut self) {
        // A launcher that somebody stopped would never see its end come.
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
        bury(&self.process);
    }
}

/// Starts the program of `spec` through the installed launcher, so that no other process of the user can read
/// it or its tree.
///
/// As [`start`](crate::start), with the same errors and [`StartError::Launcher`] beside them. The program has
/// the launcher's group as its only one beside the user's supplementary ones, and so do the files that it
/// makes. What is inherited comes from the caller as in a plain start: process group, limits, umask, priority.
/// The group that `spec` names is of no account.
pub fn start_through(launcher: &Launcher, spec: Spec) -> Result<Running, StartError> {
    let Parcel { request, descriptors, streams, terminal } = Parcel::new(spec)?;
    let body = request.encode();
    let helper = spawn(launcher).map_err(|why| refused(format!("{}: {why}", Launcher::path().display())))?;

    let wire = Wire { socket: helper.socket.as_fd(), until: Some(Instant::now() + PATIENCE) };
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let sent = wire.send(REQUEST, &body.0, &borrowed);
    drop(body);
    match sent {
        // A launcher that refuses at once does not wait for the request, but has said why.
        Ok(()) | Err(Broken::Ended) => {}
        Err(error) => return Err(refused(error.to_string())),
    }
    let answer = wire.receive();
    // The program's ends of pipes are the program's alone from here on.
    drop(descriptors);
    let Message { kind, body, descriptors } = answer.map_err(|error| match error {
        Broken::Ended => refused("it ended without an answer".to_owned()),
        error => refused(error.to_string()),
    })?;
    let malformed = |error: super::codec::Malformed| refused(format!("its answer is {error}"));
    match kind {
        STARTED => {
            let Started { pid, own_session, enforced } = Started::decode(&body.0).map_err(malformed)?;
            let [link, watcher] = <[OwnedFd; 2]>::try_from(descriptors)
                .map_err(|_| refused("its answer lacks descriptors".to_owned()))?;
            let parts = Parts { pid, own_session, link, watcher, enforced, streams, terminal };
            Ok(Running::launched(parts, helper))
        }
        FAILED => Err(failure::decode(&body.0).unwrap_or_else(malformed)),
        REFUSED => Err(refused(String::from_utf8_lossy(&body.0).into_owned())),
        _ => Err(refused("its answer is of no known kind".to_owned())),
    }
}

fn refused(why: String) -> StartError {
    StartError::Launcher { why }
}

fn spawn(_: &Launcher) -> io::Result<Helper> {
    let (socket, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let mut command = Command::new(Launcher::path());
    command.env_clear().stdin(theirs).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn()?;
    // This process holds a copy of the launcher's end for as long as the command lives.
    drop(command);
    let pid = Pid::from_child(&child);
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => Ok(Helper { process, socket }),
        Err(error) => {
            let mut child = child;
            let _ = child.kill();
            let _ = child.wait();
            Err(error.into())
        }
    }
}

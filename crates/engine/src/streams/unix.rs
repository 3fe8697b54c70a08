//! Terminals and files of Unix.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use envseal_sandbox::Running;
use envseal_sandbox::tty::Pty;

use super::Writer;
use crate::attend::Outer;
use crate::handle::duplicate;

/// A terminal like the one that standard output is.
pub fn terminal() -> io::Result<Option<Pty>> {
    Pty::like(io::stdout()).map(Some)
}

/// What the program shows on its terminal, where that goes, and the person's keys for it.
pub fn connect(running: &Running) -> io::Result<(OwnedFd, Writer, Option<Outer>)> {
    let master = || running.terminal().ok_or_else(|| io::Error::other("the program has no terminal"))?;
    // Without a controlling terminal there are no keys to pass on.
    let outer = match File::open("/dev/tty") {
        Ok(terminal) => Some(Outer::new(terminal, master()?)?),
        Err(_) => None,
    };
    Ok((master()?, Box::new(File::from(duplicate(io::stdout())?)), outer))
}

/// Whether standard output and standard error lead to the same pipe, file or device.
pub fn same_output() -> io::Result<bool> {
    let (one, other) = (rustix::fs::fstat(io::stdout())?, rustix::fs::fstat(io::stderr())?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

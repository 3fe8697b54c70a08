//! Terminals: a pair for the program, the size, and raw mode for the outer one.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::pty::{OpenptFlags, grantpt, openpt, unlockpt};
use rustix::termios::{OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

pub use crate::size::Size;

impl Size {
    /// The size of `terminal`.
    pub fn of(terminal: impl AsFd) -> io::Result<Size> {
        let size = tcgetwinsize(terminal)?;
        Ok(Size { rows: size.ws_row, columns: size.ws_col, width: size.ws_xpixel, height: size.ws_ypixel })
    }

    /// Gives `terminal` this size; a change sends SIGWINCH to its foreground group (tty_ioctl(4)).
    pub fn apply(self, terminal: impl AsFd) -> io::Result<()> {
        let size = Winsize {
            ws_row: self.rows,
            ws_col: self.columns,
            ws_xpixel: self.width,
            ws_ypixel: self.height,
        };
        Ok(tcsetwinsize(terminal, size)?)
    }
}

/// A pseudoterminal: `master` for the caller, `slave` for the program.
#[derive(Debug)]
pub struct Pty {
    pub(crate) master: OwnedFd,
    pub(crate) slave: OwnedFd,
}

impl Pty {
    /// A new pair with the system's default settings and `size`.
    pub fn open(size: Size) -> io::Result<Pty> {
        let master = master()?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let slave = peer(&master)?;
        size.apply(&master)?;
        Ok(Pty { master, slave })
    }

    /// A new pair with the settings and the size of `terminal`, taken before that one is set raw.
    pub fn like(terminal: impl AsFd) -> io::Result<Pty> {
        let pty = Pty::open(Size::of(&terminal)?)?;
        tcsetattr(&pty.slave, OptionalActions::Now, &tcgetattr(&terminal)?)?;
        Ok(pty)
    }
}

#[cfg(target_os = "linux")]
const FLAGS: OpenptFlags = OpenptFlags::RDWR.union(OpenptFlags::NOCTTY).union(OpenptFlags::CLOEXEC);

#[cfg(target_os = "linux")]
fn master() -> io::Result<OwnedFd> {
    Ok(openpt(FLAGS)?)
}

// Linux 4.13 opens the peer through the master, whatever is mounted on /dev/pts.
#[cfg(target_os = "linux")]
fn peer(master: &OwnedFd) -> io::Result<OwnedFd> {
    Ok(rustix::pty::ioctl_tiocgptpeer(master, FLAGS)?)
}

// Elsewhere openpt has no flag for it.
#[cfg(not(target_os = "linux"))]
fn master() -> io::Result<OwnedFd> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    rustix::io::fcntl_setfd(&master, rustix::io::FdFlags::CLOEXEC)?;
    Ok(master)
}

#[cfg(not(target_os = "linux"))]
fn peer(master: &OwnedFd) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let name = rustix::pty::ptsname(master, Vec::new())?;
    Ok(rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Holds a terminal in raw mode; dropped, it restores what was there.
#[derive(Debug)]
pub struct RawMode {
    terminal: OwnedFd,
    saved: Termios,
    raw: bool,
}

impl RawMode {
    /// Sets `terminal` raw: each byte passes at once, no echo, no signals from keys.
    ///
    /// In a background process group the system answers with SIGTTOU, as for any change of a terminal.
    pub fn enter(terminal: impl AsFd) -> io::Result<RawMode> {
        let terminal = terminal.as_fd().try_clone_to_owned()?;
        let saved = tcgetattr(&terminal)?;
        let mut mode = RawMode { terminal, saved, raw: false };
        mode.resume()?;
        Ok(mode)
    }

    /// Restores the terminal for a while, as before the caller stops itself.
    pub fn suspend(&mut self) -> io::Result<()> {
        if self.raw {
            tcsetattr(&self.terminal, OptionalActions::Drain, &self.saved)?;
            self.raw = false;
        }
        Ok(())
    }

    /// Sets the terminal raw again, as after the caller was continued. What a shell changed meanwhile is
    /// what will be restored.
    pub fn resume(&mut self) -> io::Result<()> {
        if !self.raw {
            self.saved = tcgetattr(&self.terminal)?;
            let mut raw = self.saved.clone();
            raw.make_raw();
            tcsetattr(&self.terminal, OptionalActions::Drain, &raw)?;
            self.raw = true;
        }
        Ok(())
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = self.suspend();
    }
}

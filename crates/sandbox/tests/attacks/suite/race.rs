//! The judge of connect(2) looks at a socket and an address; two threads swap both while it looks.

use std::fs;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering::SeqCst};
use std::thread;

use envseal_sandbox::Tier;
use rustix::net::{AddressFamily, SocketType, socket};

use super::attack::{Args, Attack, Miss, Tried, fault, from, refused};
use super::sys;

pub const ATTACKS: &[Attack] = &[
    Attack::inside(
        "swaps-address-while-it-is-judged",
        "4,000 times connect(2) while a thread changes the address between an own and a hidden listener",
        from(Tier::Hardened),
        |args| race(args, false),
    ),
    Attack::inside(
        "swaps-socket-while-it-is-judged",
        "4,000 times connect(2) while a thread changes address and descriptor between TCP and a hidden listener",
        from(Tier::Hardened),
        |args| race(args, true),
    ),
    Attack::inside(
        "swaps-path-while-it-is-judged",
        "4,000 times connect(2) while a thread swaps links to an own and a hidden listener at the path",
        from(Tier::Hardened),
        swap_path,
    ),
];

const TRIES: usize = 4000;
/// A number that nothing else has.
const SLOT: i32 = 300;

static ADDRESS: [AtomicU8; 128] = [const { AtomicU8::new(0) }; 128];
static SOCKETS: [AtomicI32; 2] = [const { AtomicI32::new(-1) }; 2];
static GO_ON: AtomicBool = AtomicBool::new(true);

fn race(args: &Args, with_tcp: bool) -> Tried {
    let hidden = unix_address(&args.path("stage", "vault/hidden")?);
    let own = args.path("room", "work/own-listener")?;
    let harmless = if with_tcp { tcp_address(args.number("tcp")?) } else { unix_address(&own) };
    let listener = UnixListener::bind(&own)?;
    thread::spawn(move || listener.incoming().flatten().for_each(drop));

    let swapper = thread::spawn(move || {
        let mut turn = 0_u32;
        while GO_ON.load(SeqCst) {
            for (address, socket) in [(&hidden, &SOCKETS[0]), (&harmless, &SOCKETS[1])] {
                for (place, &byte) in ADDRESS.iter().zip(address) {
                    place.store(byte, SeqCst);
                }
                if with_tcp {
                    place(socket.load(SeqCst));
                }
                // Each state lasts for another while, so that every moment of the judge is met.
                turn = turn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (0..turn >> 22).for_each(|_| std::hint::spin_loop());
            }
        }
    });
    let mut connected = 0;
    let mut result = Ok(());
    for _ in 0..TRIES {
        match once(args, with_tcp) {
            Ok(Some(true)) => {
                GO_ON.store(false, SeqCst);
                let _ = swapper.join();
                return Ok(());
            }
            Ok(Some(false)) => connected += 1,
            Ok(None) => {}
            Err(miss) => {
                result = Err(miss);
                break;
            }
        }
    }
    GO_ON.store(false, SeqCst);
    let _ = swapper.join();
    result?;
    if connected == 0 {
        return fault("no connection at all succeeded, not even to the own listener");
    }
    refused(format!("{connected} of {TRIES} connections succeeded, none to the hidden listener"))
}

/// `Some(true)` when the hidden listener was reached, `Some(false)` when the other was.
fn once(args: &Args, with_tcp: bool) -> Result<Option<bool>, Miss> {
    let unix = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    let other =
        socket(if with_tcp { AddressFamily::INET } else { AddressFamily::UNIX }, SocketType::STREAM, None)?;
    SOCKETS[0].store(unix.as_raw_fd(), SeqCst);
    SOCKETS[1].store(other.as_raw_fd(), SeqCst);
    let number = if with_tcp {
        sys::put(&other, SLOT)?;
        SLOT
    } else {
        unix.as_raw_fd()
    };
    // That of `struct sockaddr_un`; more than TCP needs is no error.
    if sys::connect_at(number, &ADDRESS, 110).is_err() {
        return Ok(None);
    }
    Ok(Some(knows(args, unix)))
}

/// The greeting of the hidden listener is the canary; the own one says nothing and hangs up.
fn knows(args: &Args, socket: OwnedFd) -> bool {
    let mut text = Vec::new();
    let mut stream = UnixStream::from(socket);
    let read = stream.peer_addr().is_ok() && stream.read_to_end(&mut text).is_ok();
    read && args.text("canary").is_ok_and(|canary| text == canary.as_bytes())
}

/// The path stays, and what lies there is one link or the other.
fn swap_path(args: &Args) -> Tried {
    let (hidden, own) = (args.path("stage", "vault/hidden")?, args.path("room", "work/own-listener")?);
    let (path, next) = (args.path("room", "work/link")?, args.path("room", "work/next")?);
    let listener = UnixListener::bind(&own)?;
    thread::spawn(move || listener.incoming().flatten().for_each(drop));
    symlink(&own, &path)?;
    let swapped = path.clone();
    let swapper = thread::spawn(move || {
        while GO_ON.load(SeqCst) {
            for target in [&hidden, &own] {
                let _ = symlink(target, &next).and_then(|()| fs::rename(&next, &swapped));
            }
        }
    });
    let connects = (0..TRIES).filter_map(|_| UnixStream::connect(&path).ok());
    let (mut connected, mut reached) = (0, false);
    for stream in connects {
        connected += 1;
        reached |= knows(args, stream.into());
        if reached {
            break;
        }
    }
    GO_ON.store(false, SeqCst);
    let _ = swapper.join();
    match (reached, connected) {
        (true, _) => Ok(()),
        (false, 0) => fault("no connection at all succeeded, not even to the own listener"),
        _ => refused(format!("{connected} of {TRIES} connections succeeded, none to the hidden listener")),
    }
}

fn place(socket: i32) {
    if socket >= 0 {
        let _ = sys::put(sys::borrow(socket), SLOT);
    }
}

fn unix_address(path: &Path) -> [u8; 128] {
    let mut address = [0; 128];
    address[..2].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
    let bytes = path.as_os_str().as_bytes();
    address[2..2 + bytes.len()].copy_from_slice(bytes);
    address
}

fn tcp_address(port: u16) -> [u8; 128] {
    let mut address = [0; 128];
    address[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
    address[2..4].copy_from_slice(&port.to_be_bytes());
    address[4..8].copy_from_slice(&[127, 0, 0, 1]);
    address
}

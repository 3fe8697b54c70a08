//! The program talks to services of the same user: agents, buses, desktops, or a listener of the attacker's
//! own (`H2`). Each service gives the canary to whoever comes.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::{fs, io};

use envseal_sandbox::Tier;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketType, recvmsg, sendmsg, sendto, socket,
    socketpair,
};

use super::attack::{Args, Attack, Closed, Miss, Tried, absent, also, fault, from, must, refused};
use super::cell::{Cell, PATIENCE};

const CLOSED: Closed = from(Tier::Hardened);

pub const ATTACKS: &[Attack] = &[
    Attack::inside(
        "reaches-abstract-socket",
        "connect to an abstract socket of a process outside",
        CLOSED,
        |args| {
            let name = SocketAddr::from_abstract_name(args.text("abstract")?)?;
            greeted(args, UnixStream::connect_addr(&name)?)
        },
    ),
    service(
        "reaches-path-socket",
        "connect to a socket at a path, whose listener is of the same user",
        |cell| at(cell, cell.stage.runtime().join("open")),
    ),
    service("reaches-hidden-socket", "connect to a socket beneath a hidden path", |cell| {
        at(cell, cell.stage.vault().join("hidden"))
    }),
    Attack::inside(
        "reaches-socket-by-symlink",
        "connect through a symbolic link made inside",
        CLOSED,
        |args| {
            let link = args.path("room", "work/link")?;
            std::os::unix::fs::symlink(args.path("stage", "vault/hidden")?, &link)?;
            greeted(args, UnixStream::connect(link)?)
        },
    ),
    Attack::inside(
        "reaches-socket-by-relative-path",
        "chdir(2) and connect to a relative path",
        CLOSED,
        |args| {
            std::env::set_current_dir(args.path("stage", "run")?)?;
            greeted(args, UnixStream::connect("open")?)
        },
    ),
    Attack::inside("reaches-socket-by-proc", "connect through /proc/self/root", CLOSED, |args| {
        let path = format!("/proc/self/root{}", args.path("stage", "run/open")?.display());
        // The judge follows no links of /proc, which are its own.
        greeted(args, also(UnixStream::connect(path), &[libc::ELOOP])?)
    }),
    Attack::inside(
        "reaches-sequenced-socket",
        "connect to a SOCK_SEQPACKET listener outside",
        CLOSED,
        sequenced,
    )
    .with(listens_for_packets),
    Attack::inside("sends-datagram", "sendto(2) a datagram socket at a path outside", CLOSED, |args| {
        let socket = UnixDatagram::unbound()?;
        Ok(socket.send_to(args.text("nonce")?.as_bytes(), args.path("stage", "run/datagram")?).map(drop)?)
    })
    .with(arrives),
    Attack::inside("sends-datagram-by-sendmsg", "sendmsg(2) with the same address", CLOSED, |args| {
        let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None)?;
        let to = SocketAddrUnix::new(args.path("stage", "run/datagram")?)?;
        let text = args.text("nonce")?;
        let message = [IoSlice::new(text.as_bytes())];
        let (mut none, flags) = (SendAncillaryBuffer::default(), SendFlags::empty());
        Ok(rustix::net::sendmsg_addr(socket, &to, &message, &mut none, flags).map(drop)?)
    })
    .with(arrives),
    Attack::inside(
        "sends-datagram-from-a-pair",
        "the same from one end of a socketpair(2)",
        CLOSED,
        |args| {
            let none = rustix::net::SocketFlags::empty();
            let (socket, _other) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, none, None)?;
            let to = SocketAddrUnix::new(args.path("stage", "run/datagram")?)?;
            Ok(sendto(socket, args.text("nonce")?.as_bytes(), SendFlags::empty(), &to).map(drop)?)
        },
    )
    .with(arrives),
    Attack::inside(
        "sends-datagram-by-raw-type",
        "the same from SOCK_RAW, which Unix sockets take for SOCK_DGRAM",
        CLOSED,
        |args| {
            let socket = socket(AddressFamily::UNIX, SocketType::RAW, None)?;
            let to = SocketAddrUnix::new(args.path("stage", "run/datagram")?)?;
            Ok(sendto(socket, args.text("nonce")?.as_bytes(), SendFlags::empty(), &to).map(drop)?)
        },
    )
    .with(arrives),
    Attack::inside(
        "gives-descriptor-away",
        "SCM_RIGHTS of an open file to an accomplice outside",
        CLOSED,
        give_away,
    )
    .with(accomplice),
    Attack::inside(
        "gives-descriptor-to-a-visitor",
        "the same to one who connects to the program: what it may read, it may give away",
        from(Tier::Lockdown),
        |args| {
            let listener = UnixListener::bind(args.path("room", "work/door")?)?;
            listener_is_ready();
            let (stream, _) = listener.accept()?;
            give(&stream, args)
        },
    )
    .with(visitor),
    Attack::inside("talks-to-session-bus", "authenticate to the D-Bus session bus", CLOSED, bus).with(
        |cell| {
            if cell.stage.bus()? { cell.act(&[]) } else { absent("no dbus-daemon") }
        },
    ),
    Attack::inside("asks-ssh-agent", "list the keys of SSH_AUTH_SOCK", CLOSED, ssh_agent)
        .with(|cell| if cell.stage.agent() { cell.act(&[]) } else { absent("no ssh-agent") }),
    Attack::inside("asks-ssh-agent-by-its-program", "ssh-add -l", CLOSED, |_| fault("it is ssh-add")).with(
        |cell| {
            if !cell.stage.agent() {
                return absent("no ssh-agent");
            }
            let mut ssh_add = cell.launch(Default::default(), "/usr/bin/ssh-add".as_ref(), &["-l".into()])?;
            match ssh_add.verdict() {
                // ssh-add says 2 when it cannot reach the agent.
                Err(Miss::Fault(why)) if why.starts_with("status 2") => refused(why),
                other => other,
            }
        },
    ),
    service("reaches-gpg-agent", "connect to ~/.gnupg/S.gpg-agent", |cell| {
        at(cell, cell.stage.home().join(".gnupg/S.gpg-agent"))
    }),
    service("reaches-gpg-agent-at-runtime", "connect to $XDG_RUNTIME_DIR/gnupg/S.gpg-agent", |cell| {
        at(cell, cell.stage.runtime().join("gnupg/S.gpg-agent"))
    }),
    service("reaches-wayland", "connect to $XDG_RUNTIME_DIR/wayland-0", |cell| {
        at(cell, cell.stage.runtime().join("wayland-0"))
    }),
    service("reaches-pulse", "connect to $XDG_RUNTIME_DIR/pulse/native", |cell| {
        at(cell, cell.stage.runtime().join("pulse/native"))
    }),
    service("reaches-systemd", "connect to $XDG_RUNTIME_DIR/systemd/private", |cell| {
        at(cell, cell.stage.runtime().join("systemd/private"))
    }),
    service("reaches-x11", "connect to /tmp/.X11-unix/X99", x11),
];

const fn service(name: &'static str, tries: &'static str, script: fn(&Cell<'_>) -> Tried) -> Attack {
    Attack::inside(name, tries, CLOSED, |args| greeted(args, UnixStream::connect(args.text("socket")?)?))
        .with(script)
}

fn at(cell: &Cell<'_>, socket: PathBuf) -> Tried {
    cell.act(&[("socket", socket.display().to_string())])
}

/// Whether the service at the other end said what it knows.
pub fn greeted(args: &Args, mut stream: impl Read) -> Tried {
    let mut text = vec![0; args.text("canary")?.len()];
    also(stream.read_exact(&mut text), &[libc::EAGAIN])?;
    must(text == args.text("canary")?.as_bytes(), "another one listens there")
}

/// The display of an X server that is not there.
fn x11(cell: &Cell<'_>) -> Tried {
    let directory = Path::new("/tmp/.X11-unix");
    let made = fs::create_dir(directory).is_ok();
    let socket = directory.join("X99");
    let tried = match UnixListener::bind(&socket) {
        Ok(listener) => {
            let canary = cell.stage.canary.clone();
            std::thread::spawn(move || {
                if let Ok((mut guest, _)) = listener.accept() {
                    let _ = guest.write_all(canary.as_bytes());
                }
            });
            let tried = at(cell, socket.clone());
            let _ = fs::remove_file(&socket);
            tried
        }
        Err(error) => absent(format!("{}: {error}", socket.display())),
    };
    if made {
        let _ = fs::remove_dir(directory);
    }
    tried
}

/// The message that arrives says that it was this cell's program that sent it.
fn arrives(cell: &Cell<'_>) -> Tried {
    let nonce = cell.room.display().to_string();
    cell.act(&[("nonce", nonce.clone())])?;
    let mut bytes = [0; 512];
    while let Ok(length) = cell.stage.datagrams.recv(&mut bytes) {
        if bytes[..length] == *nonce.as_bytes() {
            return Ok(());
        }
    }
    refused("it was sent, but nothing arrived")
}

fn listens_for_packets(cell: &Cell<'_>) -> Tried {
    let path = cell.room.join("packets");
    let listener = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?;
    rustix::net::bind(&listener, &SocketAddrUnix::new(&path)?)?;
    rustix::net::listen(&listener, 8)?;
    cell.act(&[])
}

fn sequenced(args: &Args) -> Tried {
    let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?;
    Ok(rustix::net::connect(socket, &SocketAddrUnix::new(args.path("room", "packets")?)?)?)
}

/// Takes what the program gives away, and reads it.
fn accomplice(cell: &Cell<'_>) -> Tried {
    fs::write(cell.work().join("own"), &cell.stage.canary)?;
    let listener = UnixListener::bind(cell.room.join("accomplice"))?;
    listener.set_nonblocking(true)?;
    cell.act(&[])?;
    let (guest, _) = listener.accept()?;
    take(cell, &guest)
}

fn visitor(cell: &Cell<'_>) -> Tried {
    fs::write(cell.work().join("own"), &cell.stage.canary)?;
    let mut launched = cell.attacker(Default::default(), &[])?;
    if launched.line(PATIENCE)?.is_none() {
        return launched.verdict();
    }
    let stream = UnixStream::connect(cell.work().join("door"))?;
    take(cell, &stream)
}

fn take(cell: &Cell<'_>, stream: &UnixStream) -> Tried {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let file = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    let Some(file) = file else { return refused("no descriptor came") };
    let text = io::read_to_string(fs::File::from(file))?;
    must(text == cell.stage.canary, "it is another file")
}

fn give_away(args: &Args) -> Tried {
    give(&UnixStream::connect(args.path("room", "accomplice")?)?, args)
}

fn give(stream: &UnixStream, args: &Args) -> Tried {
    let file = fs::File::open(args.path("room", "work/own")?)?;
    let files = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&files));
    sendmsg(stream, &[IoSlice::new(b"f")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the harness reads it")]
fn listener_is_ready() {
    println!("ready");
}

/// The first line of the protocol: who is there.
fn bus(args: &Args) -> Tried {
    let mut stream = UnixStream::connect(args.path("stage", "run/bus")?)?;
    let uid = rustix::process::getuid().as_raw().to_string();
    let uid: String = uid.bytes().map(|digit| format!("{digit:02x}")).collect();
    write!(stream, "\0AUTH EXTERNAL {uid}\r\n")?;
    let mut answer = [0; 3];
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.read_exact(&mut answer)?;
    must(&answer == b"OK ", "the bus refused")
}

/// SSH_AGENTC_REQUEST_IDENTITIES.
fn ssh_agent(args: &Args) -> Tried {
    let mut stream = UnixStream::connect(args.path("stage", "run/agent")?)?;
    stream.write_all(&[0, 0, 0, 1, 11])?;
    let mut answer = [0; 9];
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.read_exact(&mut answer)?;
    must(answer[4] == 12 && answer[5..] != [0; 4], "the agent has no keys")
}

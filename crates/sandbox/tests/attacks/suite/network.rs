//! The program reaches the network (`L2`). All servers are on the loopback interface. In Hardened the
//! network is open by design.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use envseal_sandbox::Tier;
use rustix::net::{AddressFamily, SocketType, socket};

use super::attack::{Args, Attack, Closed, Tried, absent, also, from, must};
use super::cell::PATIENCE;
use super::sockets::greeted;
use super::sys::{self, Arg};

const CLOSED: Closed = from(Tier::Lockdown);
/// Families of sockets that development tools have no use for.
const RARE: Closed = from(Tier::Hardened);

pub const ATTACKS: &[Attack] = &[
    Attack::inside("connects-by-tcp", "TCP to 127.0.0.1", CLOSED, |args| {
        greeted(args, TcpStream::connect(("127.0.0.1", args.number("tcp")?))?)
    }),
    Attack::inside("connects-by-tcp6", "TCP to ::1", CLOSED, |args| {
        if !args.has("tcp6") {
            return absent("no IPv6 on the loopback interface");
        }
        greeted(args, TcpStream::connect((Ipv6Addr::LOCALHOST, args.number("tcp6")?))?)
    }),
    Attack::inside(
        "connects-by-fast-open",
        "sendto(2) MSG_FASTOPEN, which connects without connect(2)",
        CLOSED,
        |args| {
            let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
            let mut address = [0_u8; 16];
            address[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            address[2..4].copy_from_slice(&args.number::<u16>("tcp")?.to_be_bytes());
            address[4..8].copy_from_slice(&[127, 0, 0, 1]);
            let mut arguments = [
                Arg::Number(socket.as_raw_fd() as usize),
                Arg::Bytes(&mut [b'x']),
                Arg::Number(1),
                Arg::Number(libc::MSG_FASTOPEN as usize),
                Arg::Bytes(&mut address),
                Arg::Number(16),
            ];
            sys::call(libc::SYS_sendto, &mut arguments)?;
            greeted(args, TcpStream::from(socket))
        },
    ),
    Attack::inside(
        "connects-by-mptcp",
        "Multipath TCP, which Landlock's rules for TCP do not cover",
        CLOSED,
        |args| {
            let stream = raw_socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP)?;
            let to = SocketAddr::from((Ipv4Addr::LOCALHOST, args.number("tcp")?));
            rustix::net::connect(&stream, &to)?;
            greeted(args, TcpStream::from(stream))
        },
    )
    .with(|cell| match raw_socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP) {
        Ok(_) => cell.act(&[]),
        Err(error) => absent(format!("the kernel has no MPTCP: {error}")),
    }),
    Attack::inside("sends-by-udp", "UDP to 127.0.0.1", CLOSED, |args| ask(args, b"twelve bytes")),
    Attack::inside("asks-name-server", "a query of DNS by UDP", CLOSED, |args| {
        // Identifier, "recursion desired", one question; canary.example, any record.
        let mut query = vec![0x5e, 0xa1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(b"\x06canary\x07example\x00\x00\xff\x00\x01");
        ask(args, &query)
    }),
    Attack::inside("listens-by-tcp", "bind and listen on a TCP port", CLOSED, |_| {
        Ok(TcpListener::bind("127.0.0.1:0").map(drop)?)
    }),
    Attack::inside(
        "reaches-link-local",
        "UDP to 169.254.169.254, where clouds keep credentials",
        CLOSED,
        |_| {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            tried(socket.connect("169.254.169.254:80"))
        },
    ),
    Attack::inside("reaches-link-local6", "UDP to fe80::1 of the first interface", CLOSED, |_| {
        let socket = UdpSocket::bind("[::]:0")?;
        let to = std::net::SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), 80, 0, 1);
        tried(socket.connect(to))
    }),
    Attack::inside("makes-ping-socket", "SOCK_DGRAM of ICMP", CLOSED, |_| {
        family(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP)
    })
    .with(|cell| match raw_socket(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP) {
        Ok(_) => cell.act(&[]),
        Err(error) => absent(format!("net.ipv4.ping_group_range: {error}")),
    }),
    Attack::inside(
        "lists-routes",
        "netlink, the protocol of routes: addresses are no secret",
        CLOSED,
        |_| family(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE),
    ),
    Attack::inside("opens-netlink-audit", "netlink, the protocol of the audit system", RARE, |_| {
        family(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_AUDIT)
    }),
    Attack::inside("opens-netlink-filter", "netlink, the protocol of packet filters", RARE, |_| {
        family(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER)
    }),
    Attack::inside("opens-netlink-diag", "netlink, the protocol that lists sockets of others", RARE, |_| {
        family(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_SOCK_DIAG)
    }),
    Attack::inside("opens-vsock", "a socket to the host of a virtual machine", RARE, |_| {
        family(libc::AF_VSOCK, libc::SOCK_STREAM, 0)
    }),
    Attack::inside("opens-crypto-socket", "AF_ALG, the kernel's ciphers", RARE, |_| {
        family(libc::AF_ALG, libc::SOCK_SEQPACKET, 0)
    })
    .with(|cell| match raw_socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0) {
        Ok(_) => cell.act(&[]),
        Err(error) => absent(format!("the kernel has no AF_ALG: {error}")),
    }),
    Attack::inside(
        "opens-rare-family",
        "a socket of a family that is seldom used, whichever the kernel has",
        RARE,
        |args| family(args.number("family")?, args.number("kind")?, 0),
    )
    .with(|cell| {
        // AppleTalk to SMC and QIPCRTR (linux/socket.h).
        let rare = [
            3, 4, 5, 6, 9, 11, 12, 19, 20, 21, 23, 24, 26, 29, 30, 31, 33, 34, 35, 36, 37, 39, 41, 42, 43, 44,
        ];
        let kinds = [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET, libc::SOCK_RAW];
        let mut all = rare.into_iter().flat_map(|family| kinds.into_iter().map(move |kind| (family, kind)));
        match all.find(|&(family, kind)| raw_socket(family, kind, 0).is_ok()) {
            Some((family, kind)) => cell.act(&[("family", family.to_string()), ("kind", kind.to_string())]),
            None => absent("the kernel has none of them, or not for ordinary users"),
        }
    }),
];

fn raw_socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    let arguments = [family, kind | libc::SOCK_CLOEXEC, protocol, 0, 0].map(|number| number as usize);
    sys::numbers(libc::SYS_socket, arguments).map(sys::own)
}

/// That the socket can be made is what is looked at.
fn family(family: i32, kind: i32, protocol: i32) -> Tried {
    Ok(raw_socket(family, kind, protocol).map(drop)?)
}

/// Sends a datagram and waits for an answer with the canary in it.
fn ask(args: &Args, question: &[u8]) -> Tried {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(question, ("127.0.0.1", args.number("udp")?))?;
    let mut answer = [0; 512];
    let length = also(socket.recv(&mut answer), &[libc::EAGAIN])?;
    let canary = args.text("canary")?.as_bytes();
    must(answer[..length].get(12..).is_some_and(|rest| rest == canary), "another answer")
}

/// Nobody need be there: that no rule forbids it is enough.
fn tried(connected: io::Result<()>) -> Tried {
    match connected {
        Err(error) if error.raw_os_error() == Some(libc::ENETUNREACH) => Ok(()),
        other => Ok(other?),
    }
}

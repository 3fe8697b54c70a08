//! What is outside of every tier for the length of the run: a place for the rooms, the secret that the
//! attacks are after, and the services of the same user that they must not reach.

use std::cell::{Cell, OnceCell};
use std::io::{self, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use super::root::Helper;

/// The places of a user's services beneath the runtime directory, each a listener of the harness.
pub const SERVICES: [&str; 5] =
    ["wayland-0", "pulse/native", "systemd/private", "systemd/notify-like", "gnupg/S.gpg-agent"];

pub struct Stage {
    root: tempfile::TempDir,
    /// This binary, as the attack programs.
    pub exe: PathBuf,
    /// What every attack is after: whoever shows it has been where it is kept.
    pub canary: String,
    /// A process of the same user, outside.
    victim: Child,
    victim_facts: Vec<(&'static str, String)>,
    /// A datagram socket at a path, whose messages the attacks' scripts read.
    pub datagrams: UnixDatagram,
    tcp: u16,
    tcp6: Option<u16>,
    udp: u16,
    counter: Cell<u32>,
    agent: OnceCell<Option<Child>>,
    bus: OnceCell<Option<Child>>,
    /// What only root can do, where the run was started by root.
    pub helper: Option<Helper>,
}

impl Stage {
    pub fn new(helper: Option<Helper>) -> io::Result<Stage> {
        let home = env::var_os("HOME").map(PathBuf::from).filter(|home| is_writable(home));
        let within = home.unwrap_or_else(|| "/var/tmp".into());
        let root = tempfile::Builder::new().prefix(".envseal-attacks-").tempdir_in(within)?;
        let path = root.path();
        for name in ["home", "run", "vault", "rooms", "run/pulse", "run/systemd", "run/gnupg", "home/.gnupg"]
        {
            fs::DirBuilder::new().mode(0o700).create(path.join(name))?;
        }
        fs::write(path.join("home/notes"), "a file of the user's home\n")?;
        let exe = env::current_exe()?;
        let canary = format!("envseal-canary-{}-{:x}", process::id(), random()?);

        for service in SERVICES {
            greet(UnixListener::bind(path.join("run").join(service))?, &canary);
        }
        greet(UnixListener::bind(path.join("run/open"))?, &canary);
        greet(UnixListener::bind(path.join("vault/hidden"))?, &canary);
        greet(UnixListener::bind(path.join("home/.gnupg/S.gpg-agent"))?, &canary);
        let name = SocketAddr::from_abstract_name(format!("envseal-attacks-{}", process::id()))?;
        greet(UnixListener::bind_addr(&name)?, &canary);
        let datagrams = UnixDatagram::bind(path.join("run/datagram"))?;
        datagrams.set_nonblocking(true)?;

        let tcp = TcpListener::bind("127.0.0.1:0")?;
        let tcp_port = tcp.local_addr()?.port();
        greet_tcp(tcp, &canary);
        let tcp6 = TcpListener::bind("[::1]:0").ok();
        let tcp6_port = tcp6.as_ref().and_then(|listener| Some(listener.local_addr().ok()?.port()));
        if let Some(listener) = tcp6 {
            greet_tcp(listener, &canary);
        }
        let udp = UdpSocket::bind("127.0.0.1:0")?;
        let udp_port = udp.local_addr()?.port();
        answer_udp(udp, &canary);

        let (victim, victim_facts) = outside_victim(&exe, &canary, path)?;
        Ok(Stage {
            root,
            exe,
            canary,
            victim,
            victim_facts,
            datagrams,
            tcp: tcp_port,
            tcp6: tcp6_port,
            udp: udp_port,
            counter: Cell::new(0),
            agent: OnceCell::new(),
            bus: OnceCell::new(),
            helper,
        })
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    pub fn runtime(&self) -> PathBuf {
        self.path().join("run")
    }

    pub fn vault(&self) -> PathBuf {
        self.path().join("vault")
    }

    /// An empty directory for one cell.
    pub fn new_room(&self) -> io::Result<PathBuf> {
        self.counter.set(self.counter.get() + 1);
        let room = self.path().join("rooms").join(self.counter.get().to_string());
        fs::create_dir(&room)?;
        Ok(room)
    }

    /// What every attack program is told.
    pub fn arguments(&self) -> Vec<(&'static str, String)> {
        let text = |path: PathBuf| path.display().to_string();
        let mut all = vec![
            ("stage", text(self.path().to_owned())),
            ("canary", self.canary.clone()),
            ("abstract", format!("envseal-attacks-{}", process::id())),
            ("tcp", self.tcp.to_string()),
            ("udp", self.udp.to_string()),
            ("outside", self.victim.id().to_string()),
            ("spare", process::id().to_string()),
        ];
        all.extend(self.tcp6.map(|port| ("tcp6", port.to_string())));
        all.extend(self.victim_facts.iter().map(|(name, value)| (*name, value.clone())));
        all
    }

    /// A real ssh-agent with a key, once; whether there is one.
    pub fn agent(&self) -> bool {
        let start = || {
            let (socket, key) = (self.runtime().join("agent"), self.home().join("key"));
            let quiet = |name: &str| {
                let mut command = Command::new(name);
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                command
            };
            let made = quiet("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
            made.ok().filter(process::ExitStatus::success)?;
            let mut agent = quiet("ssh-agent").arg("-D").arg("-a").arg(&socket).spawn().ok()?;
            let added = || quiet("ssh-add").arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket).status();
            if appears(&socket) && added().is_ok_and(|status| status.success()) {
                return Some(agent);
            }
            let _ = agent.kill();
            None
        };
        self.agent.get_or_init(start).is_some()
    }

    /// A real session bus, once; a mere listener where dbus is not installed.
    pub fn bus(&self) -> io::Result<bool> {
        let socket = self.runtime().join("bus");
        let start = || {
            let address = format!("unix:path={}", socket.display());
            let mut command = Command::new("dbus-daemon");
            command.args(["--session", "--nofork", "--nopidfile", "--address", &address]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let daemon = command.spawn().ok()?;
            appears(&socket).then_some(daemon)
        };
        Ok(self.bus.get_or_init(start).is_some())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let daemons = [self.agent.take(), self.bus.take()].into_iter().flatten().flatten();
        for mut child in daemons {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}

fn is_writable(directory: &Path) -> bool {
    rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_ok()
}

fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

fn appears(path: &Path) -> bool {
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until && !path.exists() {
        thread::sleep(Duration::from_millis(5));
    }
    path.exists()
}

/// Tells the canary to whoever comes.
fn greet(listener: UnixListener, canary: &str) {
    let canary = canary.to_owned();
    thread::spawn(move || {
        for mut guest in listener.incoming().flatten() {
            let _ = guest.write_all(canary.as_bytes());
        }
    });
}

fn greet_tcp(listener: TcpListener, canary: &str) {
    let canary = canary.to_owned();
    thread::spawn(move || {
        for mut guest in listener.incoming().flatten() {
            let _ = guest.write_all(canary.as_bytes());
        }
    });
}

/// Answers each datagram with its first twelve bytes, as a name server begins, and the canary.
fn answer_udp(socket: UdpSocket, canary: &str) {
    let canary = canary.to_owned();
    thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut bytes) {
            let mut answer = bytes[..length.min(12)].to_vec();
            answer.extend(canary.as_bytes());
            let _ = socket.send_to(&answer, from);
        }
    });
}

/// A process outside, in a process group and a user namespace of its own where that is possible.
fn outside_victim(
    exe: &Path,
    canary: &str,
    directory: &Path,
) -> io::Result<(Child, Vec<(&'static str, String)>)> {
    use std::io::BufRead;
    let mut command = Command::new(exe);
    command.arg("victim").env("ENVSEAL_CANARY", canary).current_dir(directory);
    let mut victim = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut facts = Vec::new();
    let lines = io::BufReader::new(victim.stdout.take().expect("a pipe")).lines();
    for line in lines.map_while(Result::ok) {
        if let Some((name, value)) = line.split_once('=') {
            facts
                .push((if name == "address" { "outside-address" } else { "outside-file" }, value.to_owned()));
        }
        if facts.len() == 2 {
            break;
        }
    }
    Ok((victim, facts))
}

/// A file of this mode.
pub fn write_file(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

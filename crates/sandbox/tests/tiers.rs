//! Hardened and Lockdown in the private engine: what is given, and what a program can still do.

#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use envseal_sandbox::{Exit, Given, Guarantee, Limits, Spec, StartError, Stdio, Tier, start};
use support::{as_ordinary_user, image, output, shell};

fn hardened(script: &str) -> Spec {
    shell(script).tier(Tier::Hardened)
}

fn python(script: &str) -> Spec {
    Spec::new(image("/usr/bin/python3")).args(["-Ic", script]).tier(Tier::Hardened)
}

#[test]
fn every_guarantee_of_a_tier_is_read_back_and_given() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    for tier in [Tier::Hardened, Tier::Lockdown] {
        let spec = Spec::new(image("/bin/true")).tier(tier).hide(room.path().join("hidden"));
        let mut running = start(spec).expect("a start");
        assert_eq!(running.enforced().tier(), tier);
        for (guarantee, given) in running.enforced().iter() {
            match guarantee {
                Guarantee::H2 => assert!(matches!(given, Given::Guarded(_))),
                _ => assert_eq!(*given, Given::Yes, "{tier} {guarantee}"),
            }
        }
        assert_eq!(running.wait().expect("an end"), Exit::Code(0));
    }
}

#[test]
fn the_filters_and_the_empty_capability_sets_are_seen_by_the_program_itself() {
    as_ordinary_user!();
    let (_, status) = output(hardened("cat /proc/self/status"));
    for line in ["Seccomp:\t2", "NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000"] {
        assert!(status.lines().any(|found| found == line), "{line}: {status}");
    }
}

#[test]
fn a_hidden_directory_is_closed_and_its_neighbours_are_not() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    let (vault, beside) = (room.path().join("vault"), room.path().join("beside"));
    fs::create_dir(&vault).and_then(|()| fs::create_dir(&beside)).expect("directories");
    fs::write(vault.join("vault.db"), "sealed").expect("a file");
    let reach = format!("cat {0}/vault.db && echo x >{0}/vault.db && rm {0}/vault.db", vault.display());
    let plain = output(shell(&reach));
    assert_eq!(plain, (Exit::Code(0), "sealed".into()), "works without protection");

    fs::write(vault.join("vault.db"), "sealed").expect("a file");
    let (exit, text) = output(hardened(&reach).hide(&vault).stderr(Stdio::Null));
    assert_eq!((exit, text.as_str()), (Exit::Code(1), ""));
    assert_eq!(fs::read(vault.join("vault.db")).expect("the file"), b"sealed");
    let work =
        format!("echo new >{0}/file && cat {0}/file && ls {1}", beside.display(), room.path().display());
    assert_eq!(output(hardened(&work).hide(&vault)), (Exit::Code(0), "new\nbeside\nvault\n".into()));
}

#[test]
fn a_hidden_path_that_does_not_exist_yet_stays_closed_when_it_appears() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    let later = room.path().join("later");
    let script = format!("read line; cat {}/file", later.display());
    let mut running =
        start(hardened(&script).hide(&later).stdin(Stdio::Pipe).stdout(Stdio::Pipe).stderr(Stdio::Null))
            .expect("a start");
    fs::create_dir(&later).and_then(|()| fs::write(later.join("file"), "late")).expect("a file");
    fs::File::from(running.take_stdin().expect("a pipe")).write_all(b"go\n").expect("a line");
    let mut text = String::new();
    fs::File::from(running.take_stdout().expect("a pipe")).read_to_string(&mut text).expect("output");
    assert_eq!((running.wait().expect("an end"), text.as_str()), (Exit::Code(1), ""));
}

/// Connects to a path, says what came of it, and what it read.
const CONNECT: &str = "import socket, sys\n\
     s = socket.socket(socket.AF_UNIX)\n\
     try: s.connect(sys.argv[1]); print('connected', s.recv(9).decode())\n\
     except OSError as e: print(type(e).__name__)";

fn listener(path: &Path) -> std::thread::JoinHandle<usize> {
    let listener = UnixListener::bind(path).expect("a listener");
    listener.set_nonblocking(false).expect("a mode");
    std::thread::spawn(move || {
        let mut greeted = 0;
        loop {
            let (mut client, _) = listener.accept().expect("a client");
            let mut end = [0];
            // The probe of a watcher says nothing and is gone; a client that is asked for "stop" stops this.
            if client.write_all(b"hello").is_ok() && client.read(&mut end).is_ok_and(|count| count == 1) {
                return greeted;
            }
            greeted += 1;
        }
    })
}

#[test]
fn a_listener_of_the_same_user_outside_is_out_of_reach_unless_it_is_named() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    let path = room.path().join("agent.sock");
    let agent = listener(&path);
    let try_to = |spec: Spec| output(spec.arg(path.as_os_str())).1;
    assert_eq!(try_to(python(CONNECT).tier(Tier::None)), "connected hello\n", "works without protection");
    assert_eq!(try_to(python(CONNECT)), "PermissionError\n");
    assert_eq!(try_to(python(CONNECT).hide(room.path())), "PermissionError\n");
    assert_eq!(try_to(python(CONNECT).socket(&path)), "connected hello\n");
    let relative = Spec::new(image("/usr/bin/python3")).args(["-Ic", CONNECT, "agent.sock"]);
    let relative = relative.tier(Tier::Hardened).directory(room.path());
    assert_eq!(output(relative.socket(&path)).1, "connected hello\n");
    let mut stop = std::os::unix::net::UnixStream::connect(&path).expect("a connection");
    stop.write_all(b"s").expect("a byte");
    agent.join().expect("the agent");
}

#[test]
fn a_listener_of_the_own_tree_can_be_reached_by_path_and_by_abstract_name() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    let script = "import os, socket, sys\n\
         for name in [sys.argv[1], '\\0envseal-own-' + str(os.getpid())]:\n\
        \x20 l = socket.socket(socket.AF_UNIX); l.bind(name); l.listen(9)\n\
        \x20 if os.fork() == 0:\n\
        \x20  s = socket.socket(socket.AF_UNIX); s.connect(name); s.send(b'own'); os._exit(0)\n\
        \x20 while True:\n\
        \x20  got = l.accept()[0].recv(9)\n\
        \x20  if got: print(got.decode()); break\n";
    let spec = python(script).arg(room.path().join("own.sock"));
    assert_eq!(output(spec), (Exit::Code(0), "own\nown\n".into()));
}

/// One thread connects to a listener whose queue is full, one takes back the mode in which that does not wait,
/// one makes room now and then until another connect of the program is no longer answered. A process that is
/// left keeps the listener open.
const MAKES_WAIT: &str = "#include <fcntl.h>\n#include <pthread.h>\n#include <string.h>\n#include <sys/socket.h>\n\
     #include <sys/un.h>\n#include <unistd.h>\n\
     static volatile int current = -1, l, stop; static volatile long answers; static socklen_t length;\n\
     static struct sockaddr_un full = { AF_UNIX }, nobody = { AF_UNIX };\n\
     static int try(struct sockaddr_un *at) { int s = socket(AF_UNIX, SOCK_STREAM, 0);\n\
       if (at == &full) current = s;\n\
       connect(s, (void *)at, length); if (at == &full) current = -1; return close(s); }\n\
     static void *swap(void *x) { for (;;) { int s = current; if (s >= 0) fcntl(s, F_SETFL, 0); } }\n\
     static void *fill(void *x) { for (;;) try(&full); }\n\
     static void *ask(void *x) { for (;;) { try(&nobody); answers++; usleep(1000); } }\n\
     static void *drain(void *x) { while (!stop) { close(accept(l, 0, 0)); usleep(40000); long before = answers;\n\
       usleep(300000); stop = before == answers; } return 0; }\n\
     int main(int c, char **v) { pthread_t t; void *(*all[])(void *) = { swap, fill, ask, drain };\n\
       l = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);\n\
       strcpy(full.sun_path + 1, v[1]); strcpy(nobody.sun_path + 1, v[1]); nobody.sun_path[1] = 'n';\n\
       length = 3 + strlen(v[1]); bind(l, (void *)&full, length); listen(l, 0);\n\
       if (!fork()) { setsid(); for (;;) pause(); }\n\
       for (int i = 0; i < 4; i++) pthread_create(&t, 0, all[i], 0);\n\
       for (int i = 0; i < 40 && !stop; i++) usleep(100000);\n\
       _exit(stop ? 9 : 7); }\n";

#[test]
fn a_program_that_makes_its_watcher_wait_in_connect_still_ends() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    let (source, program) = (room.path().join("wait.c"), room.path().join("wait"));
    fs::write(&source, MAKES_WAIT).expect("a file");
    let built = Command::new("cc").args(["-pthread", "-o"]).args([&program, &source]).status();
    assert!(built.expect("a compiler").success());
    let spec = Spec::new(image(&program)).tier(Tier::Hardened);
    let mut running = start(spec.arg(format!("envseal-{}", std::process::id()))).expect("a start");
    let mut exit = None;
    assert!(support::becomes_true(|| {
        exit = running.try_wait().expect("asked");
        exit.is_some()
    }));
    assert_eq!(exit, Some(Exit::Code(7)));
}

/// As root, who can be another user to the program.
#[test]
fn an_abstract_socket_of_another_user_is_out_of_reach() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let name = format!("envseal-test-{}", std::process::id());
    let address =
        <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name);
    let listener = UnixListener::bind_addr(&address.expect("an address")).expect("a listener");
    let connect =
        format!("import socket; socket.socket(socket.AF_UNIX).connect('\\0{name}'); print('connected')");
    let reaches = |tier: &str| {
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--"])
            .arg(support::example("supervise"))
            .args(["--quiet", "--tier", tier, "/usr/bin/python3", "-Ic", &connect])
            .output()
            .expect("setpriv");
        output.stdout == b"connected\n"
    };
    assert!(reaches("none"), "works without protection");
    assert!(!reaches("hardened"));
    drop(listener);
}

#[test]
fn tcp_connections_behave_as_without_a_tier() {
    as_ordinary_user!();
    let script = "import errno, socket, select\n\
         l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(0); at = l.getsockname()\n\
         s = socket.socket(); s.connect(at); c = l.accept()[0]; c.send(b'blocking'); print(s.recv(9).decode())\n\
         n = socket.socket(); n.setblocking(False); e = n.connect_ex(at); print(e in (0, errno.EINPROGRESS))\n\
         select.select([], [n], [], 5); print(n.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))\n\
         l.accept(); l.close(); r = socket.socket(); print(errno.errorcode[r.connect_ex(at)])\n\
         b = socket.socket(); print(errno.errorcode[b.connect_ex(('127.0.0.1', 0))])\n\
         u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.connect(at); print(u.getpeername() == at)\n\
         print(s.getblocking(), s.connect_ex(at) == errno.EISCONN)\n";
    let inside = output(python(script));
    assert_eq!(inside, output(python(script).tier(Tier::None)));
    let expected = "blocking\nTrue\n0\nECONNREFUSED\nECONNREFUSED\nTrue\nTrue True\n";
    assert_eq!(inside, (Exit::Code(0), expected.into()));
}

#[test]
fn a_connection_that_waits_does_not_keep_others_from_theirs() {
    as_ordinary_user!();
    // A listener with a full queue lets further connections wait.
    let script = "import socket, threading, time\n\
         full = socket.socket(); full.bind(('127.0.0.1', 0)); full.listen(0)\n\
         held = [socket.socket() for _ in range(3)]\n\
         for h in held: h.setblocking(False); h.connect_ex(full.getsockname())\n\
         waiting = threading.Thread(target=lambda: socket.socket().connect(full.getsockname()), daemon=True)\n\
         waiting.start(); time.sleep(0.2)\n\
         l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(1)\n\
         s = socket.socket(); s.connect(l.getsockname()); print(waiting.is_alive(), 'other', flush=True)\n\
         import os; os._exit(0)";
    assert_eq!(output(python(script)), (Exit::Code(0), "True other\n".into()));
}

#[test]
fn lockdown_computes_from_its_input_to_its_output_and_no_more() {
    as_ordinary_user!();
    let spec = || Spec::new(image("/usr/bin/sha256sum")).tier(Tier::Lockdown);
    let mut running = start(spec().stdin(Stdio::Pipe).stdout(Stdio::Pipe)).expect("a start");
    fs::File::from(running.take_stdin().expect("a pipe")).write_all(b"abc").expect("input");
    let mut text = String::new();
    fs::File::from(running.take_stdout().expect("a pipe")).read_to_string(&mut text).expect("output");
    assert_eq!(running.wait().expect("an end"), Exit::Code(0));
    assert!(text.starts_with("ba7816bf8f01cfea"), "{text}");

    let room = tempfile::tempdir().expect("a directory");
    let file = room.path().join("file");
    fs::write(&file, "abc").expect("a file");
    let (exit, _) = output(spec().arg(&file).stderr(Stdio::Null));
    assert_eq!(exit, Exit::Code(1), "a file that is not named");
    let (exit, text) = output(spec().arg(&file).read(room.path()));
    assert_eq!(exit, Exit::Code(0));
    assert!(text.starts_with("ba7816bf8f01cfea"), "{text}");
}

#[test]
fn a_static_program_computes_in_lockdown_too() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    let (source, program) = (room.path().join("sum.c"), room.path().join("sum"));
    let sum = "#include <stdio.h>\nint main(void) { long n, sum = 0; while (scanf(\"%ld\", &n) == 1) sum += n; \
               printf(\"%ld\\n\", sum); return fopen(\"/etc/hostname\", \"r\") != NULL; }";
    fs::write(&source, sum).expect("a file");
    let built = Command::new("cc").args(["-static", "-o"]).args([&program, &source]).status();
    assert!(built.expect("a compiler").success());
    let spec = Spec::new(image(&program)).tier(Tier::Lockdown).stdin(Stdio::Pipe).stdout(Stdio::Pipe);
    let mut running = start(spec).expect("a start");
    assert!(running.enforced().missing().is_empty());
    fs::File::from(running.take_stdin().expect("a pipe")).write_all(b"1 20 300\n").expect("input");
    let mut text = String::new();
    fs::File::from(running.take_stdout().expect("a pipe")).read_to_string(&mut text).expect("output");
    assert_eq!((running.wait().expect("an end"), text.as_str()), (Exit::Code(0), "321\n"));
}

#[test]
fn lockdown_has_no_second_program_no_network_and_writes_only_where_it_may() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    let (open, closed) = (room.path().join("open"), room.path().join("closed"));
    fs::create_dir(&open).and_then(|()| fs::create_dir(&closed)).expect("directories");
    let script = "import os, socket, subprocess, sys, threading\n\
         def attempt(what, act):\n\
        \x20 try: act(); print(what, 'done')\n\
        \x20 except OSError as e: print(what, type(e).__name__)\n\
         attempt('fork', os.fork)\n\
         attempt('exec', lambda: os.execv('/bin/true', ['true']))\n\
         attempt('execfd', lambda: os.execve(os.open('/bin/true', os.O_RDONLY), ['true'], {}))\n\
         attempt('socket', socket.socket)\n\
         attempt('unix', lambda: socket.socket(socket.AF_UNIX))\n\
         attempt('open', lambda: open(sys.argv[1] + '/new', 'w').write('x'))\n\
         attempt('closed', lambda: open(sys.argv[2] + '/new', 'w'))\n\
         attempt('thread', lambda: threading.Thread(target=lambda: None).start())";
    let spec = Spec::new(image("/usr/bin/python3")).args(["-Ic", script]).tier(Tier::Lockdown).write(&open);
    let (exit, text) = output(spec.arg(&open).arg(&closed));
    let expected = "fork PermissionError\nexec PermissionError\nexecfd PermissionError\nsocket PermissionError\n\
         unix PermissionError\nopen done\nclosed PermissionError\nthread done\n";
    assert_eq!((exit, text.as_str()), (Exit::Code(0), expected));
    assert_eq!(fs::read(open.join("new")).expect("the file"), b"x");
}

#[test]
fn curl_and_a_shell_that_starts_programs_are_refused_in_lockdown() {
    as_ordinary_user!();
    let curl = Spec::new(image("/usr/bin/curl")).args(["-sS", "http://127.0.0.1:1/"]).tier(Tier::Lockdown);
    assert_ne!(output(curl.stderr(Stdio::Null)).0, Exit::Code(0));
    let (exit, text) = output(shell("echo built in; /bin/ls /").tier(Tier::Lockdown).stderr(Stdio::Null));
    assert_eq!(text, "built in\n");
    assert_ne!(exit, Exit::Code(0));
}

#[test]
fn a_limit_holds_and_cannot_be_raised() {
    as_ordinary_user!();
    let limits = Limits { memory: Some(64 << 20), cpu: Some(5), ..Limits::default() };
    let script = "import resource\n\
         try: bytearray(256 << 20); print('got it')\n\
         except MemoryError: print('refused')\n\
         print(resource.getrlimit(resource.RLIMIT_CPU))\n\
         try: resource.setrlimit(resource.RLIMIT_DATA, (1 << 40, 1 << 40))\n\
         except (ValueError, PermissionError): print('kept')";
    for tier in [Tier::Hardened, Tier::Lockdown] {
        let (_, text) = output(python(script).tier(tier).limits(limits));
        assert_eq!(text, "refused\n(5, 5)\nkept\n", "{tier}");
    }
}

#[test]
fn root_is_told_that_its_memory_stays_readable() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let spec = || Spec::new(image("/bin/true")).tier(Tier::Lockdown);
    match start(spec()) {
        Err(StartError::NotGiven { missing, .. }) => {
            assert_eq!(missing.len(), 1, "{missing:?}");
            assert_eq!(missing[0].0, Guarantee::L6);
        }
        other => panic!("{other:?}"),
    }
    let mut running = start(spec().allow_weaker([Guarantee::L6])).expect("a start with what is waived");
    assert!(!running.enforced().gives(Guarantee::L6) && running.enforced().gives(Guarantee::L1));
    assert_eq!(running.wait().expect("an end"), Exit::Code(0));
}

#[test]
fn a_kernel_without_landlock_is_named_and_nothing_is_started() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    let mark = room.path().join("mark");
    // bwrap installs a filter under which the three calls of Landlock are not there.
    let filter = room.path().join("filter");
    fs::write(&filter, without_landlock()).expect("a filter");
    let run = |waived: &[&str]| {
        let supervise = support::example("supervise");
        let words = waived.iter().map(|id| format!(" --allow-weaker {id}")).collect::<String>();
        let script = format!(
            "exec bwrap --bind / / --dev-bind /dev /dev --seccomp 9 -- {} --tier hardened{words} \
             /bin/sh -c 'echo started >{}' 9<{}",
            supervise.display(),
            mark.display(),
            filter.display()
        );
        Command::new("/bin/sh").args(["-c", &script]).output().expect("bwrap")
    };
    let refused = run(&[]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && !mark.exists(), "{text}");
    assert!(
        text.contains("H1") && text.contains("H2") && text.contains("the kernel has no Landlock"),
        "{text}"
    );
    let weaker = run(&["H1", "H2"]);
    let text = String::from_utf8_lossy(&weaker.stderr).into_owned();
    assert!(weaker.status.success() && mark.exists(), "{text}");
    assert!(text.contains("H1") && text.contains("No("), "still told: {text}");
}

/// Classic BPF (seccomp(2)): ENOSYS for system calls 444 to 446, which are Landlock's everywhere.
fn without_landlock() -> Vec<u8> {
    let load_number: (u16, u8, u8, u32) = (0x20, 0, 0, 0);
    let below: (u16, u8, u8, u32) = (0x35, 0, 2, 444);
    let above: (u16, u8, u8, u32) = (0x25, 1, 0, 446);
    let no_such_call: (u16, u8, u8, u32) = (0x06, 0, 0, 0x0005_0000 | 38);
    let allow: (u16, u8, u8, u32) = (0x06, 0, 0, 0x7fff_0000);
    let mut bytes = Vec::new();
    for (code, yes, no, value) in [load_number, below, above, no_such_call, allow] {
        bytes.extend(code.to_ne_bytes());
        bytes.extend([yes, no]);
        bytes.extend(value.to_ne_bytes());
    }
    bytes
}

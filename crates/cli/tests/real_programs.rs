//! The main job on real programs: each gets its secret and works, and without a grant nothing runs and no server
//! sees a request.
#![cfg(unix)]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Home, run};

/// An HTTP server on loopback that answers only to the right `Authorization` header, and counts who asks.
struct Server {
    port: u16,
    requests: Arc<AtomicUsize>,
}

impl Server {
    fn start(authorization: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
                let _ = answer(stream.unwrap(), authorization);
            }
        });
        Self { port, requests }
    }

    fn seen(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: TcpStream, authorization: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut authorized = false;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        authorized |= line.trim_end().eq_ignore_ascii_case(&format!("authorization: {authorization}"));
        line.clear();
    }
    let (status, body) =
        if authorized { ("200 OK", "welcome\n") } else { ("401 Unauthorized", "who are you\n") };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

#[test]
fn curl_sends_a_bearer_token_that_nobody_typed() {
    let server = Server::start("Bearer s3cr3t-bearer-token");
    let home = Home::new();
    home.store("api/token", "s3cr3t-bearer-token");
    let url = format!("http://127.0.0.1:{}/?q=1&r=(2)", server.port);
    let command = [
        "-s",
        "api/token=API_TOKEN",
        "--",
        "curl",
        "-sS",
        "--fail",
        "--variable",
        "%API_TOKEN",
        "--expand-header",
        "Authorization: Bearer {{API_TOKEN}}",
        &url,
    ];
    // curl before 8.3 has no --variable: then a script says the same.
    let script = home.write(
        "bin/call",
        format!("#!/bin/sh\nexec curl -sS --fail -H @- '{url}' <<.\nAuthorization: Bearer $API_TOKEN\n.\n"),
        0o755,
    );
    let supported = run(home.command("curl").args(["--help", "all"])).stdout().contains("--expand-header")
        || run(home.command("curl").args(["--help", "all"])).stdout().contains("--variable");
    let command: Vec<String> = match supported {
        true => command.iter().map(ToString::to_string).collect(),
        false => {
            vec!["-s".into(), "api/token=API_TOKEN".into(), "--".into(), script.to_str().unwrap().into()]
        }
    };

    run(&mut home.run(&command)).status(77).says("envseal allow -s api/token -- ");
    assert_eq!(server.seen(), 0, "a request went out without a grant");

    home.allow(&command);
    let ran = run(&mut home.run(&command)).ok();
    assert_eq!(ran.stdout(), "welcome\n");
    assert_eq!(server.seen(), 1);
}

#[test]
fn a_wrong_token_is_the_servers_business_and_curls_status_comes_back() {
    let server = Server::start("Bearer right");
    let home = Home::new();
    home.store("TOKEN", "wrong-token");
    let script = home.write(
        "bin/call",
        format!(
            "#!/bin/sh\nexec curl -sS --fail -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:{}/\n",
            server.port
        ),
        0o755,
    );
    let command = ["-s", "TOKEN", "--", script.to_str().unwrap()];
    home.allow(command);
    run(&mut home.run(command)).status(22).says("401");
}

/// A PostgreSQL server of the test's own on a loopback port, which wants a password.
struct Postgres {
    port: u16,
    bin: std::path::PathBuf,
    home: Home,
}

impl Postgres {
    fn start(password: &str) -> Self {
        let versions = std::fs::read_dir("/usr/lib/postgresql").expect("apt-get install postgresql");
        let bin = versions.map(|entry| entry.unwrap().path().join("bin")).max().expect("a PostgreSQL server");
        let home = Home::empty();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let password = home.write("home/password", password, 0o600);
        let server = Self { port, bin, home };
        run(server
            .home
            .command(server.bin.join("initdb"))
            .args(["--auth=scram-sha-256", "--username=app", "--no-sync", "--no-instructions", "-E", "UTF8"])
            .arg("--pwfile")
            .arg(password)
            .arg("-D")
            .arg(server.home.path("home/data")))
        .ok();
        server.control("start");
        server
    }

    fn control(&self, action: &str) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c fsync=off -k {}",
            self.port,
            self.home.path("run").display()
        );
        let mut command = self.home.command(self.bin.join("pg_ctl"));
        command.args(["-w", "-m", "immediate", "-o", &options, "-l"]).arg(self.home.path("home/log"));
        command.arg("-D").arg(self.home.path("home/data")).arg(action);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        assert!(command.status().unwrap().success(), "pg_ctl {action}");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.control("stop");
    }
}

#[test]
fn psql_reaches_a_database_that_wants_a_password() {
    let server = Postgres::start("pg-s3cret-pass");
    let home = Home::new();
    home.store("db/password", "pg-s3cret-pass");
    let port = server.port.to_string();
    let psql = [
        "psql",
        "-w",
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-U",
        "app",
        "-At",
        "-c",
        "select (1) + 41",
        "postgres",
    ];
    let bare = run(home.command(psql[0]).args(&psql[1..]));
    assert!(!bare.0.status.success(), "the server let somebody in without a password");
    for tier in ["hardened", "none"] {
        let mut command = vec!["-s", "db/password=PGPASSWORD", "--tier", tier, "--"];
        command.extend(psql);
        run(&mut home.run(&command)).status(77);
        home.allow(&command);
        assert_eq!(run(&mut home.run(&command)).ok().stdout(), "42\n", "{tier}");
    }
}

#[test]
fn git_fetches_over_http_with_a_credential() {
    let home = Home::new();
    home.store("git/token", "ghp_exampletoken0123456789");
    let git = |args: &[&str]| {
        run(home.command("git").args(["-c", "user.name=t", "-c", "user.email=t@example.org"]).args(args)).ok()
    };
    git(&["init", "-q", "-b", "main", "repo"]);
    home.write("work/repo/file", "contents\n", 0o644);
    git(&["-C", "repo", "add", "file"]);
    git(&["-C", "repo", "commit", "-q", "-m", "one"]);
    git(&["clone", "-q", "--bare", "repo", "served.git"]);
    git(&["-C", "served.git", "update-server-info"]);
    let server = git_server(home.path("work"), "app:ghp_exampletoken0123456789");

    // The credential helper of the protocol, which reads the token from its environment.
    let helper = "!f() { echo username=app; echo \"password=$GIT_TOKEN\"; }; f";
    let helper = format!("credential.helper={helper}");
    let url = format!("http://127.0.0.1:{}/served.git", server.port);
    let ask = ["-s", "git/token=GIT_TOKEN", "--tier", "hardened", "--"];
    let command = [&ask[..], &["git", "-c", &helper, "clone", "-q", &url, "cloned"]].concat();
    let command = command.as_slice();
    run(&mut home.run(command)).status(77);
    assert_eq!(server.seen(), 0);
    home.allow(command);
    run(&mut home.run(command)).ok();
    assert_eq!(std::fs::read_to_string(home.path("work/cloned/file")).unwrap(), "contents\n");
    assert!(server.seen() > 0);
}

/// Serves a bare repository by git's "dumb" HTTP protocol (gitprotocol-http(5)), to who has the credential.
fn git_server(root: std::path::PathBuf, credential: &str) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server { port: listener.local_addr().unwrap().port(), requests: Arc::default() };
    let counter = Arc::clone(&server.requests);
    let mut encode = Command::new("base64")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    encode.stdin.take().unwrap().write_all(credential.as_bytes()).unwrap();
    let mut encoded = String::new();
    encode.stdout.take().unwrap().read_to_string(&mut encoded).unwrap();
    encode.wait().unwrap();
    let expected = format!("authorization: basic {}", encoded.trim());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            counter.fetch_add(1, Ordering::SeqCst);
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) <= 2 {
                    break;
                }
                lines.push(line.trim_end().to_owned());
            }
            let path = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or("/").to_owned();
            let path = path.split('?').next().unwrap().trim_start_matches('/').to_owned();
            let authorized = lines.iter().any(|line| line.eq_ignore_ascii_case(&expected));
            let file = std::fs::read(root.join(&path)).ok().filter(|_| !path.contains(".."));
            let (status, body) = match (authorized, file) {
                (false, _) => ("401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"", Vec::new()),
                (true, Some(body)) => ("200 OK", body),
                (true, None) => ("404 Not Found", Vec::new()),
            };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    server
}

/// Python that checks a value by its digest, so that the test's own arguments hold no secret.
const PYTHON: &str = r#"
import hashlib, os, sys
how, expected = sys.argv[1], sys.argv[2]
data = {
    "env": lambda: os.environb[b"SECRET"],
    "stdin": lambda: sys.stdin.buffer.read(),
    "fd": lambda: os.fdopen(int(os.environ["SECRET_FD"]), "rb").read(),
    "file": lambda: open(os.environ["SECRET_FILE"], "rb").read(),
}[how]()
assert ("SECRET" in os.environ) == (how == "env"), "the value is where it should not be"
assert hashlib.sha256(data).hexdigest() == expected, "another value arrived"
sys.stdout.buffer.write(b"<" + data + b">")
"#;

const NODE: &str = r#"#!/usr/bin/env node
const fs = require("fs"), crypto = require("crypto");
const [how, expected] = process.argv.slice(2);
const data = {
  env: () => Buffer.from(process.env.SECRET),
  stdin: () => fs.readFileSync(0),
  fd: () => fs.readFileSync(Number(process.env.SECRET_FD)),
  file: () => fs.readFileSync(process.env.SECRET_FILE),
}[how]();
if (crypto.createHash("sha256").update(data).digest("hex") !== expected) throw new Error("another value arrived");
process.stdout.write(Buffer.concat([Buffer.from("<"), data, Buffer.from(">")]));
"#;

/// SHA-256 of a text, by the system's own tool.
fn sha256(text: &str) -> String {
    let mut child = Command::new("sha256sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()[..64].to_owned()
}

#[test]
fn python_and_node_read_every_delivery() {
    let home = Home::new();
    let value = "v4lue with 'quotes' \"and\" ünïcode\nand a second line";
    home.store("SECRET", value);
    let digest = sha256(value);
    home.write("work/read.py", PYTHON, 0o644);
    let node = home.write("work/read", NODE, 0o755);
    for how in ["env", "stdin", "fd", "file"] {
        for program in [vec!["python3", "read.py"], vec![node.to_str().unwrap()]] {
            let mut command = vec!["-s", "SECRET", "--deliver", how, "--"];
            command.extend(program);
            command.extend([how, &digest]);
            run(&mut home.run(&command)).status(77);
            home.allow(&command);
            let ran = run(&mut home.run(&command)).ok();
            assert_eq!(ran.stdout(), "<[envseal:SECRET]>", "{command:?}");
        }
    }
}

#[test]
fn several_secrets_arrive_each_under_its_own_name() {
    let home = Home::new();
    for (name, value) in [("one", "value-of-one"), ("two", "value-of-two"), ("a/three", "value-of-three")] {
        home.store(name, value);
    }
    let script = home.write("work/three.sh", "#!/bin/sh\necho \"$FIRST.$TWO.$A_THREE\"\n", 0o755);
    let command = ["-s", "one=FIRST", "-s", "two", "-s", "a/three", "--", script.to_str().unwrap()];
    home.allow(command);
    let ran = run(&mut home.run(command)).ok();
    assert_eq!(ran.stdout(), "[envseal:one].[envseal:two].[envseal:a/three]\n");
    for how in ["fd", "file"] {
        let suffix = how.to_uppercase();
        let read = if how == "fd" { "/dev/fd/" } else { "" };
        let text =
            format!("#!/bin/sh\ncat {read}$FIRST_{suffix} {read}$TWO_{suffix} {read}$A_THREE_{suffix}\n");
        let script = home.write(&format!("work/three-{how}"), text, 0o755);
        let command = [
            "-s",
            "one=FIRST",
            "-s",
            "two",
            "-s",
            "a/three",
            "--deliver",
            how,
            "--",
            script.to_str().unwrap(),
        ];
        home.allow(command);
        let ran = run(&mut home.run(command)).ok();
        assert_eq!(ran.stdout(), "[envseal:one][envseal:two][envseal:a/three]");
    }
}

#[test]
fn commands_behind_links_and_shims_work() {
    let home = Home::new();
    home.store("TOKEN", "a-token-of-some-length");
    std::os::unix::fs::symlink("/usr/bin/env", home.path("bin/shim")).unwrap();
    for command in [
        vec!["python3", "-c", "import os; print(len(os.environ['TOKEN']))"],
        vec!["sh", "-c", "echo ${#TOKEN}"],
        vec!["/bin/sh", "-c", "echo ${#TOKEN}"],
        vec!["shim", "sh", "-c", "echo ${#TOKEN}"],
        vec!["node", "-p", "process.env.TOKEN.length"],
    ] {
        let mut command: Vec<_> = command;
        command.splice(0..0, ["-s", "TOKEN", "--"]);
        home.allow(&command);
        assert_eq!(run(&mut home.run(&command)).ok().stdout(), "22\n", "{command:?}");
    }
    home.write("work/package.json", r#"{"scripts": {"count": "echo ${#TOKEN}"}}"#, 0o644);
    let command = ["-s", "TOKEN", "--pin", "package.json", "--", "npm", "run", "--silent", "count"];
    home.allow(command);
    let command: Vec<_> =
        command.into_iter().filter(|arg| !["--pin", "package.json"].contains(arg)).collect();
    assert_eq!(run(&mut home.run(&command)).ok().stdout(), "22\n");
    home.write("work/package.json", r#"{"scripts": {"count": "echo $TOKEN | rev"}}"#, 0o644);
    run(&mut home.run(&command)).status(77).says("package.json has changed");
}

#[test]
fn arguments_full_of_shell_characters_arrive_as_they_are() {
    let home = Home::new();
    home.store("TOKEN", "a-token-of-some-length");
    let odd = [
        "$(id)", "`id`", "a b", "'", "\"", "\\", ";", "&&", "|", ">x", "*", "?", "", "\n", "é", "-", "--",
        "=", "#",
    ];
    let mut command = vec!["-s", "TOKEN", "--", "printf", "<%s>"];
    command.extend(odd);
    home.allow(&command);
    let expected: String = odd.iter().map(|arg| format!("<{arg}>")).collect();
    assert_eq!(run(&mut home.run(&command)).ok().stdout(), expected);
}

#[test]
fn no_arguments_one_and_a_thousand_work() {
    let home = Home::new();
    home.store("TOKEN", "a-token-of-some-length");
    let count = home.write("work/count", "#!/bin/sh\necho $#\n", 0o755);
    for number in [0, 1, 1000] {
        let mut command = vec!["-s".to_owned(), "TOKEN".into(), "--".into(), count.to_str().unwrap().into()];
        command.extend((0..number).map(|n| n.to_string()));
        home.allow(&command);
        assert_eq!(run(&mut home.run(&command)).ok().stdout(), format!("{number}\n"));
        command.push("more".into());
        run(&mut home.run(&command)).status(77);
    }
}

#[test]
fn a_child_that_prints_the_secret_one_byte_at_a_time_is_masked() {
    let home = Home::new();
    home.store("TOKEN", "a-token-of-some-length");
    let text = "import os, sys, time\nfor c in os.environ['TOKEN']:\n    sys.stdout.write(c); sys.stdout.flush(); time.sleep(0.005)\n";
    home.write("work/slow.py", text, 0o644);
    let command = ["-s", "TOKEN", "--", "python3", "slow.py"];
    home.allow(command);
    assert_eq!(run(&mut home.run(command)).ok().stdout(), "[envseal:TOKEN]");
}

//! Hardened runs the tools of developers as they are.

#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use envseal_sandbox::{Exit, Spec, Stdio, Tier};
use support::{as_ordinary_user, bytes, image, output, shell};

/// A home and a project, and beside them something hidden, as envseal has it.
struct Home {
    root: tempfile::TempDir,
}

impl Home {
    fn new() -> Home {
        let root = tempfile::tempdir().expect("a directory");
        let home = Home { root };
        for directory in [".cache", ".config", ".local/share/envseal", ".npm", ".cargo", "project"] {
            fs::create_dir_all(home.path().join(directory)).expect("a directory");
        }
        fs::write(home.path().join(".local/share/envseal/vault.db"), "sealed").expect("a file");
        home
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    fn project(&self) -> PathBuf {
        self.path().join("project")
    }

    /// A script in the project, Hardened.
    fn script(&self, script: &str) -> Spec {
        shell(&format!("set -eu; {script}"))
            .env("HOME", self.path())
            // This home lies in the usual place for temporary files, and so above something hidden.
            .env("TMPDIR", self.path().join(".cache"))
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .directory(self.project())
            .tier(Tier::Hardened)
            .hide(self.path().join(".local/share/envseal"))
    }

    fn says(&self, script: &str) -> String {
        let (exit, bytes) = bytes(self.script(&format!("exec 2>&1; {script}")));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(exit, Exit::Code(0), "{script}: {text}");
        assert_eq!(output(self.script("cat ../.local/share/envseal/vault.db").stderr(Stdio::Null)).1, "");
        text
    }
}

#[test]
fn bash_pipelines_substitutions_and_background_jobs() {
    as_ordinary_user!();
    let script = "set -euo pipefail; n=$(seq 100 | grep 7 | wc -l); sleep 0.01 & wait $!; \
         diff <(echo a) <(echo a); cat <<<\"$n\" | tee file >/dev/null; cat file; mkfifo p; echo x >p & cat p; \
         ls / ~ >/dev/null; kill -0 $$; ulimit -n >/dev/null; trap 'echo usr1' USR1; kill -USR1 $$";
    let home = Home::new();
    let spec = Spec::new(image("/bin/bash")).args(["-c", script]).env("PATH", "/usr/bin:/bin");
    let spec = spec.env("HOME", home.path()).directory(home.project()).tier(Tier::Hardened);
    assert_eq!(output(spec), (Exit::Code(0), "19\nx\nusr1\n".into()));
}

#[test]
fn git_keeps_clones_and_merges() {
    as_ordinary_user!();
    let text = Home::new().says(
        "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@a; \
         git init -q -b main one; cd one; echo 1 >file; git add file; git commit -qm first; cd ..; \
         git clone -q one two; cd two; git checkout -qb side; echo 2 >>file; git commit -qam second; \
         git checkout -q main; git merge -q side; git gc -q; git fsck --strict; git log --oneline | wc -l",
    );
    assert_eq!(text, "2\n");
}

#[test]
fn node_and_npm_install_and_run() {
    as_ordinary_user!();
    let home = Home::new();
    let package = home.path().join("project/lib");
    fs::create_dir_all(&package).expect("a directory");
    fs::write(package.join("package.json"), r#"{"name":"lib","version":"1.0.0","main":"i.js"}"#)
        .expect("a file");
    fs::write(package.join("i.js"), "module.exports = 42").expect("a file");
    let manifest = r#"{"name":"app","version":"1.0.0","scripts":{"start":"node main.js"}}"#;
    fs::write(home.project().join("package.json"), manifest).expect("a file");
    let main = "const {execFileSync} = require('child_process'); const {Worker} = require('worker_threads');\n\
         require('http').createServer((q, r) => r.end('served')).listen(0, '127.0.0.1', function () {\n\
         fetch('http://127.0.0.1:' + this.address().port).then(r => r.text()).then(t => {\n\
         new Worker('require(\"worker_threads\").parentPort.postMessage(1)', {eval: true}).on('message', m => {\n\
         console.log(require('lib'), t, m, execFileSync('echo', ['child']).toString().trim());\n\
         process.exit(0) }) }) })";
    fs::write(home.project().join("main.js"), main).expect("a file");
    let text = home.says("export npm_config_update_notifier=false; npm install --offline --no-audit --no-fund ./lib >/dev/null; npm run --silent start");
    assert_eq!(text, "42 served 1 child\n");
}

#[test]
fn python_builds_an_environment_and_installs_a_package() {
    as_ordinary_user!();
    let home = Home::new();
    let wheel = "import zipfile\n\
         z = zipfile.ZipFile('pack-1.0-py3-none-any.whl', 'w')\n\
         z.writestr('pack.py', 'answer = 42\\n')\n\
         z.writestr('pack-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: pack\\nVersion: 1.0\\n')\n\
         z.writestr('pack-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
         z.writestr('pack-1.0.dist-info/RECORD', '')\n\
         z.close()\n";
    fs::write(home.project().join("wheel.py"), wheel).expect("a file");
    let text = home.says(
        "PATH=/usr/bin:/bin; python3 wheel.py; python3 -m venv env; \
         env/bin/python3 -m pip install -q --no-index --disable-pip-version-check ./pack-1.0-py3-none-any.whl; \
         env/bin/python3 -c 'import pack, subprocess, threading, tempfile, hashlib, ssl; print(pack.answer)'",
    );
    assert_eq!(text, "42\n");
}

#[test]
fn make_runs_jobs_and_a_compiler_builds_a_program() {
    as_ordinary_user!();
    let home = Home::new();
    let makefile = "all: a b\n\t./hello\na:\n\techo 'int puts(const char*); int main(){puts(\"built\");}' >hello.c\n\
         \tcc -o hello hello.c\nb:\n\tsleep 0.01\n";
    fs::write(home.project().join("Makefile"), makefile).expect("a file");
    let text = home.says("PATH=/usr/bin:/bin; make -s -j2");
    assert_eq!(text, "built\n");
}

/// As whoever runs the tests: cargo and its toolchain lie in that user's home.
#[test]
fn cargo_builds_tests_and_runs_a_crate() {
    let home = Home::new();
    let real = |name: &str, default: &str| {
        std::env::var_os(name).map_or_else(
            || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(default),
            PathBuf::from,
        )
    };
    let script =
        "cargo new -q --vcs none sample; cd sample; cargo build -q; cargo test -q >/dev/null; cargo run -q";
    let spec = home
        .script(script)
        .env("RUSTUP_HOME", real("RUSTUP_HOME", ".rustup"))
        .env("CARGO_HOME", real("CARGO_HOME", ".cargo"));
    assert_eq!(output(spec), (Exit::Code(0), "Hello, world!\n".into()));
}

#[test]
fn curl_resolves_a_name_and_speaks_tls() {
    as_ordinary_user!();
    let home = Home::new();
    let certificate = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost \
         -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem 2>/dev/null";
    let made = Command::new("/bin/sh").args(["-c", certificate]).current_dir(home.project()).status();
    assert!(made.expect("openssl").success());
    let server = "import http.server, ssl, sys\n\
         class H(http.server.BaseHTTPRequestHandler):\n\
        \x20 def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(b'over TLS')\n\
        \x20 def log_message(self, *a): pass\n\
         s = http.server.HTTPServer(('127.0.0.1', 0), H)\n\
         c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain('cert.pem', 'key.pem')\n\
         s.socket = c.wrap_socket(s.socket, server_side=True)\n\
         print(s.server_address[1], flush=True); s.serve_forever()";
    let mut server = Command::new("/usr/bin/python3")
        .args(["-c", server])
        .current_dir(home.project())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a server");
    let mut line = String::new();
    let mut said = std::io::BufReader::new(server.stdout.take().expect("a pipe"));
    std::io::BufRead::read_line(&mut said, &mut line).expect("a port");
    let text = home.says(&format!("curl -sS -4 --cacert cert.pem https://localhost:{}/", line.trim()));
    server.kill().and_then(|()| server.wait().map(drop)).expect("the end of the server");
    assert_eq!(text, "over TLS");
}

#[test]
fn a_name_server_is_asked_by_udp() {
    as_ordinary_user!();
    let server = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let port = server.local_addr().expect("an address").port();
    let answering = std::thread::spawn(move || {
        let mut query = [0; 512];
        let (length, from) = server.recv_from(&mut query).expect("a query");
        server.send_to(&query[..length], from).expect("an answer");
    });
    let script = format!(
        "python3 -Ic \"import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); \
         s.sendto(b'query', ('127.0.0.1', {port})); print(s.recv(512).decode()); \
         print(len(socket.getaddrinfo('localhost', 80)) > 0)\""
    );
    assert_eq!(Home::new().says(&script), "query\nTrue\n");
    answering.join().expect("the server");
}

#[test]
fn sudo_and_its_like_gain_nothing() {
    as_ordinary_user!();
    // Debian's passwd is set-user-ID root like sudo, and in every installation: only so it tells the day of
    // the last change, from /etc/shadow.
    let plain = Command::new("/usr/bin/passwd").arg("-S").output().expect("passwd");
    let plain = String::from_utf8_lossy(&plain.stdout).into_owned();
    assert!(!plain.contains(" never "), "works without protection: {plain}");
    let (_, text) = output(shell("passwd -S 2>&1; su -c id 2>&1 </dev/null; id -u").tier(Tier::Hardened));
    assert!(!text.starts_with(&plain) && !text.contains("uid=0"), "{text}");
    assert!(text.ends_with(&format!("{}\n", rustix::process::getuid().as_raw())), "{text}");
}

//! A home of its own for each test, in which the real program runs as an ordinary user.
//!
//! Root passes every permission check, so what root can or cannot do proves nothing: when the tests run as root,
//! everything here is started as the user `envseal-test`, made once by useradd(8). Started by an ordinary user,
//! the tests run as that user.
#![allow(dead_code, reason = "each test file uses a part")]

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

/// The passphrase of every test vault.
pub const PASSPHRASE: &str = "correct horse battery staple";

/// The ordinary user that tests run as: its ids, when this process is root.
fn user() -> Option<&'static (u32, u32)> {
    static USER: OnceLock<Option<(u32, u32)>> = OnceLock::new();
    USER.get_or_init(|| {
        if !rustix::process::getuid().is_root() {
            return None;
        }
        let id = |flag: &str| -> Option<u32> {
            let output = Command::new("id").args([flag, "envseal-test"]).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        };
        // Several test binaries may come here at once; useradd takes its own lock and the loser finds the user.
        for _ in 0..50 {
            if let (Some(uid), Some(gid)) = (id("-u"), id("-g")) {
                return Some((uid, gid));
            }
            let _ = Command::new("useradd").args(["--create-home", "--user-group", "envseal-test"]).output();
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("no ordinary user envseal-test, and useradd could not make one");
    })
    .as_ref()
}

/// A command that runs as the ordinary user, with no capabilities and no more groups than that user has.
pub fn as_user(program: impl AsRef<OsStr>) -> Command {
    match user() {
        None => Command::new(program),
        Some((uid, gid)) => {
            let mut command = Command::new("setpriv");
            command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--init-groups".into()]);
            command.args(["--inh-caps=-all", "--bounding-set=-all", "--"]).arg(program);
            command
        }
    }
}

/// Gives a path to the ordinary user.
pub fn give(path: &Path) {
    if let Some((uid, gid)) = user() {
        std::os::unix::fs::chown(path, Some(*uid), Some(*gid)).unwrap();
    }
}

/// A home directory with a program and, mostly, a vault.
pub struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    /// A home without a vault.
    pub fn empty() -> Self {
        let dir = tempfile::Builder::new().prefix("envseal-test-").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        give(dir.path());
        let home = Self { dir };
        for name in ["home", "run", "work", "bin"] {
            std::fs::create_dir(home.path(name)).unwrap();
            std::fs::set_permissions(home.path(name), std::fs::Permissions::from_mode(0o700)).unwrap();
            give(&home.path(name));
        }
        let built = Path::new(env!("CARGO_BIN_EXE_envseal"));
        let program = home.program();
        if std::fs::hard_link(built, &program).is_err() {
            std::fs::copy(built, &program).unwrap();
        }
        home
    }

    /// A home with a vault, opened by [`PASSPHRASE`] or, for use, by a key file.
    pub fn new() -> Self {
        let home = Self::empty();
        home.owner(["init", "--kdf-floor", "--no-recovery"]).ok();
        home.owner(["slot", "add", "keyfile", home.keyfile().to_str().unwrap()]).ok();
        home
    }

    /// A path in this home.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program under test.
    pub fn program(&self) -> PathBuf {
        self.path("bin/envseal")
    }

    /// The key file that uses grants and gives none.
    pub fn keyfile(&self) -> PathBuf {
        self.path("home/keyfile")
    }

    /// The vault's directory.
    pub fn vault(&self) -> PathBuf {
        self.path("home/.local/share/envseal")
    }

    /// Any command as the ordinary user, with this home, in the directory `work`, and no terminal.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = as_user(program);
        command.env_clear().env("PATH", self.search_path()).env("HOME", self.path("home"));
        command
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("LANG", "C.UTF-8")
            .current_dir(self.path("work"));
        command.stdin(Stdio::null());
        command
    }

    fn search_path(&self) -> String {
        format!("{}:/usr/local/bin:/usr/bin:/bin", self.path("bin").display())
    }

    /// `envseal ARGS`, with nothing that unlocks.
    pub fn envseal<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.command(self.program());
        command.args(args);
        command
    }

    /// `envseal ARGS` with the owner's passphrase on standard input.
    pub fn owner<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        self.owner_with_input(args, b"")
    }

    /// The same, followed by more input.
    pub fn owner_with_input<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>, input: &[u8]) -> Ran {
        let mut command = self.envseal(["--passphrase-fd", "0"]);
        command.args(args);
        feed(&mut command, &[PASSPHRASE.as_bytes(), b"\n", input].concat())
    }

    /// `envseal run ARGS` unlocked by the key file, as an agent or a service would run it.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.envseal([OsString::from("--keyfile"), self.keyfile().into(), "run".into()]);
        command.args(args);
        command
    }

    /// Stores a secret, accepted.
    pub fn store(&self, name: &str, value: impl AsRef<[u8]>) {
        self.owner_with_input(["store", "--keep-newline", name], value.as_ref()).ok();
    }

    /// Allows what `args` says.
    pub fn allow<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) {
        let mut all = vec![OsString::from("allow")];
        all.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self.owner(all).ok();
    }

    /// Writes a file that belongs to the user.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        give(&path);
        path
    }

    /// The events of the log, as JSON, oldest first.
    pub fn log(&self) -> Vec<serde_json::Value> {
        let ran = run(&mut self.envseal(["audit", "export"])).ok();
        ran.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// How many events of a kind the log has.
    pub fn logged(&self, kind: &str) -> usize {
        self.log().iter().filter(|row| row["event"]["kind"] == kind).count()
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Ran(pub Output);

impl Ran {
    /// Asserts success.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.status(0)
    }

    /// Asserts an exit status.
    #[track_caller]
    pub fn status(self, expected: i32) -> Self {
        assert_eq!(
            self.0.status.code(),
            Some(expected),
            "{}\n--- stdout\n{}\n--- stderr\n{}",
            self.0.status,
            self.stdout(),
            self.stderr()
        );
        self
    }

    /// Standard output.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    /// Standard error.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// Asserts that a text stands on standard error.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr().contains(text), "{text:?} is not in {:?}", self.stderr());
        self
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Ran {
    Ran(command.output().unwrap())
}

/// Runs a command with this input.
pub fn feed(command: &mut Command, input: &[u8]) -> Ran {
    let mut child = spawn(command.stdin(Stdio::piped()));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ran(output)
}

/// Starts a command whose output is read later.
pub fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until something is so, for at most twenty seconds.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "{what}: not within twenty seconds");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A terminal in which the ordinary user works: a tmux server of its own.
pub struct Screen<'h> {
    home: &'h Home,
    socket: PathBuf,
}

impl<'h> Screen<'h> {
    /// Starts a shell in a terminal of 100 columns and 30 lines.
    pub fn new(home: &'h Home) -> Self {
        let socket = home.path("run/tmux");
        let screen = Self { home, socket };
        let shell = ["new-session", "-d", "-x", "100", "-y", "30", "bash --norc --noprofile"];
        let mut command = screen.tmux(&["-f", "/dev/null"]);
        run(command.env("PS1", "ready> ").env("TERM", "xterm-256color").args(shell)).ok();
        screen.wait_for("ready>");
        screen
    }

    fn tmux(&self, args: &[&str]) -> Command {
        let mut command = self.home.command("tmux");
        command.arg("-S").arg(&self.socket).args(args);
        command
    }

    /// Types text, as it is.
    pub fn type_text(&self, text: &str) {
        run(self.tmux(&["send-keys", "-l"]).arg(text)).ok();
    }

    /// Presses a key by tmux's name for it: `Enter`, `C-c`, `Escape`.
    pub fn press(&self, key: &str) {
        run(&mut self.tmux(&["send-keys", key])).ok();
    }

    /// Types a line.
    pub fn line(&self, text: &str) {
        self.type_text(text);
        self.press("Enter");
    }

    /// What the terminal shows now.
    pub fn shows(&self) -> String {
        run(&mut self.tmux(&["capture-pane", "-p"])).ok().stdout()
    }

    /// The same with its colours as escape sequences.
    pub fn shows_colours(&self) -> String {
        run(&mut self.tmux(&["capture-pane", "-p", "-e"])).ok().stdout()
    }

    /// Waits until a text is shown, and gives the screen.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        let mut last = String::new();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while std::time::Instant::now() < deadline {
            last = self.shows();
            if last.contains(text) {
                return last;
            }
            std::thread::sleep(std::time::Duration::from_millis(30));
        }
        panic!("{text:?} did not come up; the screen shows\n{last}");
    }

    /// The process that the shell waits for, by number.
    pub fn child(&self) -> String {
        // tmux starts sh, which starts the shell, which starts the command.
        let sh = run(&mut self.tmux(&["display-message", "-p", "#{pane_pid}"])).ok().stdout();
        let child_of = |pid: &str| run(self.home.command("pgrep").args(["-P", pid.trim()])).ok().stdout();
        child_of(&child_of(&sh)).trim().to_owned()
    }

    /// Asks for another size of the terminal; it comes some time later.
    pub fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        run(&mut self.tmux(&["resize-window", "-x", &columns, "-y", &rows])).ok();
    }

    /// Clears the screen at the shell's prompt, once the terminal has this size.
    pub fn clear_at(&self, columns: u16, rows: u16) {
        self.line(&format!(
            "while [ \"$(stty size)\" != '{rows} {columns}' ]; do sleep 0.05; done; clear; echo cleared"
        ));
        until("the size and a clear screen", || self.shows().starts_with("cleared").then_some(()));
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).output();
    }
}

//! One cell of the table: an attack in one place. Starts programs there and tells what became of them.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use envseal_sandbox::Tier;

use super::attack::{Attack, Miss, Tried, Way, fault};
use super::stage::Stage;
use super::supervise::{FAILED, NOT_GIVEN, Options};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// What an attack program says with its status: it was refused, the machine cannot, it is broken.
pub const REFUSED: u8 = 10;
pub const ABSENT: u8 = 11;
pub const BROKEN: u8 = 12;

/// Where a program is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Unprotected,
    In(Tier, Way),
}

pub struct Cell<'a> {
    pub attack: &'a Attack,
    pub place: Place,
    pub stage: &'a Stage,
    /// The directory of this cell alone. `work` in it may be written in every tier, `vault` is hidden.
    pub room: PathBuf,
}

impl<'a> Cell<'a> {
    pub fn new(attack: &'a Attack, place: Place, stage: &'a Stage) -> std::io::Result<Cell<'a>> {
        let room = stage.new_room()?;
        fs::create_dir(room.join("work"))?;
        fs::create_dir(room.join("vault"))?;
        fs::write(room.join("vault/secret"), &stage.canary)?;
        Ok(Cell { attack, place, stage, room })
    }

    pub fn work(&self) -> PathBuf {
        self.room.join("work")
    }

    pub fn is_protected(&self) -> bool {
        self.place != Place::Unprotected
    }

    /// Starts `program` here. Its directory is `work`, unless the options say otherwise.
    pub fn launch(&self, options: Options, program: &Path, arguments: &[String]) -> Result<Launched, Miss> {
        self.launch_in(self.place, options, program, arguments)
    }

    fn launch_in(
        &self,
        place: Place,
        options: Options,
        program: &Path,
        arguments: &[String],
    ) -> Result<Launched, Miss> {
        let mut options = Options { directory: options.directory.or_else(|| Some(self.work())), ..options };
        options.hide.extend([self.room.join("vault"), self.stage.vault()]);
        options.write.push(self.work());
        options.read.push(self.stage.exe.clone());
        let declared = [
            ("PATH", "/usr/bin:/bin:/usr/sbin:/sbin".into()),
            ("HOME", self.stage.home()),
            ("XDG_RUNTIME_DIR", self.stage.runtime()),
            ("SSH_AUTH_SOCK", self.stage.runtime().join("agent")),
        ];
        let declared =
            declared.map(|(name, value): (_, PathBuf)| (name.to_owned(), value.display().to_string()));
        options.env.extend(declared);
        let mut command = Command::new(&self.stage.exe);
        // When an attack stops a process of it, and what is left of its group is orphaned, the kernel ends the group
        // (SIGHUP, setpgid(2)): it must not be that of whoever runs the suite.
        command.process_group(0);
        match place {
            Place::Unprotected => command.arg("plain"),
            Place::In(tier, way) => command.args(["supervise", &tier.to_string(), &way.to_string()]),
        };
        command.args(options.arguments()).arg("--").arg(program).args(arguments);
        command.envs(options.own_env).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Launched::new(command)
    }

    /// Runs the attack program here, with the usual arguments and these.
    pub fn act(&self, arguments: &[(&str, String)]) -> Tried {
        self.act_with(Options::default(), arguments)
    }

    pub fn act_with(&self, options: Options, arguments: &[(&str, String)]) -> Tried {
        self.attacker(options, arguments)?.verdict()
    }

    /// The attack program from another file; says `pid=N` once the start is done.
    pub fn attacker_as(&self, program: &Path, arguments: &[(&str, String)]) -> Result<Launched, Miss> {
        let options = Options { tell: true, ..Options::default() };
        self.launch(options, program, &self.arguments(arguments))
    }

    /// The attack program, started here.
    pub fn attacker(&self, options: Options, arguments: &[(&str, String)]) -> Result<Launched, Miss> {
        self.launch(options, &self.stage.exe, &self.arguments(arguments))
    }

    /// The attack program, started elsewhere than here.
    pub fn attacker_in(&self, place: Place, arguments: &[(&str, String)]) -> Result<Launched, Miss> {
        self.launch_in(place, Options::default(), &self.stage.exe, &self.arguments(arguments))
    }

    /// Runs the attack program outside of the place, as a reader of what is in it.
    pub fn outside(&self, arguments: &[(&str, String)]) -> Tried {
        let mut command = Command::new(&self.stage.exe);
        command.args(self.arguments(arguments));
        command.current_dir(self.work()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Launched::new(command)?.verdict()
    }

    fn arguments(&self, arguments: &[(&str, String)]) -> Vec<String> {
        let mut all = vec!["try".to_owned(), self.attack.name.to_owned()];
        all.extend(self.stage.arguments().into_iter().map(|(name, value)| format!("{name}={value}")));
        all.push(format!("room={}", self.room.display()));
        all.extend(arguments.iter().map(|(name, value)| format!("{name}={value}")));
        all
    }

    /// A program here that holds the canary in its environment, on its heap and in a file that is open.
    pub fn victim(&self, options: Options, arguments: &[&str]) -> Result<Victim, Miss> {
        self.victim_in(self.place, options, arguments)
    }

    /// The same without protection, as a process that the program must not reach.
    pub fn outsider(&self, arguments: &[&str]) -> Result<Victim, Miss> {
        self.victim_in(Place::Unprotected, Options::default(), arguments)
    }

    fn victim_in(&self, place: Place, options: Options, arguments: &[&str]) -> Result<Victim, Miss> {
        let mut options = Options { tell: true, ..options };
        options.env.push(("ENVSEAL_CANARY".into(), self.stage.canary.clone()));
        let mut all = vec!["victim".to_owned()];
        all.extend(arguments.iter().map(|&text| text.to_owned()));
        let mut launched = self.launch_in(place, options, &self.stage.exe, &all)?;
        let found = launched.values(&["pid", "given", "address", "file"])?;
        let number = |place: usize| found[place].parse().or_else(|_| fault("a victim that tells no number"));
        let given = found[1].split(',').map(str::to_owned).collect();
        Ok(Victim { pid: number(0)?, given, address: found[2].clone(), file: found[3].clone(), launched })
    }
}

impl Drop for Cell<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.room);
    }
}

/// A victim that says it is ready. Dropped, it ends.
pub struct Victim {
    pub pid: u32,
    /// The guarantees that were read back.
    pub given: Vec<String>,
    pub address: String,
    pub file: String,
    pub launched: Launched,
}

impl Victim {
    /// What a reader needs to know.
    pub fn arguments(&self) -> Vec<(&'static str, String)> {
        vec![("pid", self.pid.to_string()), ("address", self.address.clone()), ("file", self.file.clone())]
    }
}

/// A started program, with the process that started it.
pub struct Launched {
    child: Child,
    pub stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: Option<thread::JoinHandle<String>>,
}

impl Launched {
    pub fn new(mut command: Command) -> Result<Launched, Miss> {
        // What the harness was given is not what an attack should find.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO")) {
            command.env_remove(name);
        }
        let mut child = command.spawn().map_err(|error| Miss::Fault(error.to_string()))?;
        let (sender, lines) = mpsc::channel();
        let stdout = child.stdout.take();
        thread::spawn(move || {
            let lines = BufReader::new(stdout.expect("a pipe")).lines().map_while(Result::ok);
            lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        let stderr = child.stderr.take();
        let errors = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.expect("a pipe").read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let stdin = child.stdin.take();
        Ok(Launched { child, stdin, lines, errors: Some(errors) })
    }

    /// The starting process's number.
    pub fn starter(&self) -> u32 {
        self.child.id()
    }

    /// The next line of standard output; `None` when all who could write one have ended.
    pub fn line(&self, patience: Duration) -> Result<Option<String>, Miss> {
        match self.lines.recv_timeout(patience) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => fault("nothing was said in time"),
        }
    }

    /// The values of `NAME=VALUE` lines, in whatever order they come.
    pub fn values(&mut self, names: &[&str]) -> Result<Vec<String>, Miss> {
        let mut found = vec![None; names.len()];
        while found.iter().any(Option::is_none) {
            let Some(line) = self.line(PATIENCE)? else {
                self.verdict()?;
                return fault("it ended before it was ready");
            };
            let pair = line.split_once('=');
            let place = pair.and_then(|(name, _)| names.iter().position(|known| *known == name));
            if let (Some(place), Some((_, value))) = (place, pair) {
                found[place] = Some(value.to_owned());
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Waits for the starter's end; gives its status.
    pub fn status(&mut self) -> Result<i32, Miss> {
        self.stdin = None;
        let until = Instant::now() + 2 * PATIENCE;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                use std::os::unix::process::ExitStatusExt;
                return Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()));
            }
            thread::sleep(Duration::from_millis(2));
        }
        fault("it did not end in time")
    }

    /// Waits for the end of an attack program and reads its verdict.
    pub fn verdict(&mut self) -> Tried {
        let status = self.status()?;
        if status == 0 {
            return Ok(());
        }
        // A survivor may hold the pipe open; then what it says is not waited for.
        let text = match self.errors.take() {
            Some(errors) if status != 128 + libc::SIGKILL => errors.join().unwrap_or_default(),
            _ => String::new(),
        };
        let why = text.lines().last().unwrap_or("without a word").to_owned();
        Err(match u8::try_from(status) {
            Ok(REFUSED) => Miss::Refused(why),
            Ok(ABSENT) => Miss::Absent(why),
            Ok(NOT_GIVEN) => Miss::NotGiven(why),
            Ok(FAILED) => Miss::Fault(format!("the start failed: {why}")),
            Ok(BROKEN) => Miss::Fault(why),
            _ => Miss::Fault(format!("status {status}: {}", text.trim().replace('\n', "; "))),
        })
    }

    /// Ends the starting process with SIGKILL and waits until it is gone.
    pub fn kill_starter(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        self.stdin = None;
        self.kill_starter();
    }
}

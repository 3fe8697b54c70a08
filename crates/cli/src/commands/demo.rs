//! `envseal demo`: the whole way, in a vault that is thrown away.
//!
//! Every step is a real call of this same program, shown with what it printed.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::failure::Failure;
use crate::output::{self, BOLD, DIM, styled};

/// A program that prints the secret.
#[cfg(unix)]
const PROGRAM: [&str; 3] = [
    "sh",
    "-c",
    r#"printf 'the program got %s characters and prints them: %s\n' "${#DEMO_TOKEN}" "$DEMO_TOKEN""#,
];
#[cfg(windows)]
const PROGRAM: [&str; 4] = ["cmd.exe", "/d", "/c", "echo the program prints: %DEMO_TOKEN%"];

/// Runs the demonstration. Asks nothing, leaves nothing.
pub fn demo() -> Result<(), Failure> {
    let scratch = Scratch::new()?;
    let demo = Demo { program: own_program()?, home: &scratch.0, passphrase: random_text()? };
    let secret = format!("demo-{}", random_text()?);
    let asking = |words: &[&'static str]| [words, &PROGRAM].concat();

    demo.explain("A new vault, in a throwaway directory. The recovery code would be yours to keep.")?;
    demo.step(&["init", "--kdf-floor"], Input::Nothing, Some(0))?;

    demo.explain("A secret goes in. There is no command that shows it again.")?;
    demo.step(&["store", "DEMO_TOKEN"], Input::Value(&secret), Some(0))?;
    demo.step(&["list"], Input::Nothing, Some(0))?;

    demo.explain("A program asks for it. Nobody allowed that: refused, exit status 77, and the line that would allow it.")?;
    demo.step(&asking(&["run", "-s", "DEMO_TOKEN", "--"]), Input::Nothing, Some(77))?;

    demo.explain("The owner allows exactly this program with exactly these arguments, for 8 hours.")?;
    demo.step(&asking(&["allow", "-s", "DEMO_TOKEN", "--"]), Input::Nothing, Some(0))?;

    demo.explain("Now it runs, with the secret in its environment. What it prints of the secret is masked.")?;
    let run = demo.step(&asking(&["run", "-s", "DEMO_TOKEN", "--"]), Input::Nothing, Some(0))?;
    if run.contains(&secret) || !run.contains("[envseal:DEMO_TOKEN]") {
        return Err(Failure::other("the demonstration's output was not masked"));
    }

    demo.explain("One argument more is another request, which nobody allowed.")?;
    demo.step(
        &[asking(&["run", "-s", "DEMO_TOKEN", "--"]), vec!["more"]].concat(),
        Input::Nothing,
        Some(77),
    )?;

    demo.explain("Everything is in the log, which is chained and authenticated row by row.")?;
    demo.step(&["audit", "show"], Input::Nothing, Some(0))?;
    demo.step(&["audit", "verify"], Input::Nothing, Some(0))?;

    demo.explain("That was all; the throwaway vault is gone. Yours begins with: envseal init")
}

struct Demo<'a> {
    program: std::path::PathBuf,
    home: &'a Path,
    passphrase: String,
}

/// What stands on a step's standard input.
enum Input<'a> {
    Nothing,
    Value(&'a str),
}

impl Demo<'_> {
    fn explain(&self, text: &str) -> Result<(), Failure> {
        output::print(&format!("\n{}\n", styled(BOLD, format!("# {text}"))))
    }

    /// Runs one command as a person would type it; the passphrase comes by a descriptor.
    fn step(&self, args: &[&str], input: Input<'_>, expected: Option<i32>) -> Result<String, Failure> {
        let shown = envseal_engine::show::quote_all(
            std::iter::once("envseal").chain(args.iter().copied()).map(OsStr::new),
        );
        output::print(&format!("{}\n", styled(DIM, format!("$ {shown}"))))?;
        let failed = |error: std::io::Error| Failure::other(format!("envseal demo: {error}"));
        let needs_owner = matches!(args, ["init" | "allow" | "store", ..] | ["audit", "verify"])
            || (args[0] == "run" && expected == Some(0));
        let mut command = Command::new(&self.program);
        command.env("ENVSEAL_HOME", self.home.join("vault")).env("XDG_STATE_HOME", self.home.join("state"));
        command.env("XDG_RUNTIME_DIR", self.home.join("runtime"));
        if needs_owner {
            command.args(["--passphrase-fd", "0"]);
        }
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(&mut command).map_err(failed)?;
        let mut stdin = child.stdin.take().ok_or_else(|| Failure::other("envseal demo: no pipe"))?;
        let mut text = String::new();
        if needs_owner {
            text.push_str(&format!("{}\n", self.passphrase));
        }
        if let Input::Value(value) = input {
            text.push_str(value);
        }
        // A step that takes no input may have ended already.
        let _ = stdin.write_all(text.as_bytes());
        drop(stdin);
        let done = child.wait_with_output().map_err(failed)?;
        let printed =
            format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        for line in printed.lines() {
            output::print(&format!("  {line}\n"))?;
        }
        if done.status.code() != expected {
            return Err(Failure::other(format!(
                "envseal demo: a step ended with {} instead of {expected:?}",
                done.status
            )));
        }
        Ok(printed)
    }
}

#[cfg(not(windows))]
fn spawn(command: &mut Command) -> std::io::Result<Child> {
    command.spawn()
}

/// This process is closed to others, and what it makes, too: the steps close themselves.
#[cfg(windows)]
fn spawn(command: &mut Command) -> std::io::Result<Child> {
    envseal_sandbox::process::as_before(|| command.spawn())?
}

/// The running program, by the kernel's word: what is at its path may have been replaced since.
fn own_program() -> Result<std::path::PathBuf, Failure> {
    std::env::current_exe().map_err(|error| Failure::other(format!("envseal demo: {error}")))
}

/// 32 random hexadecimal digits.
fn random_text() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failure::other(format!("random numbers: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A private directory that goes away.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Result<Self, Failure> {
        let dir = std::env::temp_dir().join(format!("envseal-demo-{}", random_text()?));
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .recursive(false)
            .create(&dir)
            .map_err(|error| Failure::other(format!("{}: {error}", dir.display())))?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The place of the notes is told by the environment on Unix, and by nobody on Windows.
        if cfg!(windows)
            && let Ok(vault) = envseal_vault::Vault::open(&self.0.join("vault"))
        {
            let _ = vault.forget_notes();
        }
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

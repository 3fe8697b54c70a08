//! The tests on Windows: built with mingw, run by Wine where this is not Windows.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::foreign::Foreign;
use crate::{Failed, must, root};

const WINDOWS: Foreign = Foreign {
    triple: "x86_64-pc-windows-gnu",
    packages: &[
        ("/usr/bin/x86_64-w64-mingw32-gcc-win32", "gcc-mingw-w64-x86-64-win32"),
        (WINE, "wine64"),
        ("/usr/bin/wine", "wine"),
    ],
    env: &[("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", "x86_64-w64-mingw32-gcc")],
};
const WINE: &str = "/usr/lib/wine/wine64";

/// How long one suite may take.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Wine 8 lacks this library, which Rust's standard library draws its random numbers from.
const RANDOM: &str = "
__declspec(dllimport) unsigned char __stdcall SystemFunction036(void *, unsigned long);
__declspec(dllexport) int __stdcall ProcessPrng(unsigned char *buffer, unsigned long long length) {
    while (length > 0) {
        unsigned long part = length > 0x10000000 ? 0x10000000 : (unsigned long)length;
        if (!SystemFunction036(buffer, part)) return 0;
        buffer += part;
        length -= part;
    }
    return 1;
}
";

/// Builds all tests, and runs each suite; those whose name holds `filter`, where there is one.
pub fn run(filter: Option<&str>) -> Result<(), Failed> {
    WINDOWS.prepare()?;
    must(
        WINDOWS
            .cargo("clippy", "panic_abort")
            .args(["--workspace", "--exclude", "xtask", "--all-targets"])
            .args(["--", "-D", "warnings"]),
    )?;
    let suites = build()?;
    let prefix = Prefix::new(&WINDOWS.target())?;
    let (mut failed, mut lines) = (Vec::new(), Vec::new());
    for suite in suites.iter().filter(|suite| filter.is_none_or(|filter| suite.name.contains(filter))) {
        println!("\n     Running {} (Windows)", suite.name);
        let (ok, result) = suite.run(&prefix)?;
        lines.push(format!("{:<40} {result}", suite.name));
        if !ok {
            failed.push(suite.name.clone());
        }
    }
    println!("\non Windows ({}):", WINDOWS.triple);
    lines.iter().for_each(|line| println!("  {line}"));
    match failed.is_empty() {
        true if lines.is_empty() => Err("no suite has such a name".into()),
        true => Ok(()),
        false => Err(format!("failed on Windows: {}", failed.join(", ")).into()),
    }
}

/// A test program.
struct Suite {
    name: String,
    program: PathBuf,
    directory: PathBuf,
}

/// Builds the test programs, and the programs that they start.
fn build() -> Result<Vec<Suite>, Failed> {
    let mut command = WINDOWS.cargo("test", "panic_unwind,test");
    command.args([
        "--no-run",
        "--message-format=json-render-diagnostics",
        "--workspace",
        "--exclude",
        "xtask",
    ]);
    let output = command.current_dir(root()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("the tests cannot be built for {}", WINDOWS.triple).into());
    }
    let mut suites = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        let (Some(program), Some(manifest)) =
            (message["executable"].as_str(), message["manifest_path"].as_str())
        else {
            continue;
        };
        if message["profile"]["test"] != true {
            continue;
        }
        let directory = Path::new(manifest).parent().ok_or("a manifest without a directory")?;
        let package = directory.file_name().unwrap_or_default().to_string_lossy();
        let target = message["target"]["name"].as_str().unwrap_or_default();
        suites.push(Suite {
            name: format!("{package}::{target}"),
            program: program.into(),
            directory: directory.into(),
        });
    }
    Ok(suites)
}

impl Suite {
    /// Runs it; gives whether it passed, and its last line.
    fn run(&self, prefix: &Prefix) -> Result<(bool, String), Failed> {
        let mut command = prefix.command(&self.program);
        command.current_dir(&self.directory).env("CARGO_MANIFEST_DIR", &self.directory);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut out = child.stdout.take().ok_or("no pipe")?;
        let reader = std::thread::spawn(move || {
            let mut text = Vec::new();
            out.read_to_end(&mut text).map(|_| String::from_utf8_lossy(&text).into_owned())
        });
        let begun = Instant::now();
        let status = loop {
            match child.try_wait()? {
                Some(status) => break Some(status),
                None if begun.elapsed() > PATIENCE => {
                    // What it started may hold the pipe.
                    prefix.end();
                    child.wait()?;
                    break None;
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        let text = reader.join().map_err(|_| "a reader panicked")??;
        print!("{text}");
        let result = text.lines().rev().find(|line| line.starts_with("test result:"));
        Ok(match (status, result) {
            (Some(status), Some(result)) => (status.success(), result.to_owned()),
            // Suites with a main of their own, which is another system's.
            (Some(status), None) if status.success() && text.is_empty() => {
                (true, "nothing for this system".to_owned())
            }
            (Some(status), None) => (false, format!("{status}, without a result")),
            (None, _) => (false, format!("ended after {} minutes", PATIENCE.as_secs() / 60)),
        })
    }
}

/// A Wine of the tests' own; where this is Windows, nothing.
struct Prefix(PathBuf);

impl Prefix {
    fn new(target: &Path) -> Result<Prefix, Failed> {
        let prefix = Prefix(target.join("wine"));
        if cfg!(windows) {
            return Ok(prefix);
        }
        std::fs::create_dir_all(&prefix.0)?;
        let library = prefix.0.join("drive_c/windows/system32/bcryptprimitives.dll");
        if !library.exists() {
            must(prefix.wine("wineboot").arg("--init"))?;
            must(prefix.server().arg("--wait"))?;
            let source = target.join("bcryptprimitives.c");
            std::fs::write(&source, RANDOM)?;
            let mut compile = Command::new("x86_64-w64-mingw32-gcc");
            must(compile.args(["-shared", "-O2", "-o"]).args([&library, &source]).arg("-ladvapi32"))?;
        }
        // One server for all suites.
        must(prefix.server().arg("--persistent"))?;
        Ok(prefix)
    }

    fn command(&self, program: &Path) -> Command {
        if cfg!(windows) { Command::new(program) } else { self.wine(program) }
    }

    fn wine(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.masked(WINE);
        command.arg(program).env("WINEDEBUG", "-all");
        // Neither a window nor the installers that it would offer for Mono and Gecko.
        command.env_remove("DISPLAY").env("WINEDLLOVERRIDES", "mscoree,mshtml=");
        command
    }

    fn server(&self) -> Command {
        self.masked("/usr/lib/wine/wineserver64")
    }

    /// Wine makes a file's access list of its mode, where Windows takes it from the directory.
    fn masked(&self, program: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", r#"umask 077; exec "$0" "$@""#, program]).env("WINEPREFIX", &self.0);
        command
    }

    /// Ends every process in it.
    fn end(&self) {
        if !cfg!(windows) {
            let _ = self.server().arg("--kill").status();
        }
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        self.end();
    }
}

//! Which interpreter reads which of its arguments as a script.
//!
//! Errs towards *arbitrary code*: an option that is not known here may move the script or replace it, so the run
//! is then bound by its exact arguments only, and shown as arbitrary code.

use std::ffi::{OsStr, OsString};
use std::path::Path;

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

/// What an interpreter's arguments say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reads {
    /// Not an interpreter that is known here.
    Itself,
    /// The argument at this index is the script.
    Script(usize),
    /// Code from an argument, from standard input, or a prompt.
    Arbitrary,
}

/// An interpreter family: its names and the options that may stand before a script.
struct Family {
    names: &'static [&'static str],
    /// Options without a value. A cluster such as `-eux` is taken apart when every letter is listed.
    flags: &'static [&'static str],
    /// Options whose value is the next argument.
    valued: &'static [&'static str],
    /// Options whose value is attached by `=`.
    attached: &'static [&'static str],
}

const FAMILIES: &[Family] = &[
    Family {
        names: &["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"],
        flags: &[
            "-a",
            "-b",
            "-e",
            "-f",
            "-h",
            "-m",
            "-n",
            "-u",
            "-v",
            "-x",
            "-B",
            "-C",
            "-E",
            "-H",
            "-P",
            "-T",
            "+e",
            "+u",
            "+x",
            "--norc",
            "--noprofile",
            "--posix",
        ],
        valued: &["-o", "+o"],
        attached: &[],
    },
    Family {
        names: &["python", "pythonw", "pypy", "pypyw"],
        flags: &["-b", "-B", "-d", "-E", "-I", "-O", "-P", "-q", "-s", "-S", "-u", "-v"],
        valued: &["-W", "-X"],
        attached: &[],
    },
    Family {
        names: &["node", "nodejs"],
        flags: &[
            "--enable-source-maps",
            "--no-deprecation",
            "--no-warnings",
            "--throw-deprecation",
            "--trace-deprecation",
            "--trace-uncaught",
            "--trace-warnings",
            "--use-openssl-ca",
        ],
        valued: &[],
        attached: &["--max-old-space-size", "--stack-trace-limit", "--unhandled-rejections"],
    },
    Family { names: &["perl", "wperl"], flags: &["-t", "-T", "-w", "-W", "-X"], valued: &[], attached: &[] },
    Family { names: &["ruby", "rubyw"], flags: &["-w", "--disable-gems"], valued: &[], attached: &[] },
    Family {
        names: &["escript", "fish", "lua", "luajit", "php", "Rscript", "tclsh", "wish"],
        flags: &[],
        valued: &[],
        attached: &[],
    },
];

/// Programs that run code which no file fixes: interpreters whose first argument may be code, a class or a subcommand,
/// and programs that start another one which their arguments or their directory name.
const ARBITRARY: &[&str] = &[
    // Interpreters and editors.
    "awk",
    "bun",
    "deno",
    "ed",
    "elixir",
    "emacs",
    "ex",
    "expect",
    "gawk",
    "gdb",
    "groovy",
    "guile",
    "java",
    "javaw",
    "julia",
    "lldb",
    "mawk",
    "nano",
    "nu",
    "nvim",
    "osascript",
    "pwsh",
    "sqlite3",
    "ts-node",
    "tsx",
    "vi",
    "view",
    "vim",
    "vim.basic",
    "vim.tiny",
    // Programs that run the program which they are told.
    "busybox",
    "chroot",
    "chrt",
    "coreutils",
    "dash.static",
    "env",
    "find",
    "flock",
    "fakeroot",
    "ionice",
    "ltrace",
    "nice",
    "nohup",
    "nsenter",
    "parallel",
    "perf",
    "pkexec",
    "rlwrap",
    "run-parts",
    "runuser",
    "screen",
    "script",
    "setarch",
    "setpriv",
    "setsid",
    "ssh",
    "start-stop-daemon",
    "stdbuf",
    "strace",
    "su",
    "sudo",
    "systemd-run",
    "taskset",
    "time",
    "timeout",
    "tmux",
    "toybox",
    "unbuffer",
    "unshare",
    "uv",
    "valgrind",
    "watch",
    "xargs",
    // Build tools and package managers: a file of the working directory says what runs.
    "ant",
    "bazel",
    "bundle",
    "cargo",
    "cmake",
    "docker",
    "dotnet",
    "gcc",
    "go",
    "gradle",
    "just",
    "make",
    "meson",
    "mvn",
    "ninja",
    "nix",
    "nix-shell",
    "npm",
    "npx",
    "pip",
    "pnpm",
    "poetry",
    "podman",
    "rake",
    "task",
    "tox",
    "yarn",
];

/// What an interpreter of this file name reads. Versions are ignored: `python3.11` is `python`.
pub fn reads(program: &OsStr, args: &[OsString]) -> Reads {
    let Some(name) = program.to_str().map(system::without_extension) else { return Reads::Itself };
    if let Some(reads) = system::reads(name, args) {
        return reads;
    }
    if is_one_of(ARBITRARY, name) || is_loader(name) {
        return Reads::Arbitrary;
    }
    let Some(family) = FAMILIES.iter().find(|family| is_one_of(family.names, name)) else {
        return Reads::Itself;
    };
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        let Some(text) = arg.to_str() else { return Reads::Script(at) };
        if text == "--" {
            return if at + 1 < args.len() { Reads::Script(at + 1) } else { Reads::Arbitrary };
        }
        if text == "-" || text.is_empty() {
            return Reads::Arbitrary;
        }
        if !text.starts_with(['-', '+']) {
            // `node inspect x.js` is another program's command line.
            let subcommand = family.names.contains(&"node") && matches!(text, "debug" | "inspect" | "test");
            return if subcommand { Reads::Arbitrary } else { Reads::Script(at) };
        }
        at += match family.width(text) {
            Some(width) => width,
            None => return Reads::Arbitrary,
        };
    }
    Reads::Arbitrary
}

/// Whether a program of this file name is a Python.
pub fn is_python(program: &OsStr) -> bool {
    let names = ["python", "pythonw", "pypy", "pypyw"];
    program.to_str().map(system::without_extension).is_some_and(|name| is_one_of(&names, name))
}

/// Whether the program at this place is one of the system's that runs what it is told under a name which elsewhere
/// is an interpreter's.
pub fn is_systems(program: &Path) -> bool {
    system::is_launcher(program)
}

/// Whether a list has a name, as it is or without its version.
fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| system::same(known, name) || system::same(known, bare(name)))
}

/// The name without a version and what follows it: `python3.11`, `perl5.36-x86_64-linux-gnu`, `gcc-12`.
fn bare(name: &str) -> &str {
    match name.find(|c: char| c.is_ascii_digit()) {
        Some(digit) => name[..digit].trim_end_matches(['-', '.']),
        None => name,
    }
}

/// The dynamic loader runs the program that it is given (ld.so(8)).
fn is_loader(name: &str) -> bool {
    ["ld-linux", "ld-musl", "ld.so", "ld-2.", "ld64.so"].iter().any(|loader| name.starts_with(loader))
}

impl Family {
    /// How many arguments an option takes up, itself included; `None` when it is not known.
    fn width(&self, option: &str) -> Option<usize> {
        if self.flags.contains(&option) {
            return Some(1);
        }
        if self.valued.contains(&option) {
            return Some(2);
        }
        if let Some((name, _)) = option.split_once('=') {
            return self.attached.contains(&name).then_some(1);
        }
        let mut letters = option.chars();
        let sign = letters.next()?;
        let cluster = letters.as_str();
        let known = |letter| self.flags.contains(&format!("{sign}{letter}").as_str());
        (!cluster.starts_with('-') && cluster.len() > 1 && cluster.chars().all(known)).then_some(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Reads {
        let mut words = line.split(' ').map(OsString::from);
        let program = words.next().unwrap();
        reads(&program, &words.collect::<Vec<_>>())
    }

    #[test]
    fn a_script_is_found_behind_known_options() {
        for (line, at) in [
            ("python3 x.py", 0),
            ("python3.11 -u x.py -c", 1),
            ("python3 -W ignore -Bs x.py", 3),
            ("sh x.sh", 0),
            ("bash -eux -o pipefail x.sh", 3),
            ("bash -- -x.sh", 1),
            ("node x.js", 0),
            ("node --max-old-space-size=99 --no-warnings x.js -e", 2),
            ("perl -w x.pl", 1),
            ("lua5.4 x.lua", 0),
            ("perl5.36-x86_64-linux-gnu x.pl", 0),
        ] {
            assert_eq!(read(line), Reads::Script(at), "{line}");
        }
    }

    #[test]
    fn code_from_arguments_or_input_is_arbitrary() {
        for line in [
            "python3",
            "python3 -",
            "python3 -c print()",
            "python3 -m http.server",
            "python3 -i x.py",
            "sh -c id",
            "bash -ec id",
            "bash -s",
            "bash --rcfile x y",
            "node",
            "node -e 1",
            "node -r ./x.js y.js",
            "node --import=x y.js",
            "node --title x y.js",
            "perl -e 1",
            "perl -Mx y.pl",
            "ruby -rx y.rb",
            "deno run x.ts",
            "bash --",
            "awk {print}",
            "awk -f x",
            "perl5.36-x86_64-linux-gnu -e 1",
            "node inspect x.js",
            "timeout 10 ./x.sh",
            "env ./x.sh",
            "make",
            "npm run x",
            "ld-linux-x86-64.so.2 /bin/sh",
            "gcc-12 x.c",
            "xargs sh",
            "find . -exec id ;",
        ] {
            assert_eq!(read(line), Reads::Arbitrary, "{line}");
        }
    }

    #[test]
    fn other_programs_read_no_script() {
        for line in ["curl -c x", "psql x", "pythonista x", "shellcheck x"] {
            assert_eq!(read(line), Reads::Itself, "{line}");
        }
    }
}

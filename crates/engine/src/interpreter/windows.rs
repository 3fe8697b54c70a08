//! Names of Windows, and the system's own interpreters.

use std::ffi::OsString;
use std::path::Path;

use envseal_sandbox::paths::windows;

use super::Reads;

/// Programs of Windows, or usual there, that run what an argument, the registry or a file beside them names.
const ARBITRARY: &[&str] = &[
    // Interpreters and what is made of them.
    "cmd",
    "cscript",
    "csi",
    "fsi",
    "hh",
    "mshta",
    "wscript",
    // The launcher of Python chooses its program by the registry and the script's first line.
    "py",
    "pyw",
    "wmic",
    // Programs that run the program or library that they are told.
    "at",
    "cmstp",
    "conhost",
    "control",
    "explorer",
    "forfiles",
    "installutil",
    "mavinject",
    "mintty",
    "msiexec",
    "odbcconf",
    "openconsole",
    "pcalua",
    "psexec",
    "regasm",
    "regsvcs",
    "regsvr32",
    "runas",
    "rundll32",
    "schtasks",
    "scriptrunner",
    "start",
    "verclsid",
    "winpty",
    "wsl",
    "wslg",
    "wslhost",
    "wt",
    // Build tools: a file of the working directory says what runs.
    "msbuild",
    "nmake",
    "nuget",
];

/// A program's name without what every program's name has.
pub fn without_extension(name: &str) -> &str {
    let Some(at) = name.len().checked_sub(4).filter(|at| name.is_char_boundary(*at)) else { return name };
    let (stem, extension) = name.split_at(at);
    let is_usual = extension.eq_ignore_ascii_case(".exe") || extension.eq_ignore_ascii_case(".com");
    if is_usual { stem } else { name }
}

/// Whether two names are one.
pub fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// `System32\bash.exe` hands its arguments to the shell of a Linux, whose files nobody hashed. In a 32-bit process'
/// view, or where Windows cannot be found, every one of the name in a directory so called is.
pub fn is_launcher(program: &Path) -> bool {
    let is =
        |part: Option<&std::ffi::OsStr>, name: &str| part.is_some_and(|part| part.eq_ignore_ascii_case(name));
    let directory = program.parent();
    let in_windows = || {
        let above = directory.and_then(Path::parent).unwrap_or(Path::new(""));
        windows().map_or(true, |windows| above.as_os_str().eq_ignore_ascii_case(windows.as_os_str()))
    };
    let places = ["System32", "Sysnative", "SysWOW64"];
    is(program.file_name(), "bash.exe")
        && places.iter().any(|place| is(directory.and_then(Path::file_name), place))
        && in_windows()
}

/// What the system's own interpreters read.
pub fn reads(name: &str, args: &[OsString]) -> Option<Reads> {
    if super::is_one_of(&["powershell", "pwsh", "powershell_ise", "pwsh-preview"], name) {
        return Some(powershell(args));
    }
    super::is_one_of(ARBITRARY, name).then_some(Reads::Arbitrary)
}

/// `-NoProfile -File x.ps1`. Without `-NoProfile` it runs the user's profile first, which no grant fixes; without
/// `-File`, Windows PowerShell takes what it is given for code (about_PowerShell_exe).
fn powershell(args: &[OsString]) -> Reads {
    let mut no_profile = false;
    let mut at = 0;
    while let Some(text) = args.get(at).and_then(|arg| arg.to_str()) {
        match text.to_ascii_lowercase().as_str() {
            "-noprofile" | "-nop" => no_profile = true,
            "-nologo" | "-noninteractive" | "-noni" | "-sta" | "-mta" => {}
            "-executionpolicy" | "-ep" | "-ex" => at += 1,
            "-file" | "-f" if no_profile && at + 1 < args.len() && args[at + 1] != "-" => {
                return Reads::Script(at + 1);
            }
            _ => break,
        }
        at += 1;
    }
    Reads::Arbitrary
}

#[cfg(test)]
mod tests {
    use super::super::{Reads, reads};
    use super::*;

    fn read(line: &str) -> Reads {
        let mut words = line.split(' ').map(OsString::from);
        let program = words.next().unwrap();
        reads(&program, &words.collect::<Vec<_>>())
    }

    #[test]
    fn the_extension_and_the_case_of_a_name_change_nothing() {
        for (line, at) in [
            ("python.exe x.py", 0),
            ("Python3.11.EXE -u x.py", 1),
            ("NODE.exe x.js", 0),
            ("RSCRIPT.COM x.r", 0),
            ("powershell.exe -NoProfile -File x.ps1 a", 2),
            ("pwsh -nologo -NOP -ExecutionPolicy Bypass -f x.ps1", 5),
        ] {
            assert_eq!(read(line), Reads::Script(at), "{line}");
        }
        for line in ["curl.exe -c x", "psql.EXE x", "python.exe.txt x.py", "äöü x"] {
            assert_eq!(read(line), Reads::Itself, "{line}");
        }
    }

    #[test]
    fn what_the_system_runs_for_others_is_arbitrary() {
        for line in [
            "cmd.exe /c x.bat",
            "CMD /c x",
            "wscript x.js",
            "rundll32.exe x.dll,y",
            "py.exe x.py",
            "py -3 x.py",
            "msbuild",
            "wsl ls",
            "powershell x.ps1",
            "powershell -File x.ps1",
            "powershell -NoProfile -Command x",
            "powershell -NoProfile -File",
            "powershell -NoProfile -File -",
            "powershell -NoProfile -NoExit -File x.ps1",
            "pwsh -nop x.ps1",
            "pwsh.exe",
            "npm.exe run x",
            "Timeout.exe 1",
        ] {
            assert_eq!(read(line), Reads::Arbitrary, "{line}");
        }
    }
}

//! Who asks, by the system's list of processes.

use std::ffi::OsStr;
use std::fs::File;

use envseal_sandbox::process;
use envseal_vault::Caller;

use super::DEPTH;
use crate::show;

/// Describes the process that started this one. A parent that has ended is not named: its number is 0.
///
/// The user is the last part of its security identifier, which is 1000 or more for an account that was made on the
/// machine or in its domain; the largest number when that cannot be read.
///
/// None of it is proof: a program chooses the parent of a child of its own (`PROC_THREAD_ATTRIBUTE_PARENT_PROCESS`), and
/// makes itself a console.
pub fn caller() -> Caller {
    let found = process::ancestry(DEPTH);
    Caller {
        pid: found.first().map_or(0, |(pid, _)| *pid),
        uid: process::user_id().unwrap_or(u32::MAX),
        ancestry: found.iter().map(|(_, name)| show::visible(OsStr::new(name))).collect(),
        // Opens for whoever shares a console with a person, whatever the standard streams lead to.
        terminal: File::open("CONIN$").is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Not a test by itself: the process that the next one starts.
    #[test]
    #[ignore = "the child of another test"]
    fn names_its_caller() {
        let caller = caller();
        #[expect(clippy::print_stdout, reason = "that is what it is for")]
        {
            println!("\ncaller={} {}", caller.pid, caller.ancestry[0]);
        }
    }

    #[test]
    fn the_caller_is_the_process_that_started_this_one() {
        let this = std::env::current_exe().unwrap();
        let test = "caller::system::tests::names_its_caller";
        let output =
            Command::new(&this).args(["--exact", test, "--ignored", "--nocapture"]).output().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        let line = shown.lines().find_map(|line| line.strip_prefix("caller="));
        let name = this.file_name().unwrap().to_str().unwrap();
        assert_eq!(line, Some(format!("{} {name}", std::process::id()).as_str()));
    }
}

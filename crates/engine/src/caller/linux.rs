//! Who asks, by `/proc` (proc(5)).

use envseal_vault::Caller;

use super::DEPTH;

/// Describes the process that started this one, by `/proc/PID/stat` and `/proc/PID/exe` (proc(5)).
///
/// Names are informative: a hostile process can call itself anything. What it executes cannot lie, so the file's
/// name is preferred to the one the process gives itself.
pub fn caller() -> Caller {
    let parent = std::os::unix::process::parent_id();
    let mut ancestry = Vec::new();
    let mut pid = parent;
    while pid > 0 && ancestry.len() < DEPTH {
        let Some((name, next)) = describe(pid) else { break };
        ancestry.push(name);
        pid = next;
    }
    Caller { pid: parent, uid: rustix::process::getuid().as_raw(), ancestry, terminal: has_terminal() }
}

/// A process's name and its parent.
fn describe(pid: u32) -> Option<(String, u32)> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name stands in parentheses and may hold any character, parentheses too.
    let (_, rest) = stat.split_once('(')?;
    let (comm, rest) = rest.rsplit_once(')')?;
    let parent = rest.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let exe = std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    let name = exe.as_deref().and_then(std::path::Path::file_name);
    let name = name.map_or_else(|| crate::show::visible(comm.as_ref()), crate::show::visible);
    Some((name, parent))
}

/// Whether this process has a controlling terminal (tty_nr of `/proc/self/stat` is not 0).
fn has_terminal() -> bool {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let field = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(4));
    field.is_some_and(|tty| tty != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_is_the_parent_and_its_parents() {
        let caller = caller();
        assert_eq!(caller.pid, std::os::unix::process::parent_id());
        assert!(!caller.ancestry.is_empty() && caller.ancestry.len() <= DEPTH);
    }
}

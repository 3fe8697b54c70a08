//! Settings by which an administrator keeps from every program what attacks need.

use std::fs;

/// A setting, the least value that restricts, and what it keeps.
const SETTINGS: [(&str, i64, &str); 4] = [
    ("kernel/yama/ptrace_scope", 1, "processes are traced by their parents only"),
    ("kernel/apparmor_restrict_unprivileged_userns", 1, "user namespaces have no capabilities"),
    ("kernel/io_uring_disabled", 1, "no io_uring"),
    ("kernel/perf_event_paranoid", 3, "no perf_event_open(2)"),
];
/// The same, where 0 restricts.
const SWITCHES: [(&str, &str); 3] = [
    ("kernel/unprivileged_userns_clone", "no user namespaces"),
    ("user/max_user_namespaces", "no user namespaces"),
    ("dev/tty/legacy_tiocsti", "no TIOCSTI"),
];

/// The restrictions of this machine, each with its name.
pub fn restrictions() -> Vec<String> {
    let value = |name: &str| -> Option<i64> {
        fs::read_to_string(format!("/proc/sys/{name}")).ok()?.trim().parse().ok()
    };
    let high = SETTINGS.iter().filter(|(name, least, _)| value(name).is_some_and(|value| value >= *least));
    let off = SWITCHES.iter().filter(|(name, _)| value(name) == Some(0));
    let high = high.map(|(name, _, what)| format!("{name}: {what}"));
    high.chain(off.map(|(name, what)| format!("{name}: {what}"))).collect()
}

//! How programs end, what they are given as arguments, and that nothing is left in the caller.

#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::process::Command;

use envseal_sandbox::{Event, Exit, Signal, Spec, Stdio, start};
use support::{as_ordinary_user, bytes, image, next_event, output, shell, state};

#[test]
fn codes_and_signals_come_back_as_they_were() {
    as_ordinary_user!();
    for code in [0, 1, 2, 77, 126, 255] {
        assert_eq!(output(shell(&format!("exit {code}"))).0, Exit::Code(code));
    }
    for signal in [1, 2, 3, 6, 9, 11, 15, 34, 64] {
        let (exit, _) = output(shell(&format!("kill -{signal} $$; exit 0")));
        assert_eq!((exit, exit.shell_status()), (Exit::Signal(signal), 128 + signal));
    }
}

#[test]
fn a_signal_reaches_the_program_and_is_answered() {
    as_ordinary_user!();
    for (signal, name) in [(Signal::TERM, "TERM"), (Signal::USR1, "USR1"), (Signal::HUP, "HUP")] {
        let script = format!("trap 'exit 9' {name}; echo ready; while :; do sleep 0.01; done");
        let mut running = start(shell(&script).stdout(Stdio::Pipe)).expect("a start");
        let mut ready = [0; 6];
        let mut pipe = fs::File::from(running.take_stdout().expect("a pipe"));
        std::io::Read::read_exact(&mut pipe, &mut ready).expect("a line");
        running.signal(signal).expect("sent");
        assert_eq!(running.wait().expect("an end"), Exit::Code(9));
        running.signal(signal).expect("to one that has ended, nothing");
        assert_eq!(running.next_event().expect("asked"), None);
    }
}

#[test]
fn a_stop_and_its_end_are_told() {
    as_ordinary_user!();
    let mut running = start(shell("kill -STOP $$; sleep 0.3; exit 4")).expect("a start");
    assert_eq!(next_event(&mut running), Event::Stopped(19));
    assert_eq!(state(running.pid()), Some('T'));
    running.resume().expect("sent");
    assert_eq!(next_event(&mut running), Event::Continued);
    assert_eq!(next_event(&mut running), Event::Exited(Exit::Code(4)));
}

#[test]
fn arguments_arrive_whatever_they_are() {
    as_ordinary_user!();
    let print = || Spec::new(image("/usr/bin/printf")).arg("%s\\0");
    assert_eq!(output(shell("echo $#")).1, "0\n");
    let odd = ["", " ", "a b", "$(reboot)", "`x`", "\"'\\", "*", "-n", "\u{e9}\n"];
    let (_, text) = bytes(print().args(odd));
    assert_eq!(text, odd.map(|arg| format!("{arg}\0")).concat().into_bytes());
    let many: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    assert_eq!(bytes(print().args(&many)).1.iter().filter(|&&byte| byte == 0).count(), 1000);
    // MAX_ARG_STRLEN is 128 KiB with the NUL (execve(2)).
    let long = "x".repeat(131_071);
    assert_eq!(bytes(print().args([&long, &long])).1.len(), 2 * 131_072);
    let (_, name) = output(Spec::new(image("/bin/sh")).arg0("other name").args(["-c", "echo $0"]));
    assert_eq!(name, "other name\n");
}

#[test]
fn the_running_file_is_the_image() {
    as_ordinary_user!();
    use std::os::unix::fs::MetadataExt;
    let opened = image("/bin/sleep");
    let meta = opened.file().metadata().expect("a file");
    let running = start(Spec::new(opened).arg("300")).expect("a start");
    let runs = fs::metadata(format!("/proc/{}/exe", running.pid())).expect("a link");
    assert_eq!((runs.dev(), runs.ino()), (meta.dev(), meta.ino()));
}

#[test]
fn a_thousand_starts_leave_no_process_and_no_descriptor() {
    as_ordinary_user!();
    let descriptors = || fs::read_dir("/proc/self/fd").expect("a directory").count();
    let own = std::process::id();
    let children = || {
        let number = |entry: std::io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
        let all = fs::read_dir("/proc").expect("proc").filter_map(number);
        all.filter(|&pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.split(' ').nth(1) == Some(&own.to_string()))
        })
        .count()
    };
    let (before, _) = (descriptors(), children());
    for turn in 0..1000 {
        let spec = Spec::new(image("/bin/true")).stdin(Stdio::Pipe).stdout(Stdio::Pipe).stderr(Stdio::Null);
        let mut running = start(spec).expect("a start");
        if turn % 10 != 0 {
            assert_eq!(running.wait().expect("an end"), Exit::Code(0));
        }
    }
    assert_eq!((descriptors(), children()), (before, 0));
}

#[test]
fn several_threads_start_at_once_without_holding_each_others_pipes() {
    as_ordinary_user!();
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            std::thread::spawn(move || {
                for turn in 0..25 {
                    let text = format!("{thread} {turn}\n");
                    assert_eq!(output(shell(&format!("echo '{}'", text.trim_end()))), (Exit::Code(0), text));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("a thread");
    }
}

#[test]
fn a_thread_that_started_a_program_may_end_before_it() {
    as_ordinary_user!();
    let started = std::thread::spawn(|| start(shell("sleep 0.2; exit 6")).expect("a start"));
    let mut running = started.join().expect("a thread");
    assert_eq!(running.wait().expect("an end"), Exit::Code(6));
}

#[test]
fn a_callers_own_waits_never_take_our_children() {
    as_ordinary_user!();
    let mut running = start(shell("sleep 0.1; exit 7")).expect("a start");
    assert_eq!(envseal_sandbox::reap_orphans(), 0);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(envseal_sandbox::reap_orphans(), 0);
    assert_eq!(running.wait().expect("an end"), Exit::Code(7));
}

#[test]
fn process_one_of_a_container_starts_programs_and_is_not_confused_by_orphans() {
    as_ordinary_user!();
    // The first process leaves an orphan to the supervisor that takes its place, and the program leaves
    // one to its watcher.
    let supervisor = support::example("supervise");
    let program = "(setsid sleep 0.05 &); test $PPID -ne 1 && sleep 0.3 && exit 8";
    let first = format!(
        "(sleep 0.1 &); exec {} --env PATH=/usr/bin:/bin /bin/sh -c '{program}'",
        supervisor.display()
    );
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--", "/bin/sh", "-c", &first])
        .output()
        .expect("unshare");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(8), "{text}");
    assert!(text.contains("N1") && !text.contains("No("), "{text}");
}

//! A terminal of its own.

use super::*;

use support::terminal::{ctrl_c_ends_it, ctrl_z_stops_it_and_it_goes_on, on_terminal, until};

#[test]
fn it_has_its_size_its_name_and_the_program_in_its_foreground() {
    as_ordinary_user!();
    let (mut running, mut master) =
        on_terminal(hardened("stty size; echo ok >/dev/tty; ps -o tpgid= -p $$; echo $$; tty; echo end"));
    let text = until(&mut master, "end");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(lines, ["33 101", "ok", "2", "2", "/dev/console", "end"]);
    assert_eq!(running.wait().expect("an end"), Exit::Code(0));
}

#[test]
fn ctrl_z_stops_the_program_and_it_goes_on() {
    as_ordinary_user!();
    ctrl_z_stops_it_and_it_goes_on(hardened);
}

#[test]
fn an_interactive_shell_has_job_control_and_ctrl_c_interrupts() {
    as_ordinary_user!();
    let (mut running, mut master) = on_terminal(hardened("exec sh -i").env("PS1", "$ "));
    master.write_all(b"set -o | grep monitor\n").expect("a line");
    let text = until(&mut master, "on\r\n");
    assert!(!text.contains("can't access tty"), "{text}");
    master.write_all(b"exit 3\n").expect("a line");
    assert_eq!(running.wait().expect("an end"), Exit::Code(3));

    ctrl_c_ends_it(Spec::new(image("/bin/cat")).tier(Tier::Hardened).engine(Engine::Namespaces));
}

//! A person at a terminal: approvals, full-screen programs, job control. The terminal is tmux's, its keys are sent and
//! its screen is read.
#![cfg(unix)]

mod common;

use common::{Home, PASSPHRASE, Screen};

/// A line that runs a program with the secret `TOKEN`, unlocked by the key file.
fn run_line(home: &Home, command: &str) -> String {
    format!("envseal --keyfile {} run -s TOKEN -- {command}", home.keyfile().display())
}

fn home_with_token() -> Home {
    let home = Home::new();
    home.store("TOKEN", "a-token-of-some-length");
    home
}

#[test]
fn a_person_is_asked_and_the_passphrase_allows() {
    let home = home_with_token();
    let screen = Screen::new(&home);
    screen.line("envseal run -s TOKEN -- sh -c 'echo \"got <$TOKEN>\"'");
    let prompt = screen.wait_for("Allow?");
    for part in ["TOKEN", "/usr/bin/dash", "sha256", "sh -c", "work", "bash", "arbitrary code"] {
        assert!(prompt.contains(part), "{part:?} is not in the prompt:\n{prompt}");
    }
    screen.line("o");
    screen.wait_for("Passphrase:");
    screen.line(PASSPHRASE);
    let screen_text = screen.wait_for("got <[envseal:TOKEN]>");
    assert!(!screen_text.contains(PASSPHRASE));
    // Once was once.
    screen.line("clear; envseal run -s TOKEN -- sh -c 'echo \"got <$TOKEN>\"'");
    screen.wait_for("Allow?");
    screen.line("d");
    screen.wait_for("you denied it");
    screen.line("echo status $?");
    screen.wait_for("status 77");
    assert_eq!((home.logged("run"), home.logged("refuse")), (1, 1));
}

#[test]
fn a_grant_for_a_time_is_not_asked_again() {
    let home = home_with_token();
    let screen = Screen::new(&home);
    screen.line("envseal run -s TOKEN -- printf 'first-%s' run");
    screen.wait_for("Allow?");
    screen.line("30m");
    screen.wait_for("Passphrase:");
    screen.line(PASSPHRASE);
    screen.wait_for("first-run");
    screen.line("clear");
    screen.line(&run_line(&home, "printf 'first-%s' run"));
    screen.wait_for("first-run");
    // What was allowed was shown with its directory, and holds there.
    let mut elsewhere = home.run(["-s", "TOKEN", "--", "printf", "first-%s", "run"]);
    common::run(elsewhere.current_dir("/")).status(77).says("another working directory");
}

#[test]
fn a_wrong_passphrase_allows_nothing_and_may_be_typed_again() {
    let home = home_with_token();
    let screen = Screen::new(&home);
    screen.line("envseal run -s TOKEN -- printf 'it-%s' ran");
    screen.wait_for("Allow?");
    screen.line("a");
    for _ in 0..3 {
        screen.wait_for("Passphrase:");
        screen.line("not the passphrase");
        std::thread::sleep(std::time::Duration::from_millis(300));
        if screen.shows().contains("Allow?") {
            screen.line("a");
        }
    }
    screen.wait_for("wrong passphrase");
    screen.press("C-c");
    screen.line("clear; envseal grants list");
    screen.wait_for("no grants");
    assert_eq!(home.logged("run"), 0);
    assert!(home.logged("unlock_failed") > 0);
}

#[test]
fn ctrl_c_at_the_prompt_leaves_the_terminal_as_it_was() {
    let home = home_with_token();
    let screen = Screen::new(&home);
    screen.line("envseal run -s TOKEN -- true");
    screen.wait_for("Allow?");
    screen.line("o");
    screen.wait_for("Passphrase:");
    screen.press("C-c");
    screen.wait_for("cancelled");
    screen.line("stty -a | grep -o ' echo ' && echo echo-is-on");
    screen.wait_for("echo-is-on");
}

#[test]
fn a_signal_at_the_prompt_leaves_the_terminal_as_it_was() {
    let home = home_with_token();
    let screen = Screen::new(&home);
    for signal in ["TERM", "HUP", "INT"] {
        screen.line("clear; envseal run -s TOKEN -- true");
        screen.wait_for("Allow?");
        let pid = screen.child();
        assert!(common::as_user("kill").args(["-s", signal, &pid]).status().unwrap().success(), "{signal}");
        screen.wait_for("cancelled");
        screen.line("clear; stty -a | grep -o ' echo ' && echo echo-is-on");
        screen.wait_for("\necho-is-on");
    }
}

#[test]
fn a_secret_is_typed_unseen_and_accepted() {
    let home = Home::new();
    let screen = Screen::new(&home);
    screen.line("envseal store TYPED");
    screen.wait_for("Passphrase:");
    screen.line(PASSPHRASE);
    screen.wait_for("Value of TYPED");
    screen.line("typed-by-a-person");
    screen.wait_for("The same again");
    screen.line("typed-by-a-person");
    let shown = screen.wait_for("stored TYPED version 1");
    assert!(!shown.contains("typed-by-a-person") && !shown.contains(PASSPHRASE), "{shown}");
}

#[test]
fn a_vault_that_is_not_the_owners_gets_no_value() {
    let home = home_with_token();
    // An agent moves the owner's vault away and puts one of its own there.
    std::fs::rename(home.vault(), home.path("home/hidden")).unwrap();
    common::feed(&mut home.envseal(["--passphrase-fd", "0", "init", "--kdf-floor"]), b"the agent's own\n")
        .ok();
    let screen = Screen::new(&home);
    screen.line("envseal store TYPED");
    screen.wait_for("Passphrase:");
    screen.line(PASSPHRASE);
    screen.wait_for("wrong passphrase");
    screen.press("C-c");
    screen.wait_for("cancelled");
    assert!(!screen.shows().contains("Value of TYPED"));
}

#[test]
fn full_screen_programs_live_in_their_own_terminal() {
    let home = home_with_token();
    home.write("work/text", (1..200).map(|n| format!("line {n}\n")).collect::<String>(), 0o644);
    for command in [
        &["less", "text"][..],
        &["vim", "-u", "NONE", "-N", "text"],
        &["top", "-d", "60"],
        &["python3", "-q"],
    ] {
        home.allow(["-s", "TOKEN", "--"].iter().chain(command));
    }
    let screen = Screen::new(&home);

    screen.line(&run_line(&home, "less text"));
    screen.wait_for("line 28");
    screen.press("G");
    screen.wait_for("line 199");
    screen.resize(70, 20);
    screen.press("g");
    screen.wait_for("line 1");
    screen.press("q");
    screen.resize(100, 30);
    screen.clear_at(100, 30);

    screen.line(&run_line(&home, "vim -u NONE -N text"));
    screen.wait_for("line 20");
    screen.line(":%s/line/LINE/");
    screen.wait_for("LINE 199");
    screen.line(":wq");
    screen.wait_for("ready>");
    assert!(std::fs::read_to_string(home.path("work/text")).unwrap().starts_with("LINE 1\n"));

    screen.clear_at(100, 30);
    screen.line(&run_line(&home, "top -d 60"));
    screen.wait_for("load average");
    screen.press("q");

    screen.clear_at(100, 30);
    screen.line(&run_line(&home, "python3 -q"));
    screen.wait_for(">>>");
    screen.line("import os; print('<' + os.environ['TOKEN'] + '>', os.isatty(0), os.get_terminal_size())");
    screen.wait_for("<[envseal:TOKEN]> True os.terminal_size(columns=100, lines=30)");
    screen.line("exit()");
}

#[test]
fn colours_come_through() {
    let home = home_with_token();
    home.allow(["-s", "TOKEN", "--", "ls", "--color=auto", "-d", "/"]);
    let screen = Screen::new(&home);
    screen.line(&run_line(&home, "ls --color=auto -d /"));
    screen.wait_for("ready>");
    common::until("a coloured slash", || {
        screen
            .shows_colours()
            .contains("\u{1b}[34m/")
            .then_some(())
            .or_else(|| screen.shows_colours().contains(";34m/").then_some(()))
    });
}

#[test]
fn ctrl_z_stops_the_job_and_fg_continues_it() {
    let home = home_with_token();
    home.write("work/count.sh", "#!/bin/sh\necho begun; read line; echo \"read $line\"\n", 0o755);
    home.allow(["-s", "TOKEN", "--", "./count.sh"]);
    let screen = Screen::new(&home);
    screen.line(&run_line(&home, "./count.sh"));
    screen.wait_for("begun");
    screen.press("C-z");
    screen.wait_for("Stopped");
    screen.line("jobs");
    screen.line("fg");
    screen.line("after-the-stop");
    screen.wait_for("read after-the-stop");
    screen.line("echo status $?");
    screen.wait_for("status 0");
}

#[test]
fn ctrl_c_ends_the_program_with_its_own_signal() {
    let home = home_with_token();
    home.allow(["-s", "TOKEN", "--", "sleep", "60"]);
    let screen = Screen::new(&home);
    screen.line(&run_line(&home, "sleep 60"));
    common::until("a run in the log", || (home.logged("run") == 1).then_some(()));
    std::thread::sleep(std::time::Duration::from_millis(300));
    screen.press("C-c");
    screen.wait_for("ready>");
    screen.line("echo status $?");
    screen.wait_for("status 130");
}

#[test]
fn a_pipe_behind_it_leaves_the_terminal_alone() {
    let home = home_with_token();
    home.allow(["-s", "TOKEN", "--", "seq", "500"]);
    let screen = Screen::new(&home);
    screen.line(&format!("{} | less", run_line(&home, "seq 500")));
    screen.wait_for("29");
    screen.press("G");
    screen.wait_for("500");
    screen.press("q");
    screen.wait_for("ready>");
}

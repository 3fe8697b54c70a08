//! Pseudoconsoles and interrupts.

use std::fs::File;
use std::io::{self, Read};
use std::thread;

use envseal_sandbox::tty::{Pty, RawMode, Size};
use envseal_sandbox::{Exit, Running, Spec, Stdio, Tier, start};

use crate::support::{is_wine, probe};

const SIZE: Size = Size { rows: 24, columns: 80, width: 0, height: 0 };

fn on_terminal(spec: Spec, terminal: Pty) -> Spec {
    spec.terminal(terminal).stdin(Stdio::Terminal).stdout(Stdio::Terminal).stderr(Stdio::Terminal)
}

/// What is shown until the screen ends, read beside the program.
fn shown(running: &Running) -> thread::JoinHandle<String> {
    let master = running.terminal().expect("a terminal").expect("its handles");
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A screen that ends by a broken pipe has ended too.
        let _ = File::from(master.output).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[test]
fn a_program_has_a_terminal_of_its_own() {
    for tier in [Tier::None, Tier::Hardened] {
        let terminal = Pty::open(SIZE).expect("a pseudoconsole");
        let mut running =
            start(on_terminal(probe(tier, ["screen", "on screen"]), terminal)).expect("a start");
        assert!(!running.shares_process_group());
        // Wine 8 has no code for it.
        let resized = running.resize(Size { rows: 30, columns: 100, ..SIZE });
        assert_eq!(resized.is_err(), is_wine(), "{resized:?}");
        let screen = shown(&running);
        assert_eq!(running.wait().expect("an end"), Exit::Code(0));
        let text = screen.join().expect("read");
        assert!(text.contains("on screen"), "{tier}: {text:?}");
    }
}

#[test]
fn streams_lead_to_the_terminal() {
    let terminal = Pty::open(SIZE).expect("a pseudoconsole");
    let mut running =
        start(on_terminal(probe(Tier::None, ["print", "on screen"]), terminal)).expect("a start");
    let screen = shown(&running);
    assert_eq!(running.wait().expect("an end"), Exit::Code(0));
    // Wine 8 gives the program no streams there.
    assert_eq!(screen.join().expect("read").contains("on screen"), !is_wine());
}

#[test]
fn ctrl_c_reaches_a_program_on_its_terminal() {
    let terminal = Pty::open(SIZE).expect("a pseudoconsole");
    let mut running =
        start(on_terminal(probe(Tier::Hardened, ["interrupt", "screen"]), terminal)).expect("a start");
    let mut screen = File::from(running.terminal().expect("a terminal").expect("its handles").output);
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains("ready") {
        let mut bytes = [0; 256];
        let count = screen.read(&mut bytes).expect("a screen");
        assert!(count > 0, "the screen ended: {:?}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&bytes[..count]);
    }
    running.interrupt().expect("sent");
    // Wine 8 ends the program itself and asks no handler.
    assert_eq!(running.wait().expect("an end"), Exit::Code(if is_wine() { 0 } else { 9 }));
}

#[test]
fn ctrl_break_reaches_a_group_on_the_callers_console() {
    let terminal = Pty::open(SIZE).expect("a pseudoconsole");
    let mut running = start(on_terminal(probe(Tier::None, ["interrupter"]), terminal)).expect("a start");
    let screen = shown(&running);
    assert_eq!(running.wait().expect("an end"), Exit::Code(0));
    let text = screen.join().expect("read");
    // Wine 8 knows no console to send it on, in a program on a pseudoconsole.
    let expected = if is_wine() { "os error 6" } else { "ended with 10" };
    assert!(text.contains(expected), "{text:?}");
}

#[test]
fn an_interrupt_needs_a_terminal_or_a_group_of_the_programs_own() {
    let running = start(probe(Tier::Hardened, ["sleep"])).expect("a start");
    assert!(running.shares_process_group());
    let refused = running.interrupt().expect_err("refused");
    assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
    assert!(running.terminal().is_none());
    running.resize(SIZE).expect("nothing to do");
}

/// Whatever it is asked on: an error, and nothing set, where there is no console.
#[test]
fn raw_mode_is_of_a_console_or_an_error() {
    match (Size::of_console(), RawMode::enter()) {
        (Ok(size), mode) => {
            assert!(size.rows > 0 && size.columns > 0);
            let mut mode = mode.expect("a console");
            mode.suspend().expect("restored");
            mode.suspend().expect("nothing to do");
            mode.resume().expect("raw again");
        }
        (Err(_), mode) => assert!(mode.is_err()),
    }
}

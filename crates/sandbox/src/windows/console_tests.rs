//! Each test runs in a child with a console of its own, since a console has one state for all that share it.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::thread::sleep;

use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT};

use super::super::sys_console::{code_pages, on_event};
use super::super::sys_keys::type_in;
use super::super::tty::{Interrupts, Pty, RawMode, Size};
use super::*;
use crate::{Image, Spec, start};

/// Where a child says that it came to its end.
const DONE: &str = "ENVSEAL_TEST_CONSOLE_DONE";

/// Runs `body` in a child of its own, the test of this name, on a pseudoconsole.
fn on_console(test: &str, body: fn()) {
    if let Some(done) = std::env::var_os(DONE) {
        body();
        File::create(done).expect("written");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let done = dir.path().join("done");
    let image = Image::open(&std::env::current_exe().expect("this program")).expect("opened");
    let terminal = Pty::open(Size { rows: 24, columns: 200, ..Size::default() }).expect("a pseudoconsole");
    let spec = Spec::new(image).args(["--exact", &format!("backend::console::tests::{test}"), "--nocapture"]);
    let mut running = start(spec.env(DONE, &done).terminal(terminal)).expect("started");
    let shown = running.terminal().expect("a terminal").expect("a copy").output;
    let shown = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = File::from(shown).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let exit = running.wait().expect("ended");
    drop(running);
    assert!(done.exists(), "{exit:?}: {}", shown.join().expect("read"));
}

/// The modes of input and screen, and the code pages.
fn state() -> (u32, u32, (u32, u32)) {
    let open = |name| File::options().read(true).write(true).open(name).expect("a console");
    (mode(&open("CONIN$")).expect("asked"), mode(&open("CONOUT$")).expect("asked"), code_pages())
}

fn is_wine() -> bool {
    let ntdll: Vec<u16> = "ntdll.dll\0".encode_utf16().collect();
    crate::backend::sys::loaded(&ntdll, c"wine_get_version").is_some()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(300)
}

#[test]
fn what_is_typed_is_read_and_the_console_is_as_before() {
    on_console("what_is_typed_is_read_and_the_console_is_as_before", || {
        let before = state();
        let mut console = Console::open().expect("a console");
        let opened = state();
        type_in(&console.input, &[(true, 0x58, 0x78)]).expect("typed");
        {
            let _keys = console.keys().expect("keys");
            assert_eq!(state().0, 0);
            assert_eq!(console.key(soon()).expect("read"), None, "what was typed before is thrown away");
            // Alt and its number, then a pair whose halves come in two batches.
            type_in(
                &console.input,
                &[(true, 0x41, 0x61), (true, 0x12, 0), (false, 0x12, 0xe9), (true, 0, 0xd83d)],
            )
            .expect("typed");
            assert_eq!(console.key(soon()).expect("read"), Some('a'));
            assert_eq!(console.key(soon()).expect("read"), Some('é'));
            assert_eq!(console.key(soon()).expect("read"), None);
            type_in(&console.input, &[(true, 0, 0xdd11)]).expect("typed");
            assert_eq!(console.key(soon()).expect("read"), Some('\u{1f511}'));
        }
        assert_eq!(state(), opened);
        drop(console);
        assert_eq!(state(), before);
    });
}

#[test]
fn raw_mode_is_undone_by_its_end_and_by_a_panic() {
    on_console("raw_mode_is_undone_by_its_end_and_by_a_panic", || {
        let before = state();
        let mut raw = RawMode::enter().expect("raw");
        let is_raw = state();
        assert_ne!(is_raw, before);
        raw.suspend().expect("suspended");
        assert_eq!(state(), before);
        raw.resume().expect("raw again");
        assert_eq!(state(), is_raw);
        drop(raw);
        assert_eq!(state(), before);
        let panics = std::thread::spawn(|| {
            let _raw = RawMode::enter().expect("raw");
            panic!("to see what is left");
        });
        assert!(panics.join().is_err());
        assert_eq!(state(), before);
    });
}

#[test]
fn what_ends_this_process_puts_the_console_back_first() {
    on_console("what_ends_this_process_puts_the_console_back_first", || {
        let before = state();
        let mut console = Console::open().expect("a console");
        let _keys = console.keys().expect("keys");
        let _raw = RawMode::enter().expect("raw");
        assert_ne!(state(), before);
        // SAFETY: the function takes any number, from any thread.
        assert_eq!(unsafe { on_event(CTRL_CLOSE_EVENT) }, 0, "the system goes on with the end");
        assert_eq!(state(), before);
        // Nothing is changed again in the moment that is left.
        assert!(RawMode::enter().is_err() && console.keys().is_err());
        // SAFETY: as before.
        assert_eq!(unsafe { on_event(CTRL_LOGOFF_EVENT) }, 0);
        assert_eq!(state(), before);
    });
}

#[test]
fn who_gives_up_without_dropping_anything_can_put_the_console_back() {
    on_console("who_gives_up_without_dropping_anything_can_put_the_console_back", || {
        let before = state();
        std::mem::forget(RawMode::enter().expect("raw"));
        assert_ne!(state(), before);
        restore();
        assert_eq!(state(), before);
    });
}

#[test]
fn ctrl_break_is_told_while_it_is_caught_and_ends_the_process_otherwise() {
    on_console("ctrl_break_is_told_while_it_is_caught_and_ends_the_process_otherwise", || {
        let before = state();
        let mut console = Console::open().expect("a console");
        let _keys = console.keys().expect("keys");
        let mut interrupts = Interrupts::catch().expect("caught");
        assert!(!interrupts.came());
        // Group 0: every process of this console.
        if let Err(error) = interrupt_group(0) {
            // Wine 8 sends none through a pseudoconsole: there only what it would call is tried.
            assert!(is_wine(), "{error}");
            // SAFETY: the function takes any number, from any thread.
            assert_eq!(unsafe { on_event(CTRL_BREAK_EVENT) }, 1);
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while !interrupts.came() {
            assert!(Instant::now() < deadline, "it did not come");
            sleep(Duration::from_millis(10));
        }
        assert_eq!(state().0, 0, "the question goes on until it looks");
        drop(interrupts);
        // SAFETY: the function takes any number, from any thread.
        assert_eq!(unsafe { on_event(CTRL_BREAK_EVENT) }, 0);
        assert_eq!(state(), before);
    });
}

#[test]
fn who_shares_the_console_is_named_but_not_who_started_this() {
    on_console("who_shares_the_console_is_named_but_not_who_started_this", || {
        let Ok(found) = companions() else {
            // Wine 8 keeps no such list: then it is an error and not an empty answer.
            assert!(is_wine());
            return;
        };
        assert_eq!(found, []);
        let waits = ["--exact", "backend::process::tests::waits", "--ignored"];
        let mut other = Command::new(std::env::current_exe().expect("this program"));
        let mut other = other.args(waits).stdout(Stdio::null()).spawn().expect("started");
        let deadline = Instant::now() + Duration::from_secs(10);
        while !companions().expect("asked").iter().any(|one| one.pid == other.id()) {
            assert!(Instant::now() < deadline, "it is not named");
            sleep(Duration::from_millis(10));
        }
        other.kill().expect("killed");
        other.wait().expect("ended");
    });
}

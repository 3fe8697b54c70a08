//! The small program that the tests of the Windows backend start: it tries one thing and says what came of it.
//!
//! `probe TRIAL [ARGUMENT]...`, where the trials are those of `main`. `yes` and `no` begin the answer of those
//! that can be refused.

#![allow(clippy::print_stdout, reason = "it talks to its test")]
#![cfg_attr(
    windows,
    allow(clippy::zombie_processes, reason = "Windows has none, and what is left behind is the trial")
)]

#[cfg(windows)]
#[path = "probe_sys.rs"]
mod probe_sys;
#[cfg(windows)]
#[path = "probe_ui.rs"]
mod probe_ui;

#[cfg(not(windows))]
fn main() {}

#[cfg(windows)]
fn main() -> std::process::ExitCode {
    use std::io::Read;
    use std::process::Command;
    use std::time::Duration;
    use std::{env, fs, io, thread};

    // Before anything else, as a program's first instructions would.
    let in_job = probe_sys::is_in_a_job();
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let text =
        |place: usize| arguments.get(place).map(|of| of.to_string_lossy().into_owned()).unwrap_or_default();
    let said = |answer: io::Result<String>| match answer {
        Ok(text) if text.is_empty() => println!("yes"),
        Ok(text) => println!("yes {text}"),
        Err(error) => println!("no {error}"),
    };
    let number =
        |place: usize, radix| u32::from_str_radix(&text(place), radix).expect("a process, or rights");
    let forever = || loop {
        thread::sleep(Duration::from_secs(60));
    };
    let again = || Command::new(env::current_exe().expect("its own path"));
    match text(0).as_str() {
        "arguments" => {
            use std::os::windows::ffi::OsStrExt;
            for argument in &arguments[1..] {
                let units: Vec<_> = argument.encode_wide().map(|unit| format!("{unit:04x}")).collect();
                println!("{}.", units.concat());
            }
        }
        "job" => println!("{in_job}"),
        "argv" => println!("{}", probe_sys::arguments_by_shell().join("\n")),
        "console" => println!("{}", probe_sys::has_console()),
        "priority" => println!("{:#x}", probe_sys::priority()),
        "sleep" => forever(),
        // Two generations, whose numbers are written down.
        "tree" => {
            let child = again().args(["branch", &text(1)]).spawn().expect("a child");
            fs::write(format!("{}.child", text(1)), child.id().to_string()).expect("written");
            forever()
        }
        "branch" => {
            let leaf = again().arg("sleep").spawn().expect("a grandchild");
            fs::write(format!("{}.leaf", text(1)), leaf.id().to_string()).expect("written");
            forever()
        }
        "leave" => {
            let child = again().arg("sleep").spawn().expect("a child");
            fs::write(text(1), child.id().to_string()).expect("written");
        }
        "spawn" => said(again().arg("exit").status().map(|status| status.to_string())),
        "breakaway" => said(probe_sys::break_away(&text(1))),
        "handles" => {
            for (number, kind) in probe_sys::handles() {
                println!("{number:x} {kind}");
            }
        }
        "print" => println!("{}", text(1)),
        "echo" => {
            let mut line = String::new();
            io::stdin().read_to_string(&mut line).expect("input");
            print!("{line}");
        }
        "exit" => return probe_sys::exit(text(1).parse().unwrap_or(0)),
        "crash" => probe_sys::crash(),
        "environment" => {
            for (name, value) in env::vars_os() {
                println!("{}={}", name.to_string_lossy(), value.to_string_lossy());
            }
        }
        "directory" => println!("{}", env::current_dir().expect("a directory").display()),
        "memory" => said(probe_sys::commit(text(1).parse().expect("a number")).map(|()| String::new())),
        "spin" => loop {
            std::hint::spin_loop();
        },
        "write" => said(fs::write(text(1), "x").map(|()| String::new())),
        "read" => said(fs::read(text(1)).map(|bytes| bytes.len().to_string())),
        "connect" => said(std::net::TcpStream::connect(text(1)).map(|_| String::new())),
        "limits" => said(probe_ui::limits()),
        "policies" => said(probe_ui::policies()),
        "library" => said(probe_ui::library(&text(1))),
        "font" => said(probe_ui::font(&text(1))),
        "window" => said(probe_ui::window()),
        "add-atom" => said(probe_ui::atom(&text(1), true)),
        "find-atom" => said(probe_ui::atom(&text(1), false)),
        "parameters" => said(probe_ui::parameters()),
        "display" => said(probe_ui::display()),
        "desktop" => said(probe_ui::desktop()),
        "paste" => said(probe_ui::paste()),
        "clipboard" => said(probe_sys::set_clipboard().map(|()| String::new())),
        // With these rights, in hexadecimal.
        "open" => {
            said(probe_sys::open_process(number(1, 10), number(2, 16)).map(drop).map(|()| String::new()))
        }
        "open-threads" => said(probe_sys::open_threads(number(1, 10), number(2, 16))),
        "open-token" => said(probe_sys::open_token(number(1, 10), number(2, 16)).map(|()| String::new())),
        // Says whether it could close itself, and has a thread from after that.
        "closed" => {
            let closed = envseal_sandbox::process::close_to_others();
            thread::spawn(forever);
            said(closed.map(|()| String::new()));
            forever()
        }
        "default-list" => println!("{}", probe_sys::default_list()),
        // The list of what a program makes that is started from a closed process, and the own one after that.
        "closed-start" => {
            let _ = envseal_sandbox::process::close_to_others();
            restart(&text(1), &text(2), "default-list");
            println!("{}", probe_sys::default_list());
        }
        "open-itself" => {
            thread::spawn(forever);
            said(Ok(String::new()));
            forever()
        }
        // To the console itself: under Wine the streams of a program do not lead to its pseudoconsole.
        "screen" => show(&text(1)),
        "interrupt" => {
            probe_sys::on_interrupt();
            if text(1) == "screen" {
                show("ready")
            } else {
                println!("ready")
            }
            forever()
        }
        "interrupter" => show(&match interrupter() {
            Ok(status) => format!("ended with {status}"),
            Err(error) => format!("refused: {error}"),
        }),
        other => {
            println!("no such trial: {other}");
            return 2.into();
        }
    }
    std::process::ExitCode::SUCCESS
}

/// Writes to the console.
#[cfg(windows)]
fn show(text: &str) {
    use std::io::Write;
    let mut screen = std::fs::File::options().read(true).write(true).open("CONOUT$").expect("a console");
    write!(screen, "{text}\r\n").expect("written");
}

/// Starts this program again for another trial, with some guarantees waived.
#[cfg(windows)]
fn restart(tier: &str, weaker: &str, trial: &str) {
    use envseal_sandbox::{Image, Spec, start};
    let image = Image::open(&std::env::current_exe().expect("its own path")).expect("an image");
    let weaker = weaker.split_terminator(',').map(|of| of.parse().expect("a guarantee"));
    let spec = Spec::new(image).arg(trial).tier(tier.parse().expect("a tier")).allow_weaker(weaker);
    start(spec).expect("a start").wait().expect("an end");
}

/// A supervisor whose program shares its console, in a process group of its own, and is sent Ctrl-Break.
#[cfg(windows)]
fn interrupter() -> std::io::Result<i32> {
    use envseal_sandbox::{Image, Spec, Stdio, Tier, start};
    use std::io::Read;
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
    let image = Image::open(&std::env::current_exe().expect("its own path")).expect("an image");
    let spec = Spec::new(image).arg("interrupt").tier(Tier::None).stdout(Stdio::Pipe);
    let mut running = start(spec.creation_flags(CREATE_NEW_PROCESS_GROUP)).expect("a start");
    let mut ready = [0; 5];
    std::fs::File::from(running.take_stdout().expect("a pipe")).read_exact(&mut ready).expect("ready");
    running.interrupt()?;
    Ok(running.wait()?.shell_status())
}

//! The small program that the tests of the Windows backend start: it tries one thing and says what came of it.
//!
//! `probe arguments [ARGUMENT]... | job | sleep | tree FILE | leave FILE | handles | print TEXT | echo | exit CODE |
//! crash | environment | memory MIB | spin | write FILE | read FILE | connect ADDRESS | clipboard | interrupt`

#![allow(clippy::print_stdout, reason = "it talks to its test")]

#[cfg(windows)]
#[path = "probe_sys.rs"]
mod probe_sys;

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
        Ok(text) => println!("yes {text}"),
        Err(error) => println!("no {error}"),
    };
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
        "clipboard" => said(probe_sys::set_clipboard().map(|()| String::new())),
        "open" => said(probe_sys::open_process(text(1).parse().expect("a number")).map(|()| String::new())),
        "token" => println!("{}", probe_sys::token()),
        "interrupt" => {
            probe_sys::on_interrupt();
            println!("ready");
            forever()
        }
        other => {
            println!("no such trial: {other}");
            return 2.into();
        }
    }
    std::process::ExitCode::SUCCESS
}

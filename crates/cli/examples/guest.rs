//! A program for the tests to run with secrets, on systems whose own tools differ from one to the next.
#![allow(clippy::print_stdout, reason = "it is there to print")]

use std::io::{Read as _, Write as _};
use std::process::{Command, ExitCode};
use std::time::Duration;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let word = |at: usize| args.get(at).map(String::as_str).unwrap_or_default();
    match word(0) {
        // The value of a variable.
        "show" => println!("<{}>", std::env::var(word(1)).unwrap_or_else(|_| "not set".into())),
        "names" => std::env::vars_os().for_each(|(name, _)| println!("{}", name.display())),
        "arguments" => args.iter().skip(1).for_each(|arg| println!("{arg:?}")),
        "input" => {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text).expect("standard input");
            println!("{} bytes: {}", text.len(), String::from_utf8_lossy(&text));
        }
        "both" => {
            println!("to stdout: {}", std::env::var(word(1)).unwrap_or_default());
            let _ = writeln!(std::io::stderr(), "to stderr: {}", std::env::var(word(1)).unwrap_or_default());
        }
        "exit" => std::process::exit(word(1).parse::<u32>().map_or(99, |code| code as i32)),
        // A tree: this, and one beneath it that says its number and stays.
        "tree" => {
            let own = std::env::current_exe().expect("its own path");
            let mut child = Command::new(own).args(["stay", "120"]).spawn().expect("started");
            println!("{} {}", std::process::id(), child.id());
            let _ = child.wait();
        }
        "stay" => {
            println!("{}", std::process::id());
            std::thread::sleep(Duration::from_secs(word(1).parse().unwrap_or(60)));
        }
        _ => return ExitCode::from(98),
    }
    ExitCode::SUCCESS
}

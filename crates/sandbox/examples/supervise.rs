//! A small supervisor: starts a program in a tier, prints what was read back, ends as it ended.
//!
//! `supervise [--tier T] [--pty] [--quiet] [--report FILE] [--env NAME=VALUE]... PROGRAM [ARGUMENT]...`
//!
//! With `--pty` the program's terminal is copied to standard output and fed from standard input.

#![allow(clippy::print_stderr, reason = "an example talks to a person")]

use std::error::Error;
use std::io::{self, Read, Write};
use std::{env, fs, thread};

use envseal_sandbox::tty::{Pty, Size};
use envseal_sandbox::{Enforced, Exit, Image, Spec, Stdio, Tier, start};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args_os().skip(1);
    let (mut tier, mut pty, mut quiet, mut report) = (Tier::None, false, false, None);
    let mut vars = Vec::new();
    let program = loop {
        let arg = args.next().ok_or("no program")?;
        match arg.to_str() {
            Some("--tier") => tier = args.next().unwrap_or_default().to_string_lossy().parse()?,
            Some("--pty") => pty = true,
            Some("--quiet") => quiet = true,
            Some("--report") => report = args.next(),
            Some("--env") => {
                let var = args.next().unwrap_or_default().to_string_lossy().into_owned();
                let (name, value) = var.split_once('=').ok_or("not NAME=VALUE")?;
                vars.push((name.to_owned(), value.to_owned()));
            }
            _ => break arg,
        }
    };
    let mut spec = Spec::new(Image::open(program.as_ref())?).args(args).envs(vars).tier(tier);
    if pty {
        let terminal = Pty::open(Size { rows: 24, columns: 80, ..Size::default() })?;
        let [a, b, c] = [Stdio::Terminal, Stdio::Terminal, Stdio::Terminal];
        spec = spec.terminal(terminal).stdin(a).stdout(b).stderr(c);
    }
    let mut running = start(spec)?;
    if let Some(report) = report {
        fs::write(report, format!("{}\n", running.pid()))?;
    }
    if !quiet {
        print(running.enforced());
    }
    let exit = match running.terminal().transpose()? {
        Some(master) => {
            let mut input = fs::File::from(master.try_clone()?);
            thread::spawn(move || io::copy(&mut io::stdin(), &mut input));
            copy(fs::File::from(master))?;
            running.wait()?
        }
        None => running.wait()?,
    };
    match exit {
        Exit::Code(_) | Exit::Signal(_) => std::process::exit(exit.shell_status()),
    }
}

/// Until EIO, which is what the master says when nobody has the terminal open any more.
fn copy(mut master: fs::File) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        io::stdout().write_all(&buffer[..count])?;
        io::stdout().flush()?;
    }
    Ok(())
}

fn print(enforced: &Enforced) {
    for (guarantee, given) in enforced.iter() {
        eprintln!("{guarantee} {}: {given:?}", guarantee.title());
    }
}

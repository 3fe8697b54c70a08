//! A small supervisor: starts a program in a tier, prints what was read back, ends as it ended.
//!
//! `supervise [--tier T] [--engine E] [--allow-weaker G]... [--hide PATH]... [--read PATH]... [--write PATH]...
//! [--socket PATH]... [--memory BYTES] [--cpu SECONDS] [--pty] [--quiet] [--report FILE] [--env NAME=VALUE]... PROGRAM [ARGUMENT]...`
//!
//! With `--pty` the program's terminal is copied to standard output and fed from standard input.

#![allow(clippy::print_stderr, reason = "an example talks to a person")]

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::{env, fs, thread};

use envseal_sandbox::tty::{Pty, Size};
use envseal_sandbox::{Enforced, Exit, Image, Limits, Spec, Stdio, start};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args_os().skip(1);
    let (mut pty, mut quiet, mut report, mut limits) = (false, false, None, Limits::default());
    let mut settings: Vec<Setting> = Vec::new();
    let program = loop {
        let option = args.next().ok_or("no program")?;
        let Some(name) = option.to_str().filter(|name| name.starts_with("--")) else { break option };
        match name {
            "--pty" => pty = true,
            "--quiet" => quiet = true,
            "--report" => report = args.next(),
            "--memory" => limits.memory = Some(number(args.next())?),
            "--cpu" => limits.cpu = Some(number(args.next())?),
            _ => settings.push(setting(name, &args.next().ok_or("an option without its value")?)?),
        }
    };
    let spec = Spec::new(Image::open(program.as_ref())?).args(args).limits(limits);
    let mut spec = settings.into_iter().fold(spec, |spec, setting| setting(spec));
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
        #[cfg(unix)]
        Some(master) => {
            let mut input = fs::File::from(master.try_clone()?);
            thread::spawn(move || io::copy(&mut io::stdin(), &mut input));
            copy(fs::File::from(master))?;
            running.wait()?
        }
        #[cfg(windows)]
        Some(master) => {
            let mut input = fs::File::from(master.input);
            thread::spawn(move || io::copy(&mut io::stdin(), &mut input));
            // The screen ends when the program was waited for.
            let screen = thread::spawn(move || copy(fs::File::from(master.output)));
            let exit = running.wait()?;
            screen.join().map_err(|_| "the copy of the screen failed")??;
            exit
        }
        None => running.wait()?,
    };
    match exit {
        Exit::Code(_) | Exit::Signal(_) => std::process::exit(exit.shell_status()),
    }
}

fn number(text: Option<OsString>) -> Result<u64, Box<dyn Error>> {
    Ok(text.ok_or("an option without its value")?.to_string_lossy().parse()?)
}

type Setting = Box<dyn FnOnce(Spec) -> Spec>;

fn setting(option: &str, value: &OsStr) -> Result<Setting, Box<dyn Error>> {
    let text = value.to_string_lossy().into_owned();
    let path = PathBuf::from(value);
    Ok(match option {
        "--tier" => {
            let tier = text.parse()?;
            Box::new(move |spec| spec.tier(tier))
        }
        "--engine" => {
            let engine = text.parse()?;
            Box::new(move |spec| spec.engine(engine))
        }
        "--allow-weaker" => {
            let guarantee = text.parse()?;
            Box::new(move |spec| spec.allow_weaker([guarantee]))
        }
        "--hide" => Box::new(move |spec| spec.hide(path)),
        "--read" => {
            let path = path.canonicalize()?;
            Box::new(move |spec| spec.read(path))
        }
        "--write" => {
            let path = path.canonicalize()?;
            Box::new(move |spec| spec.write(path))
        }
        #[cfg(unix)]
        "--socket" => Box::new(move |spec| spec.socket(path)),
        "--env" => {
            let (name, value) = text.split_once('=').ok_or("not NAME=VALUE")?;
            let (name, value) = (name.to_owned(), value.to_owned());
            Box::new(move |spec| spec.env(name, value))
        }
        _ => return Err(format!("no option is called {option}").into()),
    })
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

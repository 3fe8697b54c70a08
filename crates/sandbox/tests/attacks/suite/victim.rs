//! A program with something to hide: in its environment, on its heap, in a file that it has open.

use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::{env, fs, io};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{rogue, sys};

/// `victim [namespace] [dumpable] [crash] [gives-group]`: says where the secrets are and waits until standard input ends.
#[allow(clippy::print_stdout, reason = "the harness reads it")]
pub fn main(arguments: &[String]) -> ExitCode {
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let canary = env::var("ENVSEAL_CANARY").expect("a canary");
    if has("namespace") {
        sys::numbers(libc::SYS_unshare, [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0]).expect("a namespace");
    }
    if has("dumpable") {
        // Refused or not: the reader tells which.
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable);
    }
    if has("crash") {
        let most = getrlimit(Resource::Core).maximum;
        for limit in [None, most] {
            let _ = setrlimit(Resource::Core, Rlimit { current: limit, maximum: limit });
        }
    }
    let heap = canary.clone().into_bytes();
    let file = held(&canary).expect("a file");
    println!("address={}\nfile={}", heap.as_ptr().addr(), file.as_raw_fd());
    if has("gives-group") {
        rogue::give_group();
    }
    let _ = io::stdin().read_to_end(&mut Vec::new());
    if has("crash") {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::ABORT);
    }
    // Kept until here.
    drop(std::hint::black_box(heap));
    ExitCode::SUCCESS
}

fn held(canary: &str) -> io::Result<fs::File> {
    let mut file = fs::OpenOptions::new().create(true).truncate(true).write(true).read(true).open("held")?;
    file.write_all(canary.as_bytes())?;
    file.rewind()?;
    fs::remove_file("held")?;
    Ok(file)
}

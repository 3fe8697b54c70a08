//! Other code in the place of the approved program: by the loader's variables, or by another file at its
//! path (`N4`, `N6`).

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::{env, iter};

use envseal_sandbox::Tier;

use super::attack::{Attack, Closed, Miss, Tried, absent, also, from, must, refused};
use super::cell::Cell;
use super::supervise::Options;

const CLOSED: Closed = from(Tier::None);

pub const ATTACKS: &[Attack] = &[
    Attack::inside(
        "preloads-library",
        "LD_PRELOAD of the supervisor: a library in the program's memory",
        CLOSED,
        |args| {
            let maps = fs::read_to_string("/proc/self/maps")?;
            must(maps.contains(args.text("library")?), "the library is not in memory")
        },
    )
    .with(|cell| {
        // One that no program of ours needs.
        let libraries = ["libresolv.so.2", "libutil.so.1", "libz.so.1"];
        let places = ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib"];
        let all =
            libraries.iter().flat_map(|name| places.iter().map(move |place| PathBuf::from(place).join(name)));
        let Some(library) = all.into_iter().find(|path| path.exists()) else {
            return absent("no library to preload");
        };
        let name = library.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        with_variable(cell, "LD_PRELOAD", &library.display().to_string(), &[("library", name)])
    }),
    variable("audits-by-loader", "LD_AUDIT of the supervisor", |cell| {
        with_variable(cell, "LD_AUDIT", "/nonexistent.so", &[("variable", "LD_AUDIT".into())])
    }),
    variable("tunes-the-library", "GLIBC_TUNABLES of the supervisor", |cell| {
        let value = "glibc.malloc.check=1";
        with_variable(cell, "GLIBC_TUNABLES", value, &[("variable", "GLIBC_TUNABLES".into())])
    }),
    variable("sees-undeclared-variable", "any other variable of the supervisor", |cell| {
        with_variable(cell, "ENVSEAL_OTHER", "secret", &[("variable", "ENVSEAL_OTHER".into())])
    }),
    Attack::outside(
        "swaps-program-by-rename",
        "rename(2) of another file over the program that was looked at",
        CLOSED,
        |cell| swap(cell, "rename"),
    ),
    Attack::outside("swaps-program-by-symlink", "a symbolic link in its place", CLOSED, |cell| {
        swap(cell, "symlink")
    }),
    Attack::outside(
        "swaps-directory-of-program",
        "another directory in the place of its own",
        CLOSED,
        |cell| swap(cell, "directory"),
    ),
    Attack::outside("overwrites-program", "other bytes in the same file", CLOSED, |cell| {
        swap(cell, "overwrite")
    }),
    Attack::inside(
        "overwrites-its-own-image",
        "O_PATH of /proc/self/exe, another program, then write",
        from(Tier::Lockdown),
        |args| {
            if args.has("descriptor") {
                let path = format!("/proc/self/fd/{}", args.text("descriptor")?);
                let file = OpenOptions::new().append(true).open(path);
                return Ok(also(file, &[libc::ETXTBSY, libc::EAGAIN])?.write_all(b"!")?);
            }
            // Not before the start has looked for the last time whether somebody opened the file for writing.
            std::io::stdin().read_to_end(&mut Vec::new())?;
            let image = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open("/proc/self/exe")?;
            rustix::io::fcntl_setfd(&image, rustix::io::FdFlags::empty())?;
            let mut next = Command::new(args.text("exe")?);
            next.args(["try", "overwrites-its-own-image"]).arg(format!("descriptor={}", image.as_raw_fd()));
            Err(next.exec().into())
        },
    )
    .with(|cell| {
        let program = cell.room.join("program");
        fs::copy(&cell.stage.exe, &program)?;
        let before = fs::metadata(&program)?.len();
        let exe = cell.stage.exe.display().to_string();
        let mut launched = cell.attacker_as(&program, &[("exe", exe)])?;
        launched.values(&["pid"])?;
        launched.verdict()?;
        must(fs::metadata(&program)?.len() > before, "nothing changed outside")
    }),
];

const fn variable(name: &'static str, tries: &'static str, script: fn(&Cell<'_>) -> Tried) -> Attack {
    Attack::inside(name, tries, CLOSED, |args| {
        must(env::var_os(args.text("variable")?).is_some(), "the program does not have it")
    })
    .with(script)
}

/// The supervisor has the variable, and does not declare it.
fn with_variable(cell: &Cell<'_>, name: &str, value: &str, arguments: &[(&str, String)]) -> Tried {
    let own_env = iter::once((name.to_owned(), value.to_owned())).collect();
    cell.act_with(Options { own_env, ..Options::default() }, arguments)
}

/// Whether the program that was put in another one's place runs. The one that was looked at fails.
fn swap(cell: &Cell<'_>, how: &str) -> Tried {
    let (directory, other) = (cell.room.join("bin"), cell.room.join("other"));
    fs::create_dir(&directory)?;
    let program = directory.join("program");
    fs::copy("/bin/false", &program)?;
    fs::copy("/bin/true", &other)?;
    let options = Options { swap: Some((how.to_owned(), other)), ..Options::default() };
    let mut launched = cell.launch(options, &program, &[])?;
    match launched.verdict() {
        Err(Miss::Fault(why)) if why.starts_with("status 1:") => {
            refused("the program that was looked at ran")
        }
        // The tier is given here, but not to a program that was tampered with.
        Err(Miss::NotGiven(why)) => refused(why),
        other => other,
    }
}

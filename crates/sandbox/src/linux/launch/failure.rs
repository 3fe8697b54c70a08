//! Why a start failed, as bytes: the client gives its caller the error that the launcher saw.

use std::collections::BTreeSet;
use std::io;
use std::sync::Mutex;

use super::codec::{Malformed, Reader, Wiped, Writer, extended};
use super::request::{guarantee, tier};
use crate::StartError;

pub(super) fn encode(error: &StartError) -> Wiped {
    let mut out = Writer::with_room(1024);
    match error {
        StartError::Script { path } => {
            out.byte(1);
            out.text(path);
        }
        StartError::Nul { place } => {
            out.byte(2);
            out.text(place);
        }
        StartError::Variable { name } => {
            out.byte(3);
            out.text(name);
        }
        StartError::Descriptor { number } => {
            out.byte(4);
            out.number(extended(*number));
        }
        StartError::NoTerminal => out.byte(5),
        StartError::NotGiven { tier, missing } => {
            out.byte(6);
            out.byte(*tier as u8);
            out.list(missing, |out, (guarantee, why)| {
                out.byte(*guarantee as u8);
                out.text(why);
            });
        }
        StartError::Exec { path, source } => {
            out.byte(7);
            out.text(path);
            write_source(&mut out, source);
        }
        StartError::Directory { path, source } => {
            out.byte(8);
            out.text(path);
            write_source(&mut out, source);
        }
        StartError::System { step, source } => {
            out.byte(9);
            out.text(step);
            write_source(&mut out, source);
        }
        StartError::Killed => out.byte(10),
        StartError::Launcher { why } => {
            out.byte(11);
            out.text(why);
        }
    }
    out.finish()
}

pub(super) fn decode(body: &[u8]) -> Result<StartError, Malformed> {
    let mut from = Reader::new(body);
    let error = match from.byte()? {
        1 => StartError::Script { path: from.path()? },
        2 => StartError::Nul { place: lasting(from.string()?) },
        3 => StartError::Variable { name: from.text()? },
        4 => StartError::Descriptor { number: from.signed()? },
        5 => StartError::NoTerminal,
        6 => StartError::NotGiven {
            tier: tier(from.byte()?)?,
            missing: from.list(|from| Ok((guarantee(from.byte()?)?, from.string()?)))?,
        },
        7 => StartError::Exec { path: from.path()?, source: read_source(&mut from)? },
        8 => StartError::Directory { path: from.path()?, source: read_source(&mut from)? },
        9 => StartError::System { step: lasting(from.string()?), source: read_source(&mut from)? },
        10 => StartError::Killed,
        11 => StartError::Launcher { why: from.string()? },
        _ => return Err(Malformed("no such failure")),
    };
    from.finish()?;
    Ok(error)
}

fn write_source(out: &mut Writer, source: &io::Error) {
    match source.raw_os_error() {
        Some(errno) => {
            out.byte(0);
            out.number(extended(errno));
        }
        None => {
            out.byte(1);
            out.text(source.to_string());
        }
    }
}

fn read_source(from: &mut Reader<'_>) -> Result<io::Error, Malformed> {
    Ok(if from.flag()? {
        io::Error::other(from.string()?)
    } else {
        io::Error::from_raw_os_error(from.signed()?)
    })
}

/// How many different texts are kept for the life of the process. The launcher has a few dozen.
const TEXTS: usize = 256;

/// The same text with no end of life, made once: a step has the life of the program that names it.
fn lasting(text: String) -> &'static str {
    static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    keep(&mut KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner), text)
}

fn keep(known: &mut BTreeSet<&'static str>, text: String) -> &'static str {
    if let Some(found) = known.get(text.as_str()) {
        return found;
    }
    if known.len() >= TEXTS {
        return "start the program";
    }
    let text: &'static str = Box::leak(text.into_boxed_str());
    known.insert(text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Guarantee, Tier};

    #[test]
    fn every_failure_comes_back_with_its_text_and_its_status() {
        let os = io::Error::from_raw_os_error;
        let all = [
            StartError::Script { path: "/x.sh".into() },
            StartError::Nul { place: "an argument" },
            StartError::Variable { name: "A=B".into() },
            StartError::Descriptor { number: -7 },
            StartError::NoTerminal,
            StartError::NotGiven {
                tier: Tier::Lockdown,
                missing: vec![(Guarantee::L6, "no group".into()), (Guarantee::H1, String::new())],
            },
            StartError::Exec { path: "/bin/x".into(), source: os(libc::ENOENT) },
            StartError::Exec { path: "/bin/x".into(), source: os(libc::ENOEXEC) },
            StartError::Directory { path: "/nowhere".into(), source: os(libc::EACCES) },
            StartError::System { step: "make the outer watcher", source: os(libc::EAGAIN) },
            StartError::System { step: "make the Landlock rules", source: io::Error::other("no rules") },
            StartError::Killed,
            StartError::Launcher { why: "no gid".into() },
        ];
        for error in all {
            let body = encode(&error);
            let again = decode(&body.0).expect("its own form");
            assert_eq!(format!("{again:?}"), format!("{error:?}"));
            assert_eq!(again.to_string(), error.to_string());
            assert_eq!(again.shell_status(), error.shell_status());
            for length in 0..body.0.len() {
                assert!(decode(&body.0[..length]).is_err(), "{error:?} cut at {length}");
            }
        }
    }

    #[test]
    fn texts_are_kept_once_and_not_without_end() {
        let mut known = BTreeSet::new();
        let first = keep(&mut known, "a step".to_owned());
        assert!(std::ptr::eq(first, keep(&mut known, "a step".to_owned())));
        for number in 0..1000 {
            keep(&mut known, format!("{number}"));
        }
        assert_eq!(keep(&mut known, "one more".to_owned()), "start the program");
        assert_eq!(known.len(), TEXTS);
    }
}

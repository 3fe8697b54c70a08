//! A hundred thousand random secrets, forms and chunk borders: none leaks, and nothing else changes.
//!
//! What is expected is made by other means than in the crate: a naive masker with forms of its own (`reference`), and
//! `serde_json`.

mod reference;

use std::sync::atomic::{AtomicU32, Ordering};

use envseal_redact::{Builder, Masker};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reference::{Piece, Reference, base64, contains};

/// Runs a property so many times, and sees to it that it was so many.
fn check<S: Strategy>(cases: u32, strategy: S, property: impl Fn(S::Value)) {
    // The masker calls no system; where a slow emulator runs the tests, a tenth tells whether the build is right.
    let cases = if cfg!(windows) { cases / 10 } else { cases };
    let ran = AtomicU32::new(0);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let done = runner.run(&strategy, |value| {
        ran.fetch_add(1, Ordering::Relaxed);
        property(value);
        Ok(())
    });
    done.unwrap();
    assert!(ran.into_inner() >= cases, "fewer cases than asked for");
}

fn masker(secrets: &[&[u8]]) -> Masker {
    let mut builder = Builder::new();
    for (number, secret) in secrets.iter().enumerate() {
        builder.add(&format!("S{number}"), secret).unwrap();
    }
    Masker::new(builder.build())
}

/// Masks `text` in chunks that end at these places.
fn mask(masker: &mut Masker, text: &[u8], borders: &[usize]) -> Vec<u8> {
    let mut borders: Vec<usize> = borders.iter().map(|border| border % (text.len() + 1)).collect();
    borders.extend([0, text.len()]);
    borders.sort_unstable();
    let mut out = Vec::new();
    borders.windows(2).for_each(|pair| masker.push(&text[pair[0]..pair[1]], &mut out));
    masker.finish(&mut out);
    out
}

fn percent(bytes: &[u8], every: bool, upper: bool, plus: bool) -> Vec<u8> {
    let one = |&byte: &u8| match byte {
        b' ' if plus => "+".to_owned(),
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' if !every => {
            char::from(byte).to_string()
        }
        _ if upper => format!("%{byte:02X}"),
        _ => format!("%{byte:02x}"),
    };
    bytes.iter().map(one).collect::<String>().into_bytes()
}

/// A secret in one of its forms, with what a program may print around it.
fn form(secret: &[u8], which: u8, before: usize) -> Vec<u8> {
    let text = std::str::from_utf8(secret);
    match (which, text) {
        (0, _) => secret.to_vec(),
        (1, _) => secret.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect(),
        (2, _) => secret.iter().flat_map(|byte| format!("{byte:02X}").into_bytes()).collect(),
        (3, _) => secret.iter().rev().copied().collect(),
        (4..8, _) => percent(secret, which & 1 == 0, which & 2 == 0, false),
        (8, _) => percent(secret, false, true, true),
        (9, Ok(text)) => {
            let json = serde_json::to_string(text).unwrap();
            json.as_bytes()[1..json.len() - 1].to_vec()
        }
        (10, Ok(text)) => text.encode_utf16().fold(Vec::new(), |mut out, unit| {
            match unit {
                0x22 => out.extend(b"\\\""),
                0x5c => out.extend(b"\\\\"),
                0x0a => out.extend(b"\\n"),
                0x0d => out.extend(b"\\r"),
                0x09 => out.extend(b"\\t"),
                0x08 => out.extend(b"\\b"),
                0x0c => out.extend(b"\\f"),
                0x20..0x7f => out.push(unit as u8),
                _ => out.extend(format!("\\u{unit:04x}").bytes()),
            }
            out
        }),
        // Within the base 64 of something longer, at each offset.
        _ => {
            let padding = [b"".as_slice(), b"x", b"yz"][before % 3];
            let around = [padding, secret, b"more"].concat();
            base64(&around, which & 1 == 0, which & 2 == 0)
        }
    }
}

/// What is left of a secret in base 64 at an offset, whatever stands around it.
fn base64_core(secret: &[u8], before: usize, url: bool) -> Vec<u8> {
    let before = before % 3;
    let with = |fill: u8| {
        let around = [vec![fill; before], secret.to_vec(), vec![fill; 3]].concat();
        base64(&around, url, false)
    };
    // The characters that do not depend on what is around.
    let (one, other) = (with(0x00), with(0xff));
    one.iter().zip(&other).skip_while(|(a, b)| a != b).take_while(|(a, b)| a == b).map(|(a, _)| *a).collect()
}

fn secret() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[A-Za-z0-9_]{6,24}".prop_map(String::into_bytes),
        "[ -~]{6,24}".prop_map(String::into_bytes),
        "[ -~éß漢😀\"\\\\\n\t/]{6,16}".prop_map(String::into_bytes),
        // What serialisers of JSON treat in different ways.
        "[\u{0}\u{8}\u{c}\n\r\u{7f}\u{2028}<&'=/é]{6,12}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 6..24),
    ]
}

fn borders() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..200_usize, 0..6)
}

#[test]
fn no_form_of_a_secret_leaks_whatever_the_chunks() {
    let around = ("[ -~]{0,20}", "[ -~]{0,20}");
    check(
        60_000,
        (secret(), 0..16_u8, 0..3_usize, around, borders()),
        |(secret, which, before, around, borders)| {
            let printed = form(&secret, which, before);
            let text = [around.0.as_bytes(), &printed, around.1.as_bytes()].concat();
            let out = mask(&mut masker(&[&secret]), &text, &borders);
            let leak = match which {
                11.. => base64_core(&secret, before, which & 1 == 0),
                // A form that needs UTF-8 and has none falls to base 64 as well.
                9 | 10 if std::str::from_utf8(&secret).is_err() => {
                    base64_core(&secret, before, which & 1 == 0)
                }
                _ => printed,
            };
            assert!(
                !contains(&out, &leak),
                "{secret:?} leaks as form {which}: {:?}",
                String::from_utf8_lossy(&out)
            );
        },
    );
}

#[test]
fn lines_of_a_secret_are_masked_one_by_one() {
    let lines = prop::collection::vec("[!-~]{8,20}", 2..5);
    check(10_000, (lines, any::<bool>(), borders()), |(lines, crlf, borders)| {
        let secret = lines.join(if crlf { "\r\n" } else { "\n" });
        for line in &lines {
            let text = format!("  {line}  ");
            let out = mask(&mut masker(&[secret.as_bytes()]), text.as_bytes(), &borders);
            assert!(!contains(&out, line.as_bytes()), "{line:?} leaks");
        }
        let printed = lines.join("\r\n");
        let out = mask(&mut masker(&[secret.as_bytes()]), printed.as_bytes(), &borders);
        assert_eq!(String::from_utf8(out).unwrap(), "[envseal:S0]");
    });
}

/// Secrets of few letters, which overlap and begin alike, and a text of pieces of them.
fn alike() -> impl Strategy<Value = (Vec<String>, Vec<u8>)> {
    let pieces = prop::collection::vec((0..3_usize, 0..20_usize, 0..20_usize), 0..12);
    let secrets = prop_oneof![
        prop::collection::vec("[ab]{4,12}", 3),
        prop::collection::vec("a{2,6}[ab]{2,20}", 3),
        prop::collection::vec("[ab\n]{4,24}", 3),
    ];
    (secrets, pieces).prop_map(|(secrets, pieces)| {
        let piece = |(which, from, to): (usize, usize, usize)| {
            let secret: &String = &secrets[which];
            let (from, to) = (from % secret.len(), to % (secret.len() + 1));
            secret.get(from..to).unwrap_or(secret).as_bytes().to_vec()
        };
        let text = pieces.into_iter().flat_map(piece).collect();
        (secrets, text)
    })
}

/// What a masker gives must be what the naive one gives, however it is cut into chunks, and show no form.
fn agrees_with_the_reference(secrets: &[&[u8]], text: &[u8], chunkings: &[&[usize]]) {
    let reference = Reference::new(secrets);
    let pieces = reference.pieces(text);
    let expected = reference::masked(&pieces);
    for borders in chunkings {
        let out = mask(&mut masker(secrets), text, borders);
        assert_eq!(out, expected, "{:?} in place of {:?}", text::of(&out), text::of(&expected));
    }
    for piece in pieces {
        match piece {
            Piece::Passed(text) => assert!(!reference.shows(&text), "{:?} leaks", text::of(&text)),
            Piece::Masked { mark, .. } => assert!(!reference.shows(mark.as_bytes()), "{mark} leaks"),
        }
    }
}

mod text {
    pub fn of(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }
}

#[test]
fn every_form_is_masked_as_the_naive_masker_does() {
    let others = (0..100_usize, "[ -~]{0,12}", 0..100_usize);
    check(
        25_000,
        (secret(), secret(), others, borders()),
        |(one, two, (first, between, second), borders)| {
            let pick = |secret: &[u8], number: usize| {
                let forms = reference::forms(secret);
                // Spread over the kinds of forms, of which most are JSON's.
                forms[number * number % forms.len()].clone()
            };
            let text = [&pick(&one, first), between.as_bytes(), &pick(&two, second), b"=", &one].concat();
            agrees_with_the_reference(&[&one, &two], &text, &[&borders]);
        },
    );
}

#[test]
fn secrets_that_overlap_are_masked_as_the_naive_masker_does_whatever_the_chunks() {
    check(30_000, (alike(), borders()), |((secrets, text), borders)| {
        let secrets: Vec<&[u8]> = secrets.iter().map(String::as_bytes).collect();
        let every: Vec<usize> = (0..text.len()).collect();
        agrees_with_the_reference(&secrets, &text, &[&[], &borders, &every]);
    });
}

#[test]
fn only_the_beginning_of_a_form_is_held_back() {
    check(5_000, alike(), |(secrets, text)| {
        let secrets: Vec<&[u8]> = secrets.iter().map(String::as_bytes).collect();
        let (reference, mut masker) = (Reference::new(&secrets), masker(&secrets));
        for at in 0..text.len() {
            masker.push(&text[at..=at], &mut Vec::new());
            let held = &text[at + 1 - masker.held()..=at];
            assert!(held.is_empty() || reference.is_beginning(held), "{:?} is held", text::of(held));
        }
    });
}

#[test]
fn releases_show_less_than_half_of_a_form_and_change_nothing_else() {
    let releases = prop::collection::vec(any::<bool>(), 200);
    check(30_000, (alike(), borders(), releases), |((secrets, text), borders, releases)| {
        let secrets: Vec<&[u8]> = secrets.iter().map(String::as_bytes).collect();
        let mut borders: Vec<usize> = borders.iter().map(|border| border % (text.len() + 1)).collect();
        borders.extend([0, text.len()]);
        borders.sort_unstable();
        let (mut masker, mut out) = (masker(&secrets), Vec::new());
        for (pair, release) in borders.windows(2).zip(releases) {
            masker.push(&text[pair[0]..pair[1]], &mut out);
            if release {
                masker.release(&mut out);
            }
        }
        masker.finish(&mut out);
        let pieces = Reference::new(&secrets).pieces(&text);
        assert!(reference::is_masked_with_releases(&pieces, &out), "{:?}", text::of(&out));
    });
}

#[test]
fn output_without_a_secret_passes_byte_for_byte() {
    let bytes = prop::collection::vec(any::<u8>(), 0..300);
    // Bytes of the text are below 0x80; those of the secret, and of its forms but for letters and digits, are not in it.
    check(20_000, (bytes, borders()), |(bytes, borders)| {
        let text: Vec<u8> = bytes.iter().map(|byte| b" !\n\t,;<>()"[usize::from(byte % 10)]).collect();
        let mut masker = masker(&[b"SecretValue_one", b"another-secret-value"]);
        let out = mask(&mut masker, &text, &borders);
        assert_eq!(out, text);
        assert_eq!(masker.replaced(), 0);
    });
}

#[test]
fn a_release_between_chunks_shows_less_than_half_of_a_form() {
    check(10_000, ("[a-z0-9]{8,24}", borders()), |(secret, borders)| {
        let mut masker = masker(&[secret.as_bytes()]);
        let mut borders: Vec<usize> = borders.iter().map(|border| border % secret.len()).collect();
        borders.extend([0, secret.len()]);
        borders.sort_unstable();
        let mut out = Vec::new();
        for pair in borders.windows(2) {
            masker.push(&secret.as_bytes()[pair[0]..pair[1]], &mut out);
            masker.release(&mut out);
        }
        masker.finish(&mut out);
        let out = String::from_utf8(out).unwrap();
        let shown = out.strip_suffix("[envseal:S0]").unwrap_or_else(|| panic!("not masked: {out}"));
        assert!(secret.starts_with(shown) && shown.len() * 2 < secret.len(), "{shown} of {secret}");
    });
}

//! The masker under arbitrary secrets, text, chunk borders and releases, beside the naive masker of its property tests:
//! no panic, no leak, nothing else changed, and the chunks do not matter.

#![no_main]

#[path = "../../crates/redact/tests/reference/mod.rs"]
#[allow(dead_code, reason = "the property tests use more of it")]
mod reference;

use envseal_redact::{Builder, Masker, Patterns};
use libfuzzer_sys::fuzz_target;
use reference::{Piece, Reference};

/// Longer ones would only make the naive masker slow.
const LONGEST_SECRET: usize = 80;
const LONGEST_TEXT: usize = 600;

/// Masks in chunks of sizes that repeat; `release` says after which chunks to let out what is held.
fn mask(patterns: &Patterns, mut text: &[u8], sizes: &[u8], release: u8) -> Vec<u8> {
    let mut masker = Masker::new(patterns.clone());
    let mut out = Vec::new();
    for (turn, size) in sizes.iter().cycle().enumerate() {
        if text.is_empty() {
            break;
        }
        let (chunk, rest) = text.split_at(text.len().min(usize::from(*size) + 1));
        masker.push(chunk, &mut out);
        assert!(masker.held() < patterns.longest().max(1));
        if release >> (turn % 8) & 1 == 1 {
            masker.release(&mut out);
        }
        text = rest;
    }
    masker.finish(&mut out);
    assert_eq!(masker.held(), 0);
    out
}

// Two lengths, chunk sizes and releases, then two secrets, then the text, in which bytes from 0xf0 on stand for forms.
fuzz_target!(|data: &[u8]| {
    let [first, second, one, two, three, release, rest @ ..] = data else { return };
    let (first, rest) = rest.split_at(rest.len().min(usize::from(*first) % LONGEST_SECRET));
    let (second, rest) = rest.split_at(rest.len().min(usize::from(*second) % LONGEST_SECRET));
    let secrets: Vec<&[u8]> = [first, second].into_iter().filter(|secret| secret.len() >= 4).collect();
    let forms: Vec<Vec<u8>> = secrets.iter().flat_map(|secret| reference::forms(secret)).collect();

    let mut text = Vec::new();
    let mut rest = rest.iter();
    while let Some(&byte) = rest.next()
        && text.len() < LONGEST_TEXT
    {
        let picked = rest.as_slice().first().filter(|_| byte >= 0xf0).and_then(|number| {
            let form = forms.get(usize::from(*number) % forms.len().max(1))?;
            // Whole, or the first so many sixteenths of it.
            Some(&form[..form.len() - form.len() * usize::from(byte & 15) / 16])
        });
        match picked {
            Some(form) => {
                rest.next();
                text.extend_from_slice(form);
            }
            None => text.push(byte),
        }
    }

    let mut builder = Builder::new();
    for (number, secret) in secrets.iter().enumerate() {
        builder.add(&format!("S{number}"), secret).expect("four bytes are enough");
    }
    let patterns = builder.build();
    let reference = Reference::new(&secrets);
    let pieces = reference.pieces(&text);
    let expected = reference::masked(&pieces);
    assert_eq!(mask(&patterns, &text, &[255], 0), expected);
    assert_eq!(mask(&patterns, &text, &[*one, *two, *three], 0), expected);
    let released = mask(&patterns, &text, &[*one, *two, *three], *release);
    assert!(reference::is_masked_with_releases(&pieces, &released));
    for piece in pieces {
        match piece {
            Piece::Passed(text) => assert!(!reference.shows(&text), "a form passed"),
            Piece::Masked { mark, .. } => assert!(!reference.shows(mark.as_bytes()), "a mark shows a form"),
        }
    }
});

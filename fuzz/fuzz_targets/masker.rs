//! The masker under arbitrary secrets, text, chunk borders and releases: no panic, no leak, and the chunks do not
//! matter.

#![no_main]

use envseal_redact::{Builder, Masker, Patterns};
use libfuzzer_sys::fuzz_target;

fn mask(patterns: &Patterns, text: &[u8], size: usize, release: bool) -> Vec<u8> {
    let mut masker = Masker::new(patterns.clone());
    let mut out = Vec::new();
    for chunk in text.chunks(size.max(1)) {
        masker.push(chunk, &mut out);
        assert!(masker.held() <= text.len());
        if release {
            masker.release(&mut out);
        }
    }
    masker.finish(&mut out);
    assert_eq!(masker.held(), 0);
    out
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

// Two lengths and a chunk size, then two secrets, then the text.
fuzz_target!(|data: &[u8]| {
    let [first, second, size, rest @ ..] = data else { return };
    let (first, rest) = rest.split_at(rest.len().min(usize::from(*first)));
    let (second, text) = rest.split_at(rest.len().min(usize::from(*second)));
    let secrets: Vec<&[u8]> = [first, second].into_iter().filter(|secret| secret.len() >= 4).collect();
    let mut builder = Builder::new();
    for secret in &secrets {
        builder.add("S", secret).expect("four bytes are enough");
    }
    let patterns = builder.build();
    let whole = mask(&patterns, text, text.len(), false);
    assert_eq!(mask(&patterns, text, usize::from(*size), false), whole);
    mask(&patterns, text, usize::from(*size), true);
    // A secret that looks like a piece of the mark, or that comes together from what stands around a mark, is beyond
    // what a replacement can promise.
    for secret in secrets {
        let plain = !secret.iter().any(|byte| b"[envseal:S]".contains(byte));
        assert!(!plain || !contains(&whole, secret), "a secret passed");
    }
});

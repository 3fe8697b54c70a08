//! The stream, case by case.

use super::*;
use crate::Builder;

fn masker(secrets: &[(&str, &[u8])]) -> Masker {
    let mut builder = Builder::new();
    for (name, value) in secrets {
        builder.add(name, value).unwrap();
    }
    Masker::new(builder.build())
}

fn mask(secrets: &[(&str, &[u8])], chunks: &[&[u8]]) -> String {
    let mut masker = masker(secrets);
    let mut out = Vec::new();
    chunks.iter().for_each(|chunk| masker.push(chunk, &mut out));
    masker.finish(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_secret_is_replaced_wherever_the_chunks_end() {
    let text = b"before hunter2-long after hunter2-lon";
    for first in 0..text.len() {
        let (one, two) = text.split_at(first);
        assert_eq!(mask(&[("PW", b"hunter2-long")], &[one, two]), "before [envseal:PW] after hunter2-lon");
    }
}

#[test]
fn the_longest_secret_that_begins_first_is_replaced() {
    let secrets: [(&str, &[u8]); 3] = [("A", b"abcd"), ("B", b"abcdefgh"), ("C", b"cdefghijkl")];
    assert_eq!(mask(&secrets, &[b"abcdefghijkl"]), "[envseal:B]ijkl");
    assert_eq!(mask(&secrets, &[b"abcdefg"]), "[envseal:A]efg");
    assert_eq!(mask(&secrets, &[b"xcdefghijkl"]), "x[envseal:C]");
}

#[test]
fn only_a_possible_beginning_is_held_back() {
    let mut masker = masker(&[("PW", b"hunter2-long")]);
    let mut out = Vec::new();
    masker.push(b"text hunt", &mut out);
    assert_eq!((out.as_slice(), masker.held()), (b"text ".as_slice(), 4));
    masker.push(b"ing!", &mut out);
    assert_eq!((out.as_slice(), masker.held()), (b"text hunting!".as_slice(), 0));
}

#[test]
fn what_is_let_out_by_time_is_little_and_once() {
    let mut masker = masker(&[("PW", b"hunter2-long")]);
    let mut out = Vec::new();
    for byte in b"hunter2-long." {
        masker.push(&[*byte], &mut out);
        masker.release(&mut out);
    }
    assert_eq!(String::from_utf8(out).unwrap(), "h[envseal:PW].");
    let mut out = Vec::new();
    masker.push(b"hunter2", &mut out);
    masker.release(&mut out);
    assert_eq!((out.as_slice(), masker.held()), (b"".as_slice(), 7));
    masker.finish(&mut out);
    assert_eq!(out, b"hunter2");
}

#[test]
fn a_long_secret_is_followed_to_its_end_with_little_held_back() {
    let value: Vec<u8> =
        (0..100_000_u32).map(|n| b'a' + (n.wrapping_mul(2_654_435_761) >> 28) as u8).collect();
    let mut masker = masker(&[("LONG", &value)]);
    let mut out = Vec::new();
    for chunk in value.chunks(7) {
        masker.push(chunk, &mut out);
        assert!(masker.held() <= crate::pattern::HEAD);
    }
    masker.push(b" end", &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), "[envseal:LONG] end");
    // Cut short, and then something else.
    assert_eq!(mask(&[("LONG", &value)], &[&value[..50_000], b"ZZZ"]), "[envseal:LONG]ZZZ");
}

#[test]
fn a_secret_of_one_repeated_byte_does_not_take_for_ever() {
    let value = vec![b'a'; 1 << 20];
    let mut masker = masker(&[("A", &value)]);
    let mut out = Vec::new();
    for _ in 0..64 {
        masker.push(&[b'a'; 64 << 10], &mut out);
    }
    masker.push(&[b'a'; 5_000], &mut out);
    masker.finish(&mut out);
    assert!(out.starts_with(b"[envseal:A][envseal:A][envseal:A][envseal:A]"));
}

#[test]
fn without_secrets_everything_passes() {
    assert_eq!(mask(&[], &[b"any", b"thing"]), "anything");
}

/// What is let out by time after each of these chunks, without what was decided.
fn released(secrets: &[(&str, &[u8])], chunks: &[&[u8]]) -> Vec<String> {
    let mut masker = masker(secrets);
    let release = |chunk: &&[u8]| {
        masker.push(chunk, &mut Vec::new());
        let mut out = Vec::new();
        masker.release(&mut out);
        String::from_utf8(out).unwrap()
    };
    chunks.iter().map(release).collect()
}

#[test]
fn a_whole_secret_is_not_let_out_because_a_longer_one_may_follow() {
    let secrets: [(&str, &[u8]); 2] = [("A", b"abcd"), ("B", b"abcdefghijklmnop")];
    assert_eq!(released(&secrets, &[b"abcde"]), [""]);
    let secrets: [(&str, &[u8]); 2] = [("A", b"abcd"), ("B", b"xxabcdefghijklmnop")];
    assert_eq!(released(&secrets, &[b"xxabcde"]), [""]);
}

#[test]
fn half_of_a_shorter_secret_is_not_let_out_because_a_longer_one_began_before() {
    let secrets: [(&str, &[u8]); 2] = [("A", b"abcdef"), ("B", b"xxxxabcxxxxxxxxxxx")];
    assert_eq!(released(&secrets, &[b"xxxxab"]), ["xxxxab"]);
    assert_eq!(released(&secrets, &[b"xxxxabc"]), [""]);
}

#[test]
fn a_long_beginning_of_a_long_secret_is_not_let_out() {
    let secret: [(&str, &[u8]); 1] =
        [("JWT", b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.SflKxwRJSMeKKF2QT4fw")];
    assert_eq!(released(&secret, &[b"eyJhbGciOiJIUzI1"]), ["eyJhbGciOiJIUzI1"]);
    assert_eq!(released(&secret, &[b"eyJhbGciOiJIUzI1N"]), [""]);
}

#[test]
fn what_follows_a_beginning_that_was_let_out_waits_until_it_is_decided() {
    let secret: [(&str, &[u8]); 1] = [("PW", b"hunter2-long")];
    assert_eq!(released(&secret, &[b"hu", b"n", b"t", b"X", b"h"]), ["hu", "", "", "", "h"]);
    let mut masker = masker(&secret);
    let mut out = Vec::new();
    masker.push(b"hu", &mut out);
    masker.release(&mut out);
    masker.push(b"nthu", &mut out);
    assert_eq!((out.as_slice(), masker.held()), (b"hunt".as_slice(), 2));
    masker.push(b"nter2-long", &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), "hunt[envseal:PW]");
}

#[test]
fn a_mark_does_not_show_a_secret() {
    assert_eq!(mask(&[("admin", b"admin")], &[b"x admin y"]), "x [envseal] y");
    assert_eq!(mask(&[("PW", b"hunter2-long"), ("B", b"seal")], &[b"hunter2-long seal"]), "*** ***");
}

#[test]
fn a_line_ending_at_the_end_of_a_value_may_be_missing_in_every_form() {
    // printf hunter2 | base64
    assert_eq!(
        mask(&[("PW", b"hunter2\n")], &[b"hunter2, aHVudGVyMg==, 68756e7465723"]),
        "[envseal:PW], [envseal:PW], 68756e7465723"
    );
}

#[test]
fn of_two_secrets_with_a_form_in_common_the_first_added_gives_the_name() {
    assert_eq!(mask(&[("A", b"abcdef"), ("B", b"fedcba")], &[b"abcdef fedcba"]), "[envseal:A] [envseal:A]");
}

#[test]
fn long_secrets_that_begin_alike_are_each_followed_to_the_end() {
    let [one, two] = [b'1', b'2'].map(|end| [vec![b'x'; 10_000], vec![end; 5_000]].concat());
    let text = [two.as_slice(), b" and ", &one].concat();
    assert_eq!(mask(&[("ONE", &one), ("TWO", &two)], &[&text]), "[envseal:ONE] and [envseal:ONE]");
}

#[test]
fn a_stream_that_always_nearly_matches_takes_linear_time() {
    // Every place of it begins a possible match of thousands of bytes: about 10 MB/s, whatever the secret's size.
    let text = [vec![b'a'; 4_095], vec![b'b']].concat().repeat(64);
    let started = std::time::Instant::now();
    assert_eq!(mask(&[("A", &[b'a'; 1 << 20])], &[&text]).len(), text.len());
    assert!(started.elapsed().as_secs() < 10);
}

#[test]
fn a_value_of_many_lines_is_prepared_quickly() {
    let value: String = (0..100_000).map(|n| format!("{n:09}\n")).collect();
    let started = std::time::Instant::now();
    let text = "line 000012345, whole: ".to_owned() + &value;
    assert_eq!(mask(&[("L", value.as_bytes())], &[text.as_bytes()]), "line [envseal:L], whole: [envseal:L]");
    assert!(started.elapsed().as_secs() < 10);
}

//! The forms in which programs print a value.
//!
//! A form is encoded block by block, from any block on: of a long one only the beginning is kept, and the rest is
//! encoded again when it has to be compared. So a value of a megabyte costs one megabyte, not one a form.

mod base64;
mod json;
mod percent;

use std::fmt::Debug;

use zeroize::Zeroizing;

/// The most bytes that one block of a value becomes: six a byte, as JSON writes control characters.
pub(crate) const BLOCK_OUT: usize = 6 * (BLOCK + LONGEST_CHARACTER);

/// Bytes of a value that are encoded at a time, or a little more or less, where an encoding needs it.
const BLOCK: usize = 912;

const LONGEST_CHARACTER: usize = 4;

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// One way of writing a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Raw,
    Reversed,
    Newlines(Newlines),
    Hex { upper: bool },
    Base64(base64::Style),
    Percent(percent::Style),
    Json(json::Style),
}

/// What stands between the lines of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Newlines {
    /// LF, whatever the value has.
    Lf,
    /// CR LF, whatever the value has.
    CrLf,
    /// A CR before every LF, as a terminal writes it (termios(3), ONLCR).
    Terminal,
}

/// The forms of a value. Some may be equal to others.
pub(crate) fn of(value: &[u8]) -> Vec<Form> {
    let mut forms = vec![Form::Raw, Form::Reversed, Form::Hex { upper: false }, Form::Hex { upper: true }];
    if value.contains(&b'\n') {
        forms.extend([Newlines::Lf, Newlines::CrLf, Newlines::Terminal].map(Form::Newlines));
    }
    forms.extend(base64::styles(value.len()).map(Form::Base64));
    let bytes = alphabet(value.iter().copied());
    forms.extend(different(percent::styles().map(Form::Percent), &bytes));
    if let Ok(text) = std::str::from_utf8(value) {
        let mut letters = Zeroizing::new(vec![0; text.len()]);
        let mut length = 0;
        for letter in alphabet(text.chars()).iter() {
            length += letter.encode_utf8(&mut letters[length..]).len();
        }
        forms.extend(different(json::styles().map(Form::Json), &letters[..length]));
    }
    forms
}

impl Form {
    /// Appends the encoding of the block of `value` that begins at `at`, at most [`BLOCK_OUT`] bytes; gives where the
    /// next one begins.
    pub(crate) fn encode(self, value: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
        let end = value.len().min(at + BLOCK);
        match self {
            Self::Raw => out.extend_from_slice(&value[at..end]),
            Self::Reversed => out.extend(value[value.len() - end..value.len() - at].iter().rev()),
            Self::Newlines(newlines) => {
                for (place, &byte) in (at..end).zip(&value[at..end]) {
                    match (newlines, byte) {
                        (Newlines::Lf | Newlines::CrLf, b'\r') if value.get(place + 1) == Some(&b'\n') => {}
                        (Newlines::CrLf | Newlines::Terminal, b'\n') => out.extend_from_slice(b"\r\n"),
                        _ => out.push(byte),
                    }
                }
            }
            Self::Hex { upper } => {
                value[at..end].iter().for_each(|&byte| out.extend_from_slice(&hex(byte, upper)));
            }
            Self::Base64(style) => return style.encode(value, at, out),
            Self::Percent(style) => value[at..end].iter().for_each(|&byte| style.encode(byte, out)),
            Self::Json(style) => {
                let boundary = (end..value.len()).find(|at| value[*at] & 0xc0 != 0x80);
                let end = boundary.unwrap_or(value.len());
                let text = std::str::from_utf8(&value[at..end]);
                text.unwrap_or_default().chars().for_each(|c| style.encode(c, out));
                return end;
            }
        }
        end
    }
}

/// The two digits of a byte.
fn hex(byte: u8, upper: bool) -> [u8; 2] {
    let digits = if upper { UPPER } else { LOWER };
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]
}

/// Each letter that occurs, once.
fn alphabet<T: Copy + Ord + zeroize::DefaultIsZeroes>(letters: impl Iterator<Item = T>) -> Zeroizing<Vec<T>> {
    let mut alphabet: Zeroizing<Vec<T>> = Zeroizing::new(Vec::with_capacity(512));
    for letter in letters {
        // Sorted whenever the room runs out, so that a long value needs no more of it than it has letters.
        if alphabet.len() == alphabet.capacity() {
            alphabet.sort_unstable();
            alphabet.dedup();
            if alphabet.len() * 2 > alphabet.capacity() {
                let mut larger = Zeroizing::new(Vec::with_capacity(alphabet.capacity() * 4));
                larger.extend_from_slice(&alphabet);
                alphabet = larger;
            }
        }
        alphabet.push(letter);
    }
    alphabet.sort_unstable();
    alphabet.dedup();
    alphabet
}

/// Of forms that write letter by letter, those that write some letter of the alphabet in another way than the value
/// itself and than the forms before.
fn different(forms: impl Iterator<Item = Form>, alphabet: &[u8]) -> Vec<Form> {
    let mut known = vec![Zeroizing::new(alphabet.to_vec())];
    let new = |form: &Form| {
        let mut written = Zeroizing::new(Vec::with_capacity(6 * alphabet.len()));
        let mut at = 0;
        while at < alphabet.len() {
            at = form.encode(alphabet, at, &mut written);
        }
        let new = !known.contains(&written);
        known.extend(new.then_some(written));
        new
    };
    forms.filter(new).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A form as a whole.
    pub(crate) fn whole(form: Form, value: &[u8]) -> Vec<u8> {
        let (mut at, mut out) = (0, Vec::new());
        while at < value.len() {
            let before = out.len();
            at = form.encode(value, at, &mut out);
            assert!(out.len() - before <= BLOCK_OUT);
        }
        out
    }

    fn has(value: &[u8], form: &str) {
        let shown: Vec<_> = of(value).into_iter().map(|form| whole(form, value)).collect();
        let text: Vec<_> = shown.iter().map(|form| String::from_utf8_lossy(form)).collect();
        assert!(shown.iter().any(|known| known == form.as_bytes()), "{form:?} is not in {text:#?}");
    }

    #[test]
    fn each_encoding_is_the_one_that_tools_print() {
        // By xxd, rev, stty onlcr.
        has(b"hunter2 pass", "hunter2 pass");
        has(b"hunter2 pass", "68756e746572322070617373");
        has(b"hunter2 pass", "68756E746572322070617373");
        has(b"abcd", "dcba");
        has(b"first-line\nsecond-line\n", "first-line\r\nsecond-line\r\n");
        has(b"first-line\r\nsecond-line", "first-line\nsecond-line");
        has(b"first-line\r\nsecond-line", "first-line\r\r\nsecond-line");
    }

    #[test]
    fn percent_and_json_are_as_libraries_write_them() {
        // By python's urllib and json, node, go, php, gson.
        has(b"a b/c&d", "a%20b%2Fc%26d");
        has(b"a b/c&d", "a+b%2fc%26d");
        has(b"a b/c&d", "a%20b/c%26d");
        has(b"abcd", "%61%62%63%64");
        has("é\"\\\n\u{1}😀".as_bytes(), "\\u00e9\\\"\\\\\\n\\u0001\\ud83d\\ude00");
        has("é\"/".as_bytes(), "é\\\"\\/");
        has("é\u{8}/".as_bytes(), "\\u00E9\\u0008/");
        has("a<b>&c".as_bytes(), "a\\u003cb\\u003e\\u0026c");
        has("it's=".as_bytes(), "it\\u0027s\\u003d");
        has("é\u{7f}xx".as_bytes(), "\\u00e9\u{7f}xx");
    }

    #[test]
    fn a_form_that_writes_the_value_as_it_is_stands_once() {
        let forms = of(b"OnlyLettersAndDigits123");
        assert!(!forms.iter().any(|form| matches!(form, Form::Json(_))), "{forms:?}");
        // Every byte encoded, in either case.
        assert_eq!(forms.iter().filter(|form| matches!(form, Form::Percent(_))).count(), 2, "{forms:?}");
    }

    #[test]
    fn blocks_do_not_show_in_a_long_form() {
        let text: String = ('\0'..'\u{3000}').chain('\u{1f600}'..'\u{1f640}').collect();
        let json = Form::Json(json::styles().next().unwrap());
        assert_eq!(
            whole(json, text.as_bytes()),
            text.chars().fold(Vec::new(), |mut out, c| {
                json::styles().next().unwrap().encode(c, &mut out);
                out
            })
        );
        let reversed: Vec<u8> = text.bytes().rev().collect();
        assert_eq!(whole(Form::Reversed, text.as_bytes()), reversed);
        let lines = "0123456789\r\n".repeat(1000);
        assert_eq!(
            whole(Form::Newlines(Newlines::Lf), lines.as_bytes()),
            "0123456789\n".repeat(1000).as_bytes()
        );
    }
}

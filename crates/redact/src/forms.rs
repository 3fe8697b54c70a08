//! The forms in which programs print a value.

use std::fmt::Write as _;

use zeroize::Zeroizing;

/// The shortest line of a value of several lines that is looked for on its own: shorter ones stand in any text.
const SHORTEST_LINE: usize = 8;

/// The shortest form that is looked for.
pub(crate) const SHORTEST: usize = 4;

type Form = Zeroizing<Vec<u8>>;

/// Every form of a value, each once. Forms shorter than [`SHORTEST`] are left out.
pub(crate) fn of(value: &[u8]) -> Vec<Form> {
    let mut forms = Vec::new();
    let mut add = |form: Vec<u8>| {
        let form = Zeroizing::new(form);
        if form.len() >= SHORTEST && !forms.contains(&form) {
            forms.push(form);
        }
    };
    add(value.to_vec());
    lines(value, &mut add);
    base64(value, &mut add);
    hexadecimal(value, &mut add);
    percent(value, &mut add);
    if let Ok(text) = std::str::from_utf8(value) {
        json(text, &mut add);
    }
    add(value.iter().rev().copied().collect());
    forms
}

/// The value as a terminal writes it, with CR before LF, and each of its lines.
fn lines(value: &[u8], add: &mut impl FnMut(Vec<u8>)) {
    let lines: Vec<&[u8]> =
        value.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    if lines.len() < 2 {
        return;
    }
    add(lines.join(b"\r\n".as_slice()));
    add(lines.join(b"\n".as_slice()));
    lines.into_iter().filter(|line| line.len() >= SHORTEST_LINE).for_each(|line| add(line.to_vec()));
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// RFC 4648, sections 4 and 5, with 0, 1 or 2 bytes of something else in front: the characters that the value alone
/// decides, and those at the end of a text, where the last character is filled up with zeros.
fn base64(value: &[u8], add: &mut impl FnMut(Vec<u8>)) {
    for alphabet in [STANDARD, URL] {
        for before in 0..3_usize {
            let bits = |at: usize| -> u8 {
                // Bit `at` of the stream; bytes in front and after the value count as zero.
                let byte =
                    (at / 8).checked_sub(before).and_then(|byte| value.get(byte)).copied().unwrap_or(0);
                byte >> (7 - at % 8) & 1
            };
            let character = |index: usize| {
                let value =
                    (0..6).fold(0_usize, |value, bit| value << 1 | usize::from(bits(index * 6 + bit)));
                alphabet[value]
            };
            let (start, end) = ((before * 8).div_ceil(6), (before + value.len()) * 8);
            let decided: Vec<u8> = (start..end / 6).map(character).collect();
            if end % 6 != 0 {
                let mut ended = Zeroizing::new(decided.clone());
                ended.push(character(end / 6));
                add(ended.to_vec());
                let padding = if end % 6 == 2 { 2 } else { 1 };
                ended.extend(std::iter::repeat_n(b'=', padding));
                add(ended.to_vec());
            }
            add(decided);
        }
    }
}

fn hexadecimal(value: &[u8], add: &mut impl FnMut(Vec<u8>)) {
    for digits in [b"0123456789abcdef", b"0123456789ABCDEF"] {
        add(value
            .iter()
            .flat_map(|byte| [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]])
            .collect());
    }
}

/// RFC 3986, section 2.1: what libraries leave as it is differs, so each usual choice is made.
fn percent(value: &[u8], add: &mut impl FnMut(Vec<u8>)) {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    // encodeURIComponent (ECMA-262) and encodeURI leave more.
    let component = |byte: u8| unreserved(byte) || b"!*'()".contains(&byte);
    let uri = |byte: u8| component(byte) || b";/?:@&=+$,#".contains(&byte);
    let path = |byte: u8| unreserved(byte) || byte == b'/';
    let form = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte);
    let none = |_: u8| false;
    let kept: [&dyn Fn(u8) -> bool; 6] = [&unreserved, &component, &uri, &path, &form, &none];
    for kept in kept {
        for digits in [b"0123456789ABCDEF", b"0123456789abcdef"] {
            for plus in [false, true] {
                let mut text = Vec::with_capacity(value.len() * 3);
                for &byte in value {
                    match byte {
                        b' ' if plus => text.push(b'+'),
                        byte if kept(byte) => text.push(byte),
                        byte => text.extend([
                            b'%',
                            digits[usize::from(byte >> 4)],
                            digits[usize::from(byte & 15)],
                        ]),
                    }
                }
                add(text);
            }
        }
    }
}

/// RFC 8259, section 7, as the usual serialisers write it.
fn json(text: &str, add: &mut impl FnMut(Vec<u8>)) {
    for ascii in [false, true] {
        for slash in [false, true] {
            for short in [false, true] {
                for upper in [false, true] {
                    // Some serialisers write these for HTML's sake (Go, Rails).
                    for html in [false, true] {
                        add(json_form(text, &JsonStyle { ascii, slash, short, upper, html }).into_bytes());
                    }
                }
            }
        }
    }
}

struct JsonStyle {
    ascii: bool,
    slash: bool,
    short: bool,
    upper: bool,
    html: bool,
}

fn json_form(text: &str, style: &JsonStyle) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let unit = |out: &mut String, unit: u16| {
        let _ = if style.upper { write!(out, "\\u{unit:04X}") } else { write!(out, "\\u{unit:04x}") };
    };
    for c in text.chars() {
        let short = match c {
            '\n' => Some('n'),
            '\r' => Some('r'),
            '\t' => Some('t'),
            '\u{8}' => Some('b'),
            '\u{c}' => Some('f'),
            _ => None,
        };
        match (c, short) {
            ('"' | '\\', _) => out.extend(['\\', c]),
            ('/', _) if style.slash => out.push_str("\\/"),
            (_, Some(letter)) if style.short => out.extend(['\\', letter]),
            _ if c < ' ' => unit(&mut out, c as u16),
            ('<' | '>' | '&', _) if style.html => unit(&mut out, c as u16),
            ('\u{7f}'.., _) if style.ascii => {
                c.encode_utf16(&mut [0; 2]).iter().for_each(|&u| unit(&mut out, u))
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(value: &[u8], form: &str) {
        let forms = of(value);
        let shown: Vec<_> = forms.iter().map(|form| String::from_utf8_lossy(form).into_owned()).collect();
        assert!(shown.iter().any(|known| known == form), "{form:?} is not in {shown:#?}");
    }

    #[test]
    fn each_encoding_is_the_one_that_tools_print() {
        // By base64(1), python's urllib and json, xxd.
        has(b"hunter2 pass", "aHVudGVyMiBwYXNz");
        has(b"hunter2 pas", "aHVudGVyMiBwYXM=");
        has(b"hunter2 pas", "aHVudGVyMiBwYXM");
        has(b"hunter2 pa", "aHVudGVyMiBwYQ==");
        has(b"??>>??>>", "Pz8-Pj8_Pj4");
        has(b"hunter2 pass", "68756e746572322070617373");
        has(b"hunter2 pass", "68756E746572322070617373");
        has(b"a b/c&d", "a%20b%2Fc%26d");
        has(b"a b/c&d", "a+b%2fc%26d");
        has(b"a b/c&d", "a%20b/c%26d");
        has(b"abcd", "%61%62%63%64");
        has("é\"\\\n\u{1}😀".as_bytes(), "\\u00e9\\\"\\\\\\n\\u0001\\ud83d\\ude00");
        has("é\"/".as_bytes(), "é\\\"\\/");
        has(b"abcd", "dcba");
        has(b"first-line\nsecond-line\n", "first-line\r\nsecond-line\r\n");
        has(b"first-line\r\nsecond-line", "second-line");
    }

    #[test]
    fn base64_is_found_at_every_offset_within_other_data() {
        // echo -n "xhunter2!!" | base64, echo -n "xyhunter2!!" | base64
        let inner = |encoded: &str| {
            of(b"hunter2!!")
                .iter()
                .any(|form| encoded.contains(std::str::from_utf8(form).unwrap_or("-")) && form.len() > 9)
        };
        assert!(inner("eGh1bnRlcjIhIQ=="));
        assert!(inner("eHlodW50ZXIyISE="));
        assert!(inner("eHh4aHVudGVyMiEhenp6eg=="));
    }
}

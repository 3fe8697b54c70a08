//! Text from outside, made fit to be read on a terminal and to be pasted into a shell.
//!
//! A name, path or argument that a request brings is never printed raw: control characters, escape sequences,
//! bidirectional overrides and invisible characters are shown as escapes, so that what a person reads is what
//! is there.

use std::ffi::OsStr;
use std::fmt::Write as _;

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

pub use system::{quote, quote_all};

/// Whether a character changes how others look, or does not look like anything itself.
///
/// General categories Cc, Cf, Co, Cs, Zl and Zp of Unicode, the fillers and selectors that draw nothing, and
/// every space but the ordinary one.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}'
            | '\u{890}' | '\u{891}' | '\u{8e2}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}')
        || (c != ' ' && c.is_whitespace())
}

/// The text with every deceptive character and every byte that is not UTF-8 as a visible escape.
pub fn visible(text: &OsStr) -> String {
    let mut shown = String::new();
    for chunk in text.as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => shown.push_str("\\n"),
                '\t' => shown.push_str("\\t"),
                '\r' => shown.push_str("\\r"),
                c if is_deceptive(c) => {
                    let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
                }
                c => shown.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_shown_as_what_it_is() {
        let cases = [
            ("plain é 漢", "plain é 漢"),
            ("\x1b[2Jgone", "\\u{1b}[2Jgone"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("a\u{200b}b\u{2066}", "a\\u{200b}b\\u{2066}"),
            ("line\nline\r\t", "line\\nline\\r\\t"),
            ("tag\u{e0041}", "tag\\u{e0041}"),
            ("wide\u{3000}nbsp\u{a0}", "wide\\u{3000}nbsp\\u{a0}"),
            ("\u{9b}31m", "\\u{9b}31m"),
        ];
        for (text, shown) in cases {
            assert_eq!(visible(OsStr::new(text)), shown);
        }
    }
}

//! The escapes of JSON strings, RFC 8259, section 7, as the usual serialisers write them.

use super::hex;

/// One serialiser's choices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    ascii: Ascii,
    /// `\/` for the slash (PHP).
    slash: bool,
    short: Short,
    /// Digits of `\uXXXX` in upper case.
    upper: bool,
    html: Html,
}

/// What becomes of characters beyond ASCII.
#[derive(Clone, Copy, Debug)]
enum Ascii {
    /// They stay, as UTF-8.
    Stay,
    /// They are escaped (PHP).
    Escaped,
    /// They are escaped, and DEL is (Python).
    EscapedWithDel,
}

/// The control characters that have an escape of one letter and get it; the others become `\u00XX`.
#[derive(Clone, Copy, Debug)]
enum Short {
    /// `\b \f \n \r \t`
    All,
    /// `\n \r \t` (Go before 1.22)
    Lines,
    None,
}

/// What is escaped for the sake of HTML.
#[derive(Clone, Copy, Debug)]
enum Html {
    Nothing,
    /// `<`, `>`, `&`, U+2028, U+2029 (Go, Rails).
    Tags,
    /// Those, `=` and `'` (Gson).
    TagsAndQuotes,
}

/// Every style, the plainest first.
pub(super) fn styles() -> impl Iterator<Item = Style> {
    let mut styles = Vec::new();
    for ascii in [Ascii::Stay, Ascii::Escaped, Ascii::EscapedWithDel] {
        for slash in [false, true] {
            for short in [Short::All, Short::Lines, Short::None] {
                for html in [Html::Nothing, Html::Tags, Html::TagsAndQuotes] {
                    styles.extend([false, true].map(|upper| Style { ascii, slash, short, upper, html }));
                }
            }
        }
    }
    styles.into_iter()
}

impl Style {
    /// Appends a character.
    pub(super) fn encode(self, c: char, out: &mut Vec<u8>) {
        let letter = match (self.short, c) {
            (_, '"' | '\\') => Some(c as u8),
            (_, '/') if self.slash => Some(b'/'),
            (Short::All | Short::Lines, '\n') => Some(b'n'),
            (Short::All | Short::Lines, '\r') => Some(b'r'),
            (Short::All | Short::Lines, '\t') => Some(b't'),
            (Short::All, '\u{8}') => Some(b'b'),
            (Short::All, '\u{c}') => Some(b'f'),
            _ => None,
        };
        if let Some(letter) = letter {
            out.extend_from_slice(&[b'\\', letter]);
        } else if c < ' ' || self.escapes(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let [[a, b], [c, d]] = unit.to_be_bytes().map(|byte| hex(byte, self.upper));
                out.extend_from_slice(&[b'\\', b'u', a, b, c, d]);
            }
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    fn escapes(self, c: char) -> bool {
        let beyond = match self.ascii {
            Ascii::Stay => false,
            Ascii::Escaped => c >= '\u{80}',
            Ascii::EscapedWithDel => c >= '\u{7f}',
        };
        let tags = matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
        let html = match self.html {
            Html::Nothing => false,
            Html::Tags => tags,
            Html::TagsAndQuotes => tags || c == '=' || c == '\'',
        };
        beyond || html
    }
}

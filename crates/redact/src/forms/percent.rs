//! Percent-encoding, RFC 3986, section 2.1.

use super::hex;

/// One way of percent-encoding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    kept: Kept,
    upper: bool,
    /// A space becomes `+`, as in forms (the URL standard, application/x-www-form-urlencoded).
    plus: bool,
}

/// The characters that are left as they are. Libraries differ, so each usual choice is known.
#[derive(Clone, Copy, Debug)]
enum Kept {
    /// RFC 3986, section 2.3; Go's `QueryEscape`, python's `quote_plus`.
    Unreserved,
    /// encodeURIComponent, ECMA-262.
    Component,
    /// encodeURI, ECMA-262.
    Uri,
    /// Python's `quote`.
    Path,
    /// URLSearchParams, Java's `URLEncoder`.
    Form,
    /// PHP's `urlencode`, which encodes the tilde.
    NoTilde,
    Nothing,
}

/// Every style.
pub(super) fn styles() -> impl Iterator<Item = Style> {
    use Kept::{Component, Form, NoTilde, Nothing, Path, Unreserved, Uri};
    [Unreserved, Component, Uri, Path, Form, NoTilde, Nothing].into_iter().flat_map(|kept| {
        [(true, false), (true, true), (false, false), (false, true)].map(|(upper, plus)| Style {
            kept,
            upper,
            plus,
        })
    })
}

impl Kept {
    fn keeps(self, byte: u8) -> bool {
        let letter = byte.is_ascii_alphanumeric();
        let unreserved = letter || b"-._~".contains(&byte);
        match self {
            Self::Unreserved => unreserved,
            Self::Component => unreserved || b"!*'()".contains(&byte),
            Self::Uri => unreserved || b"!*'();/?:@&=+$,#".contains(&byte),
            Self::Path => unreserved || byte == b'/',
            Self::Form => letter || b"-._*".contains(&byte),
            Self::NoTilde => letter || b"-._".contains(&byte),
            Self::Nothing => false,
        }
    }
}

impl Style {
    /// Appends a byte.
    pub(super) fn encode(self, byte: u8, out: &mut Vec<u8>) {
        if byte == b' ' && self.plus {
            out.push(b'+');
        } else if self.kept.keeps(byte) {
            out.push(byte);
        } else {
            let [high, low] = hex(byte, self.upper);
            out.extend_from_slice(&[b'%', high, low]);
        }
    }
}

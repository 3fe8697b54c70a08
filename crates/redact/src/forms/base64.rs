//! Base 64, RFC 4648, sections 4 and 5.

/// How a value stands in a text of base 64.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    alphabet: &'static [u8; 64],
    /// Bytes of something else in front, 0 to 2: the characters that those share are left out.
    before: usize,
    end: End,
    lines: Option<Lines>,
}

/// What follows the last character that the value alone decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Something else: the character that it shares is left out.
    Goes,
    /// The end of the text: that character is filled up with zeros.
    Filled,
    /// The same, and padding.
    Padded,
}

/// Lines of a fixed width.
#[derive(Clone, Copy, Debug)]
struct Lines {
    /// Bytes of the value a line.
    bytes: usize,
    newline: &'static [u8],
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Lines of 76 characters, as base64(1) and MIME have it (RFC 2045), or 64, as openssl(1) and PEM (RFC 7468).
const LINES: [Lines; 4] = [
    Lines { bytes: 57, newline: b"\n" },
    Lines { bytes: 57, newline: b"\r\n" },
    Lines { bytes: 48, newline: b"\n" },
    Lines { bytes: 48, newline: b"\r\n" },
];

/// Lines are encoded so many at a time; and the same number of bytes where there are none.
const LINES_A_BLOCK: usize = 16;

/// Every style for a value of this length. Lines are known where the value stands at the beginning of the text.
pub(super) fn styles(length: usize) -> impl Iterator<Item = Style> {
    let flat = [STANDARD, URL].into_iter().flat_map(move |alphabet| {
        (0..3).flat_map(move |before| {
            let open = !(before + length).is_multiple_of(3);
            let ends = [End::Goes, End::Filled, End::Padded].into_iter().take(if open { 3 } else { 1 });
            ends.map(move |end| Style { alphabet, before, end, lines: None })
        })
    });
    let lines = LINES.into_iter().filter(move |lines| length > lines.bytes).flat_map(|lines| {
        let ends = [End::Goes, End::Padded].into_iter();
        ends.map(move |end| Style { alphabet: STANDARD, before: 0, end, lines: Some(lines) })
    });
    flat.chain(lines)
}

impl Style {
    /// Encodes a block, as [`super::Form::encode`] does.
    pub(super) fn encode(self, value: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
        let line = self.lines.map_or(48, |lines| lines.bytes);
        let in_front = if at == 0 { self.before } else { 0 };
        // Whole groups of three bytes, so that the next block begins with one.
        let end = value.len().min(at + line * LINES_A_BLOCK - in_front);
        let (first, rest) = value[at..end].split_at(if in_front == 0 { 0 } else { 3 - in_front });
        if in_front > 0 {
            let mut group = [0; 3];
            group[in_front..].copy_from_slice(first);
            // Of the first characters, two (or three) are not the value's alone.
            out.extend_from_slice(&self.characters(group)[in_front + 1..]);
        }
        for (number, line_of_value) in rest.chunks(line).enumerate() {
            if let Some(lines) = self.lines
                && at + number > 0
            {
                out.extend_from_slice(lines.newline);
            }
            let (groups, short) = line_of_value.as_chunks::<3>();
            groups.iter().for_each(|group| out.extend_from_slice(&self.characters(*group)));
            if !short.is_empty() {
                let mut group = [0; 3];
                group[..short.len()].copy_from_slice(short);
                let characters = self.characters(group);
                let filled = usize::from(self.end != End::Goes);
                out.extend_from_slice(&characters[..short.len() + filled]);
                if self.end == End::Padded {
                    out.extend_from_slice(&b"=="[..3 - short.len()]);
                }
            }
        }
        end
    }

    fn characters(self, [one, two, three]: [u8; 3]) -> [u8; 4] {
        let bits = u32::from_be_bytes([0, one, two, three]);
        [18, 12, 6, 0].map(|shift| self.alphabet[(bits >> shift & 63) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Form, tests::whole};
    use super::*;

    fn forms(value: &[u8]) -> Vec<String> {
        let forms = styles(value.len()).map(|style| whole(Form::Base64(style), value));
        forms.map(|form| String::from_utf8(form).unwrap()).collect()
    }

    fn has(value: &[u8], form: &str) {
        let forms = forms(value);
        assert!(forms.iter().any(|known| known == form), "{form} is not in {forms:#?}");
    }

    #[test]
    fn base64_is_the_one_that_tools_print() {
        // By base64(1) and python's urlsafe_b64encode.
        has(b"hunter2 pass", "aHVudGVyMiBwYXNz");
        has(b"hunter2 pas", "aHVudGVyMiBwYXM=");
        has(b"hunter2 pas", "aHVudGVyMiBwYXM");
        has(b"hunter2 pa", "aHVudGVyMiBwYQ==");
        has(b"??>>??>>", "Pz8-Pj8_Pj4");
    }

    #[test]
    fn base64_is_found_at_every_offset_within_other_data() {
        // printf xhunter2!! | base64, printf xyhunter2!! | base64, and with more behind.
        let inner = |encoded: &str| forms(b"hunter2!!").iter().any(|form| encoded.contains(form.as_str()));
        assert!(inner("eGh1bnRlcjIhIQ=="));
        assert!(inner("eHlodW50ZXIyISE="));
        assert!(inner("eHh4aHVudGVyMiEhenp6eg=="));
    }

    #[test]
    fn the_characters_at_the_borders_belong_to_the_form_where_the_value_decides_them() {
        let forms = forms(b"\0\0\0\0");
        // At no offset, at one, at two: whole characters; then what the end of a text adds.
        for form in ["AAAAA", "AAAAAA", "AAAAAA==", "AAAA", "AAAAA=", "AAAAA"] {
            assert!(forms.iter().any(|known| known == form), "{form} is not in {forms:?}");
        }
    }

    #[test]
    fn a_long_value_is_known_in_lines_as_base64_prints_them() {
        // seq -s, 1 40 | head -c 60 | base64
        let value: String = (1..40).map(|n| format!("{n},")).collect::<String>()[..60].to_owned();
        has(
            value.as_bytes(),
            "MSwyLDMsNCw1LDYsNyw4LDksMTAsMTEsMTIsMTMsMTQsMTUsMTYsMTcsMTgsMTksMjAsMjEsMjIs\nMjMs",
        );
        let long = vec![b'x'; 57 * 100];
        let lines = vec!["eHh4".repeat(19); 100].join("\n");
        has(&long, &lines);
    }
}

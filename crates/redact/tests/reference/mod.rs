//! The masker a second time: the same promise by the simplest means, to be compared with. Shared by the property tests
//! and the fuzz target.
//!
//! It knows no streams, no filter and no blocks, and makes the forms in other ways: strings of bits, `format!`, search
//! and replace. Only values whose forms are shorter than 4,096 bytes are in its reach.

use std::collections::HashSet;

/// What becomes of a text.
pub enum Piece {
    /// It passes.
    Passed(Vec<u8>),
    /// This was a form, and its place is taken by a mark.
    Masked { form: Vec<u8>, mark: String },
}

/// Secrets under the names S0, S1 and so on.
pub struct Reference {
    forms: Vec<(Vec<u8>, usize)>,
    marks: Vec<String>,
}

impl Reference {
    pub fn new(secrets: &[&[u8]]) -> Self {
        let numbered = secrets.iter().enumerate();
        let forms: Vec<_> = numbered
            .flat_map(|(number, secret)| forms(secret).into_iter().map(move |form| (form, number)))
            .collect();
        let shows = |mark: &String| forms.iter().any(|(form, _)| contains(mark.as_bytes(), form));
        let marks = (0..secrets.len()).map(|number| {
            let marks = [format!("[envseal:S{number}]"), "[envseal]".into(), "***".into()];
            marks.into_iter().find(|mark| !shows(mark)).unwrap()
        });
        let marks = marks.collect();
        Self { forms, marks }
    }

    /// Leftmost, then longest, then first added.
    pub fn pieces(&self, text: &[u8]) -> Vec<Piece> {
        let (mut pieces, mut passed, mut at) = (Vec::new(), Vec::new(), 0);
        while at < text.len() {
            let mut best: Option<&(Vec<u8>, usize)> = None;
            for form in &self.forms {
                if text[at..].starts_with(&form.0) && best.is_none_or(|best| form.0.len() > best.0.len()) {
                    best = Some(form);
                }
            }
            if let Some((form, secret)) = best {
                pieces.push(Piece::Passed(std::mem::take(&mut passed)));
                pieces.push(Piece::Masked { form: form.clone(), mark: self.marks[*secret].clone() });
                at += form.len();
            } else {
                passed.push(text[at]);
                at += 1;
            }
        }
        pieces.push(Piece::Passed(passed));
        pieces
    }

    /// Whether some form stands in a text.
    pub fn shows(&self, text: &[u8]) -> bool {
        self.forms.iter().any(|(form, _)| contains(text, form))
    }

    /// Whether a text is a beginning, and not the whole, of some form.
    pub fn is_beginning(&self, text: &[u8]) -> bool {
        self.forms.iter().any(|(form, _)| form.len() > text.len() && form.starts_with(text))
    }
}

/// What a masker gives that is never asked to let something out.
pub fn masked(pieces: &[Piece]) -> Vec<u8> {
    let bytes = |piece: &Piece| match piece {
        Piece::Passed(text) => text.clone(),
        Piece::Masked { mark, .. } => mark.clone().into_bytes(),
    };
    pieces.iter().flat_map(bytes).collect()
}

/// Whether an output is what a masker gives that lets beginnings out: the same, but that less than half of a form may
/// stand before its mark.
pub fn is_masked_with_releases(pieces: &[Piece], output: &[u8]) -> bool {
    match pieces {
        [] => output.is_empty(),
        [Piece::Passed(text), rest @ ..] => {
            output.strip_prefix(text.as_slice()).is_some_and(|output| is_masked_with_releases(rest, output))
        }
        [Piece::Masked { form, mark }, rest @ ..] => (0..form.len().div_ceil(2)).any(|shown| {
            let shown = [&form[..shown], mark.as_bytes()].concat();
            output.strip_prefix(shown.as_slice()).is_some_and(|output| is_masked_with_releases(rest, output))
        }),
    }
}

pub fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Every form of a value that is at least four bytes long.
pub fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = encodings(value);
    let mut stripped = value;
    while let [rest @ .., b'\r' | b'\n'] = stripped {
        stripped = rest;
    }
    if stripped.len() >= 4 && stripped.len() < value.len() {
        forms.extend(encodings(stripped));
    }
    if contains(stripped, b"\n") {
        let lines =
            stripped.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        forms.extend(lines.filter(|line| line.len() >= 8).map(<[u8]>::to_vec));
    }
    let mut known = HashSet::new();
    forms.retain(|form| form.len() >= 4 && known.insert(form.clone()));
    forms
}

fn encodings(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![value.to_vec(), value.iter().rev().copied().collect()];
    let newline = |ending: &[u8]| {
        let mut lines: Vec<&[u8]> = value.split(|byte| *byte == b'\n').collect();
        let last = lines.pop().unwrap();
        let cut = lines.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        [cut.flat_map(|line| [line, ending].concat()).collect(), last.to_vec()].concat()
    };
    forms.extend([newline(b"\n"), newline(b"\r\n")]);
    forms.push(
        value.iter().flat_map(|byte| if *byte == b'\n' { b"\r\n".to_vec() } else { vec![*byte] }).collect(),
    );
    forms.push(value.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect());
    forms.push(value.iter().flat_map(|byte| format!("{byte:02X}").into_bytes()).collect());
    for url in [false, true] {
        for before in 0..3 {
            forms.push(base64_inside(value, before, url));
            forms.push(base64_at_the_end(value, before, url, false));
            forms.push(base64_at_the_end(value, before, url, true));
        }
    }
    for (width, ending) in [(76, "\n"), (76, "\r\n"), (64, "\n"), (64, "\r\n")] {
        for text in [base64_inside(value, 0, false), base64_at_the_end(value, 0, false, true)] {
            let lines: Vec<&[u8]> = text.chunks(width).collect();
            // A line that would only be there because of the byte after the value is not the value's alone.
            if value.len() > width / 4 * 3 {
                forms.push(lines.join(ending.as_bytes()));
            }
        }
    }
    for kept in ["-._~", "-._~!*'()", "-._~!*'();/?:@&=+$,#", "-._~/", "-._*", "-._"] {
        percent(value, |byte| byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte), &mut forms);
    }
    percent(value, |_| false, &mut forms);
    if let Ok(text) = std::str::from_utf8(value) {
        json(text, &mut forms);
    }
    forms
}

/// Base 64 by way of a string of bits.
pub fn base64(bytes: &[u8], url: bool, padded: bool) -> Vec<u8> {
    let mut bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    while !bits.len().is_multiple_of(6) {
        bits.push('0');
    }
    let digit = |group: &[u8]| {
        let value = u8::from_str_radix(std::str::from_utf8(group).unwrap(), 2).unwrap();
        match value {
            0..26 => b'A' + value,
            26..52 => b'a' + value - 26,
            52..62 => b'0' + value - 52,
            62 => [b'+', b'-'][usize::from(url)],
            _ => [b'/', b'_'][usize::from(url)],
        }
    };
    let mut text: Vec<u8> = bits.as_bytes().chunks(6).map(digit).collect();
    while padded && !text.len().is_multiple_of(4) {
        text.push(b'=');
    }
    text
}

/// The characters that are the same whatever stands around the value.
fn base64_inside(value: &[u8], before: usize, url: bool) -> Vec<u8> {
    let with = |fill: u8| base64(&[&vec![fill; before], value, &[fill; 3]].concat(), url, false);
    let (zeros, ones) = (with(0), with(0xff));
    let same = zeros.iter().zip(&ones).skip_while(|(one, other)| one != other);
    same.take_while(|(one, other)| one == other).map(|(one, _)| *one).collect()
}

/// The same at the end of a text.
fn base64_at_the_end(value: &[u8], before: usize, url: bool, padded: bool) -> Vec<u8> {
    let with = |fill: u8| base64(&[&vec![fill; before], value].concat(), url, padded);
    let (zeros, ones) = (with(0), with(0xff));
    zeros.iter().zip(&ones).skip_while(|(one, other)| one != other).map(|(one, _)| *one).collect()
}

fn percent(value: &[u8], kept: impl Fn(u8) -> bool, forms: &mut Vec<Vec<u8>>) {
    let upper: String = value
        .iter()
        .map(|&byte| if kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    let lower: String = value
        .iter()
        .map(|&byte| if kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") })
        .collect();
    for form in [upper, lower] {
        forms.push(form.replace("%20", "+").into_bytes());
        forms.push(form.into_bytes());
    }
}

fn json(text: &str, forms: &mut Vec<Vec<u8>>) {
    let plain = text.replace('\\', "\\\\").replace('"', "\\\"");
    let escape = |text: &str, which: &dyn Fn(char) -> bool, upper: bool| -> String {
        text.chars()
            .map(|c| {
                let units = c.encode_utf16(&mut [0; 2]).to_vec();
                let digits =
                    |unit: u16| if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
                if which(c) { units.into_iter().map(digits).collect() } else { c.to_string() }
            })
            .collect()
    };
    let mut texts = vec![];
    for slashed in [plain.clone(), plain.replace('/', "\\/")] {
        let lines = slashed.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
        let all = lines.replace('\u{8}', "\\b").replace('\u{c}', "\\f");
        texts.extend([slashed, lines, all]);
    }
    texts.dedup();
    for text in texts {
        for html in ["", "<>&\u{2028}\u{2029}", "<>&\u{2028}\u{2029}='"] {
            for from in ['\u{7f}', '\u{80}', char::MAX] {
                let which = |c: char| c < ' ' || c >= from && from < char::MAX || html.contains(c);
                if text.contains(which) {
                    forms.extend([false, true].map(|upper| escape(&text, &which, upper).into_bytes()));
                } else {
                    forms.push(text.clone().into_bytes());
                }
            }
        }
    }
}

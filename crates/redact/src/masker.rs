//! The stream itself.

use crate::Patterns;

/// Masks one stream. Any chunking of the input gives the same output, unless [`Masker::release`] comes between.
#[derive(Debug)]
pub struct Masker {
    patterns: Patterns,
    /// Input that is not decided: the beginning of a possible match, and what came after it.
    pending: Vec<u8>,
    /// Bytes of `pending` that were let out by time already.
    shown: usize,
    /// Long patterns whose head was replaced and that may go on, by number.
    following: Vec<usize>,
    /// How much of their tails has come.
    followed: usize,
    replaced: u64,
}

/// What stands at one place of the stream.
enum Found {
    /// No pattern begins here.
    Nothing,
    /// These do (several when they are long and begin alike), and no longer one can.
    Match(Vec<usize>),
    /// More input decides.
    Open,
}

impl Masker {
    /// A masker for one stream.
    pub fn new(patterns: Patterns) -> Self {
        Self { patterns, pending: Vec::new(), shown: 0, following: Vec::new(), followed: 0, replaced: 0 }
    }

    /// Takes input, and appends to `out` what is decided.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        if self.patterns.is_empty() {
            out.extend_from_slice(input);
            return;
        }
        self.pending.extend_from_slice(input);
        self.advance(out, false);
    }

    /// Bytes that are held back: the beginning of a possible match.
    pub fn held(&self) -> usize {
        self.pending.len() - self.shown
    }

    /// Lets out what is held back, for a terminal whose reader has waited long enough. When the match goes on after
    /// that, its rest is replaced. A possible match is let out once at most, and never when half of the shortest form
    /// that it may become is there: who prints a secret slowly shows less than half of it.
    pub fn release(&mut self, out: &mut Vec<u8>) {
        let shortest = self.patterns.0.shortest_from(&self.pending).unwrap_or(usize::MAX);
        if self.shown == 0 && self.pending.len() * 2 < shortest {
            out.extend_from_slice(&self.pending);
            self.shown = self.pending.len();
        }
    }

    /// The stream has ended: what is held back and no match goes out.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.advance(out, true);
        self.following.clear();
    }

    /// How many secrets were replaced.
    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    fn advance(&mut self, out: &mut Vec<u8>, ended: bool) {
        let mut pending = std::mem::take(&mut self.pending);
        let done = self.scan(&pending, out, ended);
        zeroize::Zeroize::zeroize(&mut pending[..done]);
        pending.drain(..done);
        self.shown = self.shown.saturating_sub(done);
        self.pending = pending;
    }

    /// Decides as much as can be; gives how much that was.
    fn scan(&mut self, text: &[u8], out: &mut Vec<u8>, ended: bool) -> usize {
        let mut at = self.follow(text);
        let mut copied = at;
        loop {
            let search = &self.patterns.0;
            let place = match search.next_candidate(text, at) {
                Ok(place) => place,
                // The rest is shorter than a window: only the beginning of a pattern can stand there.
                Err(rest) => {
                    match (rest..text.len()).find(|place| !ended && search.is_prefix(&text[*place..])) {
                        Some(place) => {
                            self.copy(text, copied..place, out);
                            return place;
                        }
                        None => {
                            self.copy(text, copied..text.len(), out);
                            return text.len();
                        }
                    }
                }
            };
            match self.find(&text[place..], ended) {
                Found::Nothing => at = place + 1,
                Found::Open => {
                    self.copy(text, copied..place, out);
                    return place;
                }
                Found::Match(found) => {
                    self.copy(text, copied..place, out);
                    let pattern = self.patterns.0.pattern(found[0]);
                    out.extend_from_slice(pattern.mark().as_bytes());
                    self.replaced += 1;
                    at = place + pattern.head().len();
                    (self.following, self.followed) = (found, 0);
                    at += self.follow(&text[at..]);
                    copied = at;
                }
            }
        }
    }

    /// Copies a range, without what was let out before.
    fn copy(&self, text: &[u8], range: std::ops::Range<usize>, out: &mut Vec<u8>) {
        let from = range.start.max(self.shown.min(range.end));
        out.extend_from_slice(&text[from..range.end]);
    }

    /// The longest pattern that begins here.
    fn find(&self, text: &[u8], ended: bool) -> Found {
        let (mut longest, mut found, mut open) = (0, Vec::new(), false);
        for (number, pattern) in self.patterns.0.starting_with(text) {
            let head = pattern.head();
            if text.starts_with(head) {
                if head.len() > longest {
                    longest = head.len();
                    found.clear();
                }
                if head.len() == longest {
                    found.push(number);
                }
            } else if head.starts_with(text) {
                open = true;
            }
        }
        // What is open reaches to the end of the text, and so is longer than what matched.
        if open && !ended {
            Found::Open
        } else if found.is_empty() {
            Found::Nothing
        } else {
            Found::Match(found)
        }
    }

    /// Takes what continues a long pattern whose head was replaced; gives how much.
    fn follow(&mut self, text: &[u8]) -> usize {
        let search = &self.patterns.0;
        let followed = self.followed;
        let goes_on = |number: &usize| {
            let tail = &search.pattern(*number).tail()[followed..];
            tail.iter().zip(text).take_while(|(tail, text)| tail == text).count()
        };
        let farthest = self.following.iter().map(goes_on).max().unwrap_or(0);
        self.followed += farthest;
        if farthest == text.len() {
            let followed = self.followed;
            self.following.retain(|number| {
                goes_on(number) == farthest && search.pattern(*number).tail().len() > followed
            });
        } else {
            self.following.clear();
        }
        farthest
    }
}

#[cfg(test)]
mod tests {
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
            assert_eq!(
                mask(&[("PW", b"hunter2-long")], &[one, two]),
                "before [envseal:PW] after hunter2-lon"
            );
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
            assert!(masker.held() <= crate::patterns::HEAD);
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

    #[test]
    fn short_values_are_refused_and_named() {
        let error = Builder::new().add("PIN", b"123").unwrap_err().to_string();
        assert!(error.contains("PIN") && !error.contains("123"), "{error}");
    }
}

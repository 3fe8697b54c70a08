//! One form of one secret, as it is compared.

use std::ops::Range;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::forms::{self, Form};

/// A form longer than this is recognised by its first so many bytes, and followed from there as far as it goes. So
/// no more than this is ever held back.
pub(crate) const HEAD: usize = 4_096;

/// Room for a head and the end of the block that runs over it.
const ROOM: usize = HEAD + forms::BLOCK_OUT;

/// A value, or a part of one, whose forms are looked for.
#[derive(Clone)]
pub(crate) struct Source {
    value: Arc<Zeroizing<Vec<u8>>>,
    range: Range<usize>,
}

/// One form of one secret.
pub(crate) struct Pattern {
    head: Zeroizing<Box<[u8]>>,
    /// What follows the head, where the form is longer.
    tail: Option<Box<Tail>>,
    /// The number of its secret.
    pub(crate) secret: u32,
}

struct Tail {
    source: Source,
    form: Form,
    /// The block in which the head ends.
    block: usize,
    /// How much of that block belongs to the head.
    skip: usize,
}

impl Source {
    /// A whole value.
    pub(crate) fn new(value: &[u8]) -> Self {
        Self { value: Arc::new(Zeroizing::new(value.to_vec())), range: 0..value.len() }
    }

    /// A part of it.
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        Self { value: Arc::clone(&self.value), range }
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.value[self.range.clone()]
    }
}

/// Makes patterns, in room that is wiped and never grows: growing would leave copies behind.
pub(crate) struct Maker {
    room: Zeroizing<Vec<u8>>,
}

impl Maker {
    /// With the room that every form needs.
    pub(crate) fn new() -> Self {
        Self { room: Zeroizing::new(Vec::with_capacity(ROOM)) }
    }

    /// A form of a source; none when it is shorter than anything that is looked for.
    pub(crate) fn pattern(&mut self, source: &Source, form: Form, secret: u32) -> Option<Pattern> {
        let (value, out) = (source.bytes(), &mut *self.room);
        out.clear();
        let (mut block, mut next, mut skip) = (0, 0, 0);
        while next < value.len() && out.len() < HEAD {
            (block, skip) = (next, HEAD - out.len());
            next = form.encode(value, block, out);
        }
        let whole = next == value.len() && out.len() <= HEAD;
        let head: Box<[u8]> = out[..out.len().min(HEAD)].into();
        let tail = (!whole).then(|| Box::new(Tail { source: source.clone(), form, block, skip }));
        (head.len() >= crate::patterns::SHORTEST).then(|| Pattern {
            head: Zeroizing::new(head),
            tail,
            secret,
        })
    }
}

impl Pattern {
    /// What it is recognised by.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Whether it looks for the very same as another.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.tail.is_none() && other.tail.is_none() && self.head == other.head
    }

    /// Compares what comes behind its head, where there is more of it.
    pub(crate) fn follower(&self, number: usize) -> Option<Follower> {
        let tail = self.tail.as_deref()?;
        let mut encoded = Zeroizing::new(Vec::with_capacity(forms::BLOCK_OUT));
        let next = tail.form.encode(tail.source.bytes(), tail.block, &mut encoded);
        Some(Follower { number, next, encoded, at: tail.skip })
    }
}

/// A place within a long form, up to which it has come.
pub(crate) struct Follower {
    /// The pattern's number.
    pub(crate) number: usize,
    /// The value's next block.
    next: usize,
    /// The block at hand.
    encoded: Zeroizing<Vec<u8>>,
    /// The place within it.
    at: usize,
}

impl Follower {
    /// Takes what continues the form of its pattern from `text`: how much that is, and whether more can come.
    pub(crate) fn take(&mut self, pattern: &Pattern, text: &[u8]) -> (usize, bool) {
        let Some(tail) = &pattern.tail else { return (0, false) };
        let value = tail.source.bytes();
        let mut taken = 0;
        loop {
            if self.at == self.encoded.len() {
                if self.next == value.len() {
                    return (taken, false);
                }
                self.encoded.clear();
                self.next = tail.form.encode(value, self.next, &mut self.encoded);
                self.at = 0;
                continue;
            }
            let same = common(&self.encoded[self.at..], &text[taken..]);
            taken += same;
            self.at += same;
            if taken == text.len() {
                return (taken, self.at < self.encoded.len() || self.next < value.len());
            }
            if self.at < self.encoded.len() {
                return (taken, false);
            }
        }
    }
}

/// How many bytes two texts have in common at the beginning.
pub(crate) fn common(one: &[u8], other: &[u8]) -> usize {
    let (ones, others) = (one.as_chunks::<32>().0, other.as_chunks::<32>().0);
    let chunks = ones.iter().zip(others).take_while(|(one, other)| one == other).count() * 32;
    chunks + one[chunks..].iter().zip(&other[chunks..]).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_texts_have_in_common_is_counted_to_the_byte() {
        let one = vec![7; 100];
        for at in 0..100 {
            let mut other = one.clone();
            other[at] = 8;
            assert_eq!(common(&one, &other), at);
            assert_eq!(common(&one, &other[..at]), at);
        }
        assert_eq!(common(&one, &one), 100);
    }

    #[test]
    fn head_and_tail_make_up_the_form_wherever_the_head_ends() {
        // Sizes around those where the form, and a block of it, end with the head.
        for size in [100, 1364, 1365, 1366, 1367, 2047, 2048, 2049, 3072, 3073, 4095, 4096, 4097, 9_000] {
            let value: Vec<u8> = (0..size).map(|n: u32| ((n * n) >> 3) as u8).collect();
            let source = Source::new(&value);
            for form in forms::of(&value) {
                let pattern = Maker::new().pattern(&source, form, 0).unwrap();
                let whole = forms::tests::whole(form, &value);
                let head = pattern.head().len();
                assert_eq!(pattern.head(), &whole[..whole.len().min(HEAD)], "{form:?} of {size}");
                assert_eq!(pattern.tail.is_some(), whole.len() > HEAD, "{form:?} of {size}");
                let Some(mut follower) = pattern.follower(0) else { continue };
                let middle = head + (whole.len() - head) / 2;
                assert_eq!(follower.take(&pattern, &whole[head..middle]), (middle - head, true));
                let end = [&whole[middle..], b"more"].concat();
                assert_eq!(
                    follower.take(&pattern, &end),
                    (whole.len() - middle, false),
                    "{form:?} of {size}"
                );
            }
        }
    }
}

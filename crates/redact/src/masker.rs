//! The stream itself.

use std::fmt;
use std::ops::Range;

use zeroize::{Zeroize as _, Zeroizing};

use crate::Patterns;
use crate::pattern::Follower;
use crate::search::Found;

/// The most bytes of a possible match that are let out by time. A longer beginning is hardly there by chance.
const MOST_SHOWN: usize = 16;

/// Masks one stream. Any chunking of the input gives the same output, unless [`Masker::release`] comes between.
pub struct Masker {
    patterns: Patterns,
    /// Input that is not decided: the beginning of a possible match, and what came after it. Its room never grows:
    /// growing would leave copies behind.
    pending: Zeroizing<Vec<u8>>,
    /// Bytes of `pending` that were let out by time already.
    shown: usize,
    /// Long patterns whose head was replaced and that may go on.
    followers: Vec<Follower>,
    replaced: u64,
}

impl Masker {
    /// A masker for one stream.
    pub fn new(patterns: Patterns) -> Self {
        let pending = Zeroizing::new(Vec::with_capacity(patterns.longest() * 2));
        Self { patterns, pending, shown: 0, followers: Vec::new(), replaced: 0 }
    }

    /// Takes input, and appends to `out` what is decided.
    pub fn push(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        if self.patterns.is_empty() {
            out.extend_from_slice(input);
            return;
        }
        if !self.pending.is_empty() {
            // So much more decides about every place that is pending; what then is pending is the input's, and there is
            // no need to copy the rest of it.
            let next = &input[..input.len().min(self.patterns.longest())];
            self.pending.extend_from_slice(next);
            self.advance(out, false);
            let left = self.pending.len();
            if left > next.len() {
                return;
            }
            self.pending.as_mut_slice().zeroize();
            self.pending.clear();
            input = &input[next.len() - left..];
        }
        let done = self.scan(input, out, false);
        self.pending.extend_from_slice(&input[done..]);
    }

    /// Bytes that are held back: the beginning of a possible match. Always fewer than [`Patterns::longest`].
    pub fn held(&self) -> usize {
        self.pending.len() - self.shown
    }

    /// Lets out what is held back, for a terminal whose reader has waited long enough. When the match goes on after
    /// that, its rest is replaced.
    ///
    /// What is held back is let out once at most, until it is decided; and only as long as it has no more than 16
    /// bytes, and less than half of each form is there that it contains or may become. So who prints a secret slowly
    /// shows less than half of it. What is not let out stays until more input, or the end, decides.
    pub fn release(&mut self, out: &mut Vec<u8>) {
        if self.shown > 0 || self.pending.len() > MOST_SHOWN {
            return;
        }
        let search = self.patterns.search();
        let little = |at| {
            let text = &self.pending[at..];
            search.shortest(text).is_none_or(|shortest| text.len() * 2 < shortest)
        };
        if (0..self.pending.len()).all(little) {
            out.extend_from_slice(&self.pending);
            self.shown = self.pending.len();
        }
    }

    /// The stream has ended: what is held back and no match goes out.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.advance(out, true);
        self.followers.clear();
    }

    /// How many secrets were replaced.
    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    /// Decides as much of what is pending as can be.
    fn advance(&mut self, out: &mut Vec<u8>, ended: bool) {
        let mut pending = std::mem::take(&mut self.pending);
        let done = self.scan(&pending, out, ended);
        pending.copy_within(done.., 0);
        let left = pending.len() - done;
        pending[left..].zeroize();
        pending.truncate(left);
        self.shown = self.shown.saturating_sub(done);
        self.pending = pending;
    }

    /// Decides as much of a text as can be; gives how much that was. The first [`Self::shown`] bytes are out already.
    fn scan(&mut self, text: &[u8], out: &mut Vec<u8>, ended: bool) -> usize {
        let mut at = self.follow(text);
        let mut copied = at;
        loop {
            let search = self.patterns.search();
            let place = match search.next_candidate(text, at) {
                Ok(place) => place,
                // The rest is shorter than any pattern: only a beginning can stand there.
                Err(rest) => {
                    let begins = |place: &usize| !ended && search.is_beginning(&text[*place..]);
                    let place = (rest..text.len()).find(begins).unwrap_or(text.len());
                    self.copy(text, copied..place, out);
                    return place;
                }
            };
            match search.find(&text[place..], ended) {
                Found::Nothing => at = place + 1,
                Found::Open => {
                    self.copy(text, copied..place, out);
                    return place;
                }
                Found::Match { first, last } => {
                    self.copy(text, copied..place, out);
                    let pattern = search.pattern(first);
                    out.extend_from_slice(self.patterns.mark(pattern));
                    at = place + pattern.head().len();
                    self.replaced += 1;
                    self.followers =
                        (first..=last).filter_map(|number| search.pattern(number).follower(number)).collect();
                    at += self.follow(&text[at..]);
                    copied = at;
                }
            }
        }
    }

    /// Copies a range, without what was let out before.
    fn copy(&self, text: &[u8], range: Range<usize>, out: &mut Vec<u8>) {
        let from = range.start.max(self.shown.min(range.end));
        out.extend_from_slice(&text[from..range.end]);
    }

    /// Takes what continues long patterns whose head was replaced; gives how much.
    fn follow(&mut self, text: &[u8]) -> usize {
        let search = self.patterns.search();
        let mut farthest = 0;
        self.followers.retain_mut(|follower| {
            let (taken, more) = follower.take(search.pattern(follower.number), text);
            farthest = farthest.max(taken);
            more
        });
        farthest
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masker({:?}, {} bytes held back, {} replaced)", self.patterns, self.held(), self.replaced)
    }
}

#[cfg(test)]
mod tests;

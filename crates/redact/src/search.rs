//! The search for all forms at once.
//!
//! A filter after Wu and Manber ("A fast algorithm for multi-pattern searching", 1994) passes over nearly all text: from
//! the last block of a window it tells how far the window can move without passing over a beginning. Where that
//! is nothing, the text is looked up among the sorted heads, comparing no byte twice (Manber and Myers, "Suffix arrays",
//! 1990, section 2), so that many patterns which begin alike cost no more than few.

use zeroize::Zeroizing;

use crate::pattern::{Pattern, common};
use crate::patterns::SHORTEST;

/// The widest window of the filter, in bytes.
const WIDEST: usize = 32;

/// From this window on, the filter looks at four bytes together, else at three.
const WIDE: usize = 10;

/// Sizes of the filter's tables, as powers of two: large enough to be sparse, small enough to stay in the cache.
const SMALLEST: u32 = 14;
const LARGEST: u32 = 18;

const NONE: u32 = u32::MAX;

/// The forms of all secrets, prepared.
pub(crate) struct Search {
    /// Sorted by their heads; of equal heads, the first added first.
    patterns: Vec<Pattern>,
    /// For each, the last one whose head is the longest proper beginning of its own; or none.
    shorter: Vec<u32>,
    longest: usize,
    filter: Filter,
}

/// What stands at one place of a text.
pub(crate) enum Found {
    /// No pattern begins here.
    Nothing,
    /// These do (several when they are long and begin alike), and no longer one can.
    Match { first: usize, last: usize },
    /// More text decides.
    Open,
}

impl Search {
    /// Prepares patterns that are sorted by their heads.
    pub(crate) fn new(patterns: Vec<Pattern>) -> Self {
        let mut shorter = Vec::with_capacity(patterns.len());
        let mut beginnings: Vec<u32> = Vec::new();
        for (number, pattern) in (0_u32..).zip(&patterns) {
            let head = pattern.head();
            let is_shorter = |other: &u32| {
                let other = patterns[*other as usize].head();
                other.len() < head.len() && head.starts_with(other)
            };
            while beginnings.pop_if(|other| !is_shorter(other)).is_some() {}
            shorter.push(beginnings.last().copied().unwrap_or(NONE));
            beginnings.push(number);
        }
        let longest = patterns.iter().map(|pattern| pattern.head().len()).max().unwrap_or(0);
        let filter = Filter::new(&patterns);
        Self { patterns, shorter, longest, filter }
    }

    /// How many patterns there are.
    pub(crate) fn len(&self) -> usize {
        self.patterns.len()
    }

    /// The length of the longest head; 0 without patterns.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// A pattern by its number.
    pub(crate) fn pattern(&self, number: usize) -> &Pattern {
        &self.patterns[number]
    }

    /// The first place from `from` on where a pattern may begin whose first window lies within `text`; else the first
    /// place whose window does not.
    pub(crate) fn next_candidate(&self, text: &[u8], from: usize) -> Result<usize, usize> {
        self.filter.next(text, from)
    }

    /// The longest pattern that begins `text`, once nothing that may follow can make it longer; at the end of a stream
    /// nothing follows.
    pub(crate) fn find(&self, text: &[u8], ended: bool) -> Found {
        let Place { number, before, after } = self.place(text);
        if after == text.len() && !ended && number < self.patterns.len() {
            return Found::Open;
        }
        // Every pattern that begins the text also begins the one that is sorted right before it.
        let Some(mut last) = number.checked_sub(1) else { return Found::Nothing };
        loop {
            let head = self.patterns[last].head();
            if head.len() <= before {
                let alike = self.patterns[..last].iter().rev();
                let alike =
                    alike.take_while(|pattern| pattern.head().len() == head.len() && pattern.head() == head);
                return Found::Match { first: last - alike.count(), last };
            }
            match self.shorter[last] {
                NONE => return Found::Nothing,
                shorter => last = shorter as usize,
            }
        }
    }

    /// Whether `text` is the beginning of a longer pattern.
    pub(crate) fn is_beginning(&self, text: &[u8]) -> bool {
        let Place { number, after, .. } = self.place(text);
        after == text.len() && number < self.patterns.len()
    }

    /// The length of the shortest pattern that begins `text`, or that `text` is the beginning of.
    pub(crate) fn shortest(&self, text: &[u8]) -> Option<usize> {
        let Place { number, mut before, .. } = self.place(text);
        let begun =
            self.patterns[number..].iter().map(Pattern::head).take_while(|head| head.starts_with(text));
        let mut shortest = begun.map(<[u8]>::len).min();
        let mut last = number.checked_sub(1);
        while let Some(number) = last {
            let length = self.patterns[number].head().len();
            if length <= before {
                (shortest, before) = (Some(length), length);
            }
            last =
                Some(self.shorter[number]).filter(|shorter| *shorter != NONE).map(|shorter| shorter as usize);
        }
        shortest
    }

    /// Where `text` stands among the heads.
    fn place(&self, text: &[u8]) -> Place {
        let (mut low, mut high) = (0, self.patterns.len());
        let (mut before, mut after) = (0, 0);
        while low < high {
            let middle = low.midpoint(high);
            let head = self.patterns[middle].head();
            // All between two heads have in common what those have in common with the text.
            let known = before.min(after);
            let same = known + common(&head[known..], &text[known..]);
            if same == head.len() || text.get(same).is_some_and(|byte| head[same] < *byte) {
                (low, before) = (middle + 1, same);
            } else {
                (high, after) = (middle, same);
            }
        }
        Place { number: low, before, after }
    }
}

/// Where a text stands among the sorted heads.
struct Place {
    /// The first head that is greater.
    number: usize,
    /// How many bytes the text and the head before have in common.
    before: usize,
    /// How many bytes the text and the first greater head have in common.
    after: usize,
}

struct Filter {
    /// No pattern is shorter.
    window: usize,
    /// How far the window moves when its last block stands in no pattern's first window.
    farthest: usize,
    /// Picks the bytes of a block out of four.
    block: u32,
    /// Whether a block stands in some pattern's first window.
    blocks: Set,
    /// How far to move if so, by the hash of the block.
    shifts: Zeroizing<Vec<u8>>,
    /// The first four bytes of each pattern.
    starts: Set,
}

impl Filter {
    fn new(patterns: &[Pattern]) -> Self {
        let shortest = patterns.iter().map(|pattern| pattern.head().len()).min();
        let window = shortest.unwrap_or(WIDEST).min(WIDEST);
        let size = if window < WIDE { 3 } else { 4 };
        let farthest = window - size + 1;
        let bits = (patterns.len() * farthest).max(1).ilog2() + 3;
        let shifts = Zeroizing::new(vec![small(farthest); 1 << bits.clamp(SMALLEST, LARGEST)]);
        let mut filter = Self {
            window,
            farthest,
            block: u32::MAX << (8 * (4 - size)),
            blocks: Set::new(patterns.len() * farthest),
            shifts,
            starts: Set::new(patterns.len()),
        };
        for pattern in patterns {
            for at in 0..farthest {
                // The block stands in the upper bytes, as it does in the last four of a window.
                let mut four = [0; 4];
                four[4 - size..].copy_from_slice(&pattern.head()[at..at + size]);
                let block = u32::from_le_bytes(four);
                filter.blocks.insert(block);
                let place = hash(block, filter.shifts.len());
                let shift = &mut filter.shifts[place];
                *shift = (*shift).min(small(farthest - 1 - at));
            }
            filter.starts.insert(four(pattern.head(), 0).unwrap_or(0));
        }
        filter
    }

    fn next(&self, text: &[u8], from: usize) -> Result<usize, usize> {
        let (mut at, last) = (from, self.window - 4);
        loop {
            // Most windows hold no block that is known. Their places do not depend on each other, so that the processor
            // looks at several at once.
            while let Some(stretch) = text.get(at + last..at + last + 3 * self.farthest + 4) {
                let known = [0, 1, 2, 3].map(|window| self.is_known(stretch, window * self.farthest));
                let windows =
                    known.iter().rev().fold(0_u32, |windows, known| (windows << 1) | u32::from(*known));
                if windows > 0 {
                    at += windows.trailing_zeros() as usize * self.farthest;
                    break;
                }
                at += 4 * self.farthest;
            }
            let Some(block) = four(text, at + last) else { return Err(at) };
            match self.shifts[hash(block & self.block, self.shifts.len())] {
                0 if self.starts.may_have(four(text, at).unwrap_or(0)) => return Ok(at),
                0 => at += 1,
                shift => at += usize::from(shift),
            }
        }
    }

    /// Whether the block in the four bytes at a place may stand in the first window of some pattern.
    fn is_known(&self, text: &[u8], at: usize) -> bool {
        four(text, at).is_some_and(|bytes| self.blocks.may_have(bytes & self.block))
    }
}

/// A set of numbers that sometimes takes another for one of its own (Bloom, 1970, with one hash).
struct Set(Zeroizing<Vec<u64>>);

impl Set {
    /// With room for so many.
    fn new(numbers: usize) -> Self {
        let bits = (numbers.max(1).ilog2() + 6).clamp(SMALLEST, LARGEST + 3);
        Self(Zeroizing::new(vec![0; 1 << (bits - 6)]))
    }

    fn insert(&mut self, number: u32) {
        let hash = hash(number, self.0.len() * 64);
        self.0[hash / 64] |= 1 << (hash % 64);
    }

    fn may_have(&self, number: u32) -> bool {
        let hash = hash(number, self.0.len() * 64);
        (self.0[hash / 64] >> (hash % 64)) & 1 == 1
    }
}

fn small(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}

/// Four bytes; every pattern has as many.
fn four(text: &[u8], at: usize) -> Option<u32> {
    const { assert!(SHORTEST == 4) }
    text.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// A number below `size`, which is a power of two: the upper bits of a product with the golden ratio's fraction (Knuth,
/// "The Art of Computer Programming", 6.4).
fn hash(value: u32, size: usize) -> usize {
    ((u64::from(value.wrapping_mul(0x9e37_79b1)) * size as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forms::Form;
    use crate::pattern::{Maker, Source};

    fn search(heads: &[&str]) -> Search {
        let mut maker = Maker::new();
        let pattern = |head: &&str| maker.pattern(&Source::new(head.as_bytes()), Form::Raw, 0).unwrap();
        let mut patterns: Vec<Pattern> = heads.iter().map(pattern).collect();
        patterns.sort_by(|one, other| one.head().cmp(other.head()));
        Search::new(patterns)
    }

    fn found(search: &Search, text: &str, ended: bool) -> String {
        match search.find(text.as_bytes(), ended) {
            Found::Nothing => "nothing".to_owned(),
            Found::Open => "open".to_owned(),
            Found::Match { first, .. } => String::from_utf8(search.pattern(first).head().to_vec()).unwrap(),
        }
    }

    #[test]
    fn the_longest_pattern_is_found_among_those_that_begin_alike() {
        let search = search(&["abab", "ababab", "ababac", "ababacd", "abba", "zzzz"]);
        for (text, ended, what) in [
            ("ababx", false, "abab"),
            ("ababax", false, "abab"),
            ("ababab", false, "ababab"),
            ("ababac", false, "open"),
            ("ababac", true, "ababac"),
            ("ababad", false, "abab"),
            ("ababacdx", false, "ababacd"),
            ("abbb", false, "nothing"),
            ("ab", false, "open"),
            ("ab", true, "nothing"),
            ("zzzzz", false, "zzzz"),
            ("zzzx", false, "nothing"),
            ("zzzzzzzz", false, "zzzz"),
            ("aaaa", false, "nothing"),
        ] {
            assert_eq!(found(&search, text, ended), what, "{text}");
        }
    }

    #[test]
    fn the_shortest_pattern_in_question_counts_what_has_come_and_what_may() {
        let search = search(&["abcd", "abcdefgh", "abcdefghijkl", "abxxxx"]);
        for (text, shortest) in [
            ("a", Some(4)),
            ("abx", Some(6)),
            ("abcd", Some(4)),
            ("abcde", Some(4)),
            ("abcdefghi", Some(4)),
            ("b", None),
        ] {
            assert_eq!(search.shortest(text.as_bytes()), shortest, "{text}");
        }
    }

    #[test]
    fn the_filter_passes_over_no_beginning() {
        let heads = ["abcd", "bcdeabcdeabcdeabcdeabcdeabcdeabcdeabcde", "deabcdeabcdea"];
        for heads in [&heads[..], &heads[1..], &heads[1..2]] {
            let search = search(heads);
            let text = "eabcdeabcdeabcdeabcdeabcdeabcdeabcdeabcdeabcdeabcdeabcd";
            let (mut at, mut seen) = (0, Vec::new());
            while let Ok(place) = search.next_candidate(text.as_bytes(), at) {
                seen.push(place);
                at = place + 1;
            }
            for head in heads {
                for (place, _) in text.match_indices(head) {
                    assert!(seen.contains(&place), "{head} at {place} was passed over");
                }
            }
        }
    }
}

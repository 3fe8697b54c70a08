//! The forms of all secrets, prepared for a fast search.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::forms::{self, SHORTEST};

/// A form longer than this is recognised by its first so many bytes, and followed from there as far as it goes. So
/// no more than this is ever held back.
pub(crate) const HEAD: usize = 4_096;

/// The widest window of the filter, in bytes.
const WIDEST: usize = 24;

/// Bytes that the filter looks at together.
const BLOCK: usize = 3;

/// Entries of the filter's table.
const TABLE: usize = 1 << 16;

/// A value that is too short to be masked: it would stand in any text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name} has fewer than {SHORTEST} bytes, which is too short to be masked: what a program prints of it is shown"
)]
pub struct TooShort {
    name: String,
}

/// Collects secrets.
#[derive(Default)]
pub struct Builder {
    patterns: Vec<Pattern>,
}

/// One form of one secret.
pub(crate) struct Pattern {
    bytes: Zeroizing<Vec<u8>>,
    mark: Arc<str>,
}

impl Pattern {
    /// What it is recognised by.
    pub(crate) fn head(&self) -> &[u8] {
        &self.bytes[..self.bytes.len().min(HEAD)]
    }

    /// What follows the head.
    pub(crate) fn tail(&self) -> &[u8] {
        &self.bytes[self.bytes.len().min(HEAD)..]
    }

    /// What it is replaced by.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }
}

impl Builder {
    /// No secrets yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a secret in all its forms. Where two secrets share a form, the one that was added first gives the name.
    pub fn add(&mut self, name: &str, value: &[u8]) -> Result<(), TooShort> {
        if value.len() < SHORTEST {
            return Err(TooShort { name: name.to_owned() });
        }
        let mark: Arc<str> = format!("[envseal:{name}]").into();
        let forms = forms::of(value).into_iter();
        self.patterns.extend(forms.map(|bytes| Pattern { bytes, mark: Arc::clone(&mark) }));
        Ok(())
    }

    /// Prepares the search.
    pub fn build(mut self) -> Patterns {
        // Sorted so that the patterns which begin with given bytes stand together; stable, so that of equal ones the
        // first added stands first and the others go.
        self.patterns.sort_by(|one, other| one.bytes.cmp(&other.bytes));
        self.patterns.dedup_by(|later, earlier| later.bytes == earlier.bytes);
        Patterns(Arc::new(Search::new(self.patterns)))
    }
}

/// What a [`Masker`](crate::Masker) looks for. Cheap to clone; the forms are wiped when the last clone goes.
#[derive(Clone)]
pub struct Patterns(pub(crate) Arc<Search>);

impl Patterns {
    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.0.patterns.is_empty()
    }
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Patterns({} forms)", self.0.patterns.len())
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Builder({} forms)", self.patterns.len())
    }
}

/// A filter after Wu and Manber ("A fast algorithm for multi-pattern searching", 1994): from the last block of a window
/// it tells how far the window can move without passing over a beginning; where that is nothing, the patterns
/// with the window's first bytes are compared.
pub(crate) struct Search {
    /// Sorted.
    patterns: Vec<Pattern>,
    /// The window: no pattern is shorter.
    window: usize,
    /// How far to move, by the hash of a block.
    shifts: Vec<u8>,
    /// The patterns that begin with these four bytes, as a range of `patterns`.
    by_start: HashMap<[u8; SHORTEST], (u32, u32)>,
}

impl Search {
    fn new(patterns: Vec<Pattern>) -> Self {
        let window = patterns.iter().map(|pattern| pattern.bytes.len()).min().unwrap_or(WIDEST).min(WIDEST);
        let farthest = window - BLOCK + 1;
        let mut shifts = vec![u8::try_from(farthest).unwrap_or(u8::MAX); TABLE];
        let mut by_start: HashMap<[u8; SHORTEST], (u32, u32)> = HashMap::new();
        for (pattern, index) in patterns.iter().zip(0..) {
            for at in 0..farthest {
                let shift = &mut shifts[hash(&pattern.bytes[at..at + BLOCK])];
                *shift = (*shift).min(u8::try_from(farthest - 1 - at).unwrap_or(u8::MAX));
            }
            by_start.entry(start(&pattern.bytes)).or_insert((index, index)).1 = index + 1;
        }
        Self { patterns, window, shifts, by_start }
    }

    /// The first place from `from` on where a pattern may begin whose first window lies within `text`; else the first
    /// place whose window does not.
    pub(crate) fn next_candidate(&self, text: &[u8], from: usize) -> Result<usize, usize> {
        let mut at = from;
        while let Some(block) = text.get(at + self.window - BLOCK..at + self.window) {
            match self.shifts[hash(block)] {
                0 if self.by_start.contains_key(&start(&text[at..])) => return Ok(at),
                0 => at += 1,
                shift => at += usize::from(shift),
            }
        }
        Err(at)
    }

    /// The patterns that begin with the first bytes of `text`, of which there are at least four, with their numbers.
    pub(crate) fn starting_with(&self, text: &[u8]) -> impl Iterator<Item = (usize, &Pattern)> {
        let (from, to) = self.by_start.get(&start(text)).copied().unwrap_or_default();
        (from as usize..).zip(&self.patterns[from as usize..to as usize])
    }

    /// A pattern by its number.
    pub(crate) fn pattern(&self, number: usize) -> &Pattern {
        &self.patterns[number]
    }

    /// Whether `text` is the beginning of a pattern.
    pub(crate) fn is_prefix(&self, text: &[u8]) -> bool {
        self.shortest_from(text).is_some()
    }

    /// The length of the shortest head that begins with `text` and is longer.
    pub(crate) fn shortest_from(&self, text: &[u8]) -> Option<usize> {
        let from = self.patterns.partition_point(|pattern| pattern.head() < text);
        let begins = self.patterns[from..].iter().take_while(|pattern| pattern.head().starts_with(text));
        begins.map(|pattern| pattern.head().len()).filter(|length| *length > text.len()).min()
    }
}

fn hash(block: &[u8]) -> usize {
    let value = u32::from(block[0]) | u32::from(block[1]) << 8 | u32::from(block[2]) << 16;
    (value.wrapping_mul(0x9e37_79b1) >> 16) as usize
}

fn start(bytes: &[u8]) -> [u8; SHORTEST] {
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}

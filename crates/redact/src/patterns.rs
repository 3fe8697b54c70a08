//! What to look for: secrets are collected, then prepared once for any number of streams.

use std::fmt;
use std::sync::Arc;

use crate::forms::{self, Form};
use crate::marks;
use crate::pattern::{Maker, Pattern, Source};
use crate::search::Search;

/// The shortest value, and the shortest form, that is looked for.
pub(crate) const SHORTEST: usize = 4;

/// The shortest line of a value of several lines that is looked for on its own: shorter ones stand in any text.
const SHORTEST_LINE: usize = 8;

/// A value that is too short to be masked: it would stand in any text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name} has fewer than {SHORTEST} bytes, which is too short to be masked: what a program prints of it is shown"
)]
pub struct TooShort {
    name: String,
}

impl TooShort {
    /// The name of the secret.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Collects secrets.
pub struct Builder {
    names: Vec<String>,
    patterns: Vec<Pattern>,
    maker: Maker,
}

impl Builder {
    /// No secrets yet.
    pub fn new() -> Self {
        Self { names: Vec::new(), patterns: Vec::new(), maker: Maker::new() }
    }

    /// Adds a secret in all its forms. Where two secrets share a form, the one that was added first gives the name.
    ///
    /// A line ending at the end of the value may be missing from what is printed: programs strip it.
    ///
    /// # Errors
    ///
    /// [`TooShort`] when the value has fewer than four bytes: nothing was added.
    pub fn add(&mut self, name: &str, value: &[u8]) -> Result<(), TooShort> {
        if value.len() < SHORTEST {
            return Err(TooShort { name: name.to_owned() });
        }
        let secret = u32::try_from(self.names.len()).expect("fewer than four thousand million secrets");
        self.names.push(name.to_owned());
        let source = Source::new(value);
        let mut add = |part: Source, forms: &[Form]| {
            self.patterns.extend(forms.iter().filter_map(|form| self.maker.pattern(&part, *form, secret)));
        };
        add(source.clone(), &forms::of(value));
        let stripped = value.trim_suffix_of(b"\r\n");
        if stripped.len() < value.len() && stripped.len() >= SHORTEST {
            add(source.part(0..stripped.len()), &forms::of(stripped));
        }
        if stripped.contains(&b'\n') {
            let mut from = 0;
            for line in stripped.split(|byte| *byte == b'\n') {
                let length = line.strip_suffix(b"\r").unwrap_or(line).len();
                if length >= SHORTEST_LINE {
                    add(source.part(from..from + length), &[Form::Raw]);
                }
                from += line.len() + 1;
            }
        }
        Ok(())
    }

    /// Prepares the search.
    pub fn build(mut self) -> Patterns {
        // Sorted so that the patterns which begin alike stand together; stable, so that of equal ones the first added
        // stands first and the others go.
        self.patterns.sort_by(|one, other| one.head().cmp(other.head()));
        self.patterns.dedup_by(|later, earlier| later.is_same(earlier));
        let search = Search::new(self.patterns);
        let marks = self.names.iter().map(|name| marks::choose(name, &search)).collect();
        Patterns(Arc::new(Prepared { search, marks }))
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

trait TrimSuffix {
    fn trim_suffix_of(&self, bytes: &[u8]) -> &Self;
}

impl TrimSuffix for [u8] {
    fn trim_suffix_of(&self, bytes: &[u8]) -> &Self {
        let end = self.iter().rposition(|byte| !bytes.contains(byte)).map_or(0, |last| last + 1);
        &self[..end]
    }
}

/// What a [`Masker`](crate::Masker) looks for. Cheap to clone; the values and their forms are wiped when the last clone
/// goes.
#[derive(Clone)]
pub struct Patterns(Arc<Prepared>);

struct Prepared {
    search: Search,
    /// What each secret is replaced by.
    marks: Vec<Box<str>>,
}

impl Patterns {
    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.0.search.longest() == 0
    }

    /// The most bytes that have to be seen to recognise a form: the length of the longest one, and 4,096 at most. So
    /// many are never held back.
    pub fn longest(&self) -> usize {
        self.0.search.longest()
    }

    pub(crate) fn search(&self) -> &Search {
        &self.0.search
    }

    /// What a pattern is replaced by.
    pub(crate) fn mark(&self, pattern: &Pattern) -> &[u8] {
        self.0.marks[pattern.secret as usize].as_bytes()
    }
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Patterns({} forms)", self.0.search.len())
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Builder({} forms)", self.patterns.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_values_are_refused_and_named() {
        let error = Builder::new().add("PIN", b"123").unwrap_err();
        assert_eq!(error.name(), "PIN");
        assert!(!error.to_string().contains("123"), "{error}");
    }

    #[test]
    fn nothing_prints_a_value() {
        let mut builder = Builder::new();
        builder.add("PW", b"hunter2-long").unwrap();
        assert!(!format!("{builder:?}").contains("hunter2"));
        let patterns = builder.build();
        assert!(!format!("{patterns:?}").contains("hunter2"));
        let mut masker = crate::Masker::new(patterns);
        masker.push(b"hunter2", &mut Vec::new());
        let shown = format!("{masker:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("104"), "{shown}");
    }

    #[test]
    fn patterns_are_shared_between_threads() {
        fn shared<T: Send + Sync + Clone>() {}
        shared::<Patterns>();
        assert!(Builder::new().build().is_empty());
    }

    #[test]
    fn the_longest_form_is_bounded() {
        let mut builder = Builder::new();
        builder.add("PW", b"abcd").unwrap();
        // Every byte as %XX.
        assert_eq!(builder.build().longest(), 12);
        let mut builder = Builder::new();
        builder.add("LONG", &[b'x'; 100_000]).unwrap();
        assert_eq!(builder.build().longest(), 4_096);
    }
}

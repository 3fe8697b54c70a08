//! What was typed, from the records of a console's input.

use zeroize::Zeroizing;

/// VK_MENU: the Alt key.
const ALT: u16 = 0x12;

/// What a record of a key says (KEY_EVENT_RECORD).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) is_down: bool,
    /// How often the key was pressed; 0 counts as once.
    pub(crate) repeat: u16,
    /// Which key (VK_*).
    pub(crate) key: u16,
    /// The UTF-16 unit that it gives, 0 when none.
    pub(crate) unit: u16,
}

/// The most records that are taken before the characters are.
pub(crate) const ROOM: usize = 32;

/// Characters that were typed and not given out. What was given out is overwritten.
#[derive(Debug)]
pub(crate) struct Typed {
    /// Each with how often it is still to be given. Never grows: a vector that does leaves copies in freed memory.
    characters: Zeroizing<Vec<(char, u16)>>,
    next: usize,
    /// The first half of a surrogate pair, whose other half has not come yet.
    half: Zeroizing<u16>,
}

impl Typed {
    pub(crate) fn new() -> Typed {
        Typed { characters: Zeroizing::new(Vec::with_capacity(ROOM)), next: 0, half: Zeroizing::new(0) }
    }

    /// Whether everything was given out, so that [`ROOM`] records may be added.
    pub(crate) fn is_empty(&self) -> bool {
        self.next == self.characters.len()
    }

    /// Forgets what was not given out.
    pub(crate) fn clear(&mut self) {
        *self = Typed::new();
    }

    /// Adds what a key gave: when it was pressed, or, of a character that was typed by its number or pasted without a
    /// key of its own, when Alt was let go. A surrogate without its other half is passed over.
    pub(crate) fn add(&mut self, record: &Record) {
        if record.unit == 0 || !(record.is_down || record.key == ALT) {
            return;
        }
        let half = std::mem::take(&mut *self.half);
        let pair = [half, record.unit];
        let text = if half == 0 { &pair[1..] } else { &pair[..] };
        for character in char::decode_utf16(text.iter().copied()).flatten() {
            if self.characters.len() < ROOM {
                self.characters.push((character, record.repeat.max(1)));
            }
        }
        if (0xd800..0xdc00).contains(&record.unit) {
            *self.half = record.unit;
        }
    }

    /// The next character.
    pub(crate) fn next(&mut self) -> Option<char> {
        let (character, times) = self.characters.get_mut(self.next)?;
        let found = *character;
        *times -= 1;
        if *times == 0 {
            *character = '\0';
            self.next += 1;
        }
        if self.is_empty() {
            self.characters.clear();
            self.next = 0;
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down(unit: u16) -> Record {
        Record { is_down: true, repeat: 1, key: 0x41, unit }
    }

    fn up(record: Record) -> Record {
        Record { is_down: false, ..record }
    }

    /// What batches of records give, each taken when it came.
    fn typed<'a>(batches: impl IntoIterator<Item = &'a [Record]>) -> String {
        let mut typed = Typed::new();
        let mut text = String::new();
        for batch in batches {
            batch.iter().for_each(|record| typed.add(record));
            text.extend(std::iter::from_fn(|| typed.next()));
            assert!(typed.is_empty());
        }
        text
    }

    #[test]
    fn a_key_counts_when_it_goes_down_as_often_as_it_says() {
        let a = down(0x61);
        assert_eq!(typed([&[a, up(a), Record { repeat: 3, ..down(0x62) }][..]]), "abbb");
        assert_eq!(typed([&[Record { repeat: 0, ..a }][..]]), "a");
        // Shift and the arrows give nothing.
        assert_eq!(typed([&[down(0), a][..]]), "a");
    }

    #[test]
    fn a_character_typed_by_its_number_comes_when_alt_is_let_go() {
        let alt = Record { is_down: true, repeat: 1, key: ALT, unit: 0 };
        let digit = Record { key: 0x61, ..alt };
        let sequence = [alt, digit, up(digit), Record { unit: 0xe9, ..up(alt) }];
        assert_eq!(typed([&sequence[..]]), "é");
        assert_eq!(typed([&[Record { unit: 0xe9, ..up(digit) }][..]]), "", "not of another key");
        let halves = [0xd83d, 0xdd11].map(|unit| Record { unit, ..up(alt) });
        assert_eq!(typed([&halves[..]]), "\u{1f511}");
    }

    #[test]
    fn a_surrogate_pair_is_one_character_wherever_the_batch_ends() {
        let [high, low] = [0xd83d, 0xdd11].map(down);
        let all = [down(0x61), high, up(high), low, up(low), down(0x62)];
        for end in 0..=all.len() {
            let (first, second) = all.split_at(end);
            assert_eq!(typed([first, second]), "a\u{1f511}b", "{end}");
        }
    }

    #[test]
    fn half_a_pair_is_passed_over() {
        let [high, low, a] = [0xd83d, 0xdd11, 0x61].map(down);
        for (records, expected) in [
            (&[high, a][..], "a"),
            (&[low, a], "a"),
            (&[high, high, low], "\u{1f511}"),
            (&[a, high], "a"),
            (&[high, low, low, a], "\u{1f511}a"),
        ] {
            assert_eq!(typed([records]), expected, "{records:?}");
        }
    }

    #[test]
    fn what_was_given_out_is_overwritten() {
        let mut typed = Typed::new();
        let room = typed.characters.as_ptr();
        for round in 0..3 {
            [0x61, 0x62].map(down).iter().for_each(|record| typed.add(record));
            assert_eq!((typed.next(), typed.characters[0].0), (Some('a'), '\0'), "{round}");
            assert_eq!(typed.next(), Some('b'));
        }
        (0..2 * ROOM).for_each(|_| typed.add(&down(0x63)));
        assert_eq!((typed.characters.len(), typed.characters.as_ptr()), (ROOM, room));
        typed.clear();
        assert!(typed.is_empty() && typed.next().is_none());
    }
}

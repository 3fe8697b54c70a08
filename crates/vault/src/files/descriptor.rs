//! Security descriptors of Windows as bytes: the one that a private file is made with, and what one that was read says.
//!
//! Self-relative form (MS-DTYP 2.4.2 to 2.4.6), numbers little-endian. Pure, so that it is tested on every system.

use std::fmt;

/// Revision 1, five bytes of authority, one to fifteen further numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sid(Vec<u8>);

/// `NT AUTHORITY\SYSTEM`.
const SYSTEM: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
/// `BUILTIN\Administrators`.
const ADMINISTRATORS: &[u8] = &[1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 32, 2, 0, 0];

impl Sid {
    /// Reads the SID that bytes begin with.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let &[1, count @ 1..=15, ..] = bytes else { return None };
        bytes.get(..8 + 4 * usize::from(count)).map(|sid| Self(sid.to_vec()))
    }

    /// Its bytes.
    #[cfg_attr(not(windows), expect(dead_code, reason = "for Windows' number of this machine and user"))]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is the system or its administrators, who can read every file anyway.
    fn is_above(&self) -> bool {
        self.0 == SYSTEM || self.0 == ADMINISTRATORS
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.0[2..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        write!(f, "S-1-{authority}")?;
        let (numbers, _) = self.0[8..].as_chunks();
        numbers.iter().try_for_each(|number| write!(f, "-{}", u32::from_le_bytes(*number)))
    }
}

/// The list of who may do what is there.
const DACL_PRESENT: u16 = 0x0004;
/// Nothing is inherited into it.
const DACL_PROTECTED: u16 = 0x1000;
/// The list of what is recorded, and of how trusted a program has to be, is there.
const SACL_PRESENT: u16 = 0x0010;
/// The descriptor is one block of bytes.
const SELF_RELATIVE: u16 = 0x8000;
/// Everything that can be done with a file (`FILE_ALL_ACCESS`).
const ALL: u32 = 0x001f_01ff;
/// Files and directories that are made in the directory get the entry too.
const TO_CHILDREN: u8 = 0x01 | 0x02;
const ALLOWED: u8 = 0;
const DENIED: u8 = 1;
/// An entry that says how trusted a program has to be (MS-DTYP 2.4.4.13).
const LABEL: u8 = 0x11;
/// Neither reading nor writing by a program that is less trusted.
const NO_READ_OR_WRITE_UP: u32 = 0x1 | 0x2;
/// As trusted as a user's programs are: S-1-16-8192.
const MEDIUM: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 16, 0, 0x20, 0, 0];
/// Bytes before the owner.
const HEADER: usize = 20;

/// A descriptor, aligned as the system wants it.
pub(crate) struct Descriptor(Vec<u32>);

impl Descriptor {
    /// Owner `user`, who alone may do anything; nothing is inherited. What is made in a directory gets the same entry.
    pub(crate) fn private(user: &Sid, directory: bool) -> Self {
        Self::allowing(user, &[user], if directory { TO_CHILDREN } else { 0 })
    }

    /// The same, with everybody let in.
    #[cfg(test)]
    pub(crate) fn open_to_everybody(user: &Sid) -> Self {
        let everybody = Sid(vec![1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
        Self::allowing(user, &[user, &everybody], 0)
    }

    /// A directory as [`Descriptor::private`] makes it, with the label that keeps programs of less than medium integrity
    /// from reading and writing in it: `S:(ML;OICI;NRNW;;;ME)`.
    pub(crate) fn labelled(user: &Sid) -> Self {
        let mut words = Self::private(user, true).0;
        // The list is the last part, and its place is what the header has none of yet.
        let (at, control) = (4 * words.len() as u32, SACL_PRESENT.to_le_bytes());
        let entry = [[LABEL, TO_CHILDREN], 20u16.to_le_bytes()].concat();
        let list = [[2, 0], 28u16.to_le_bytes(), 1u16.to_le_bytes(), [0, 0]].concat();
        let added = [list, entry, NO_READ_OR_WRITE_UP.to_le_bytes().to_vec(), MEDIUM.to_vec()].concat();
        words[0] |= u32::from_ne_bytes([0, 0, control[0], control[1]]);
        words[3] = u32::from_ne_bytes(at.to_le_bytes());
        words.extend(added.as_chunks().0.iter().map(|word| u32::from_ne_bytes(*word)));
        Self(words)
    }

    fn allowing(owner: &Sid, allowed: &[&Sid], flags: u8) -> Self {
        let entry = |sid: &Sid| {
            let length = 8 + sid.0.len() as u16;
            let head = [[ALLOWED, flags], length.to_le_bytes()].concat();
            [&head, ALL.to_le_bytes().as_slice(), &sid.0].concat()
        };
        let entries: Vec<u8> = allowed.iter().flat_map(|sid| entry(sid)).collect();
        let control = SELF_RELATIVE | DACL_PRESENT | DACL_PROTECTED;
        let dacl = HEADER + owner.0.len();
        let mut bytes = vec![1, 0];
        bytes.extend(control.to_le_bytes());
        // Where the owner is, no group, no list of what is recorded, where the list of access is.
        [HEADER, 0, 0, dacl].iter().for_each(|offset| bytes.extend((*offset as u32).to_le_bytes()));
        bytes.extend(&owner.0);
        // The list: revision 2, its length, how many entries.
        bytes.extend([2, 0]);
        [8 + entries.len(), allowed.len(), 0]
            .iter()
            .for_each(|number| bytes.extend((*number as u16).to_le_bytes()));
        bytes.extend(entries);
        let (words, rest) = bytes.as_chunks();
        debug_assert!(rest.is_empty(), "every part is a multiple of four bytes");
        Self(words.iter().map(|word| u32::from_ne_bytes(*word)).collect())
    }

    /// Its bytes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    /// Where it begins.
    #[cfg_attr(not(windows), expect(dead_code, reason = "for the calls of Windows"))]
    pub(crate) fn as_ptr(&self) -> *const u32 {
        self.0.as_ptr()
    }
}

/// Why a file is not private.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Loose {
    /// It is another user's.
    Owner(Sid),
    /// It has no list of who may reach it: everybody may.
    Open,
    /// Somebody else may reach it.
    Reaches(Sid),
    /// The descriptor has parts that are not known here.
    Unknown,
}

/// Judges what the system says of a file: whether it is `user`'s, or the administrators' (as what an elevated program
/// makes is), or with `or_system` the system's, and only that user, the administrators and the system may reach it.
pub(crate) fn judge(bytes: &[u8], user: &Sid, or_system: bool) -> Option<Loose> {
    match parse(bytes) {
        None => Some(Loose::Unknown),
        Some((owner, _)) if !is_owner(&owner, user, or_system) => Some(Loose::Owner(owner)),
        Some((_, None)) => Some(Loose::Open),
        Some((_, Some(allowed))) => {
            allowed.into_iter().find(|sid| sid != user && !sid.is_above()).map(Loose::Reaches)
        }
    }
}

/// Whether the label that the system says of a file keeps programs of less than medium integrity from reading and
/// writing it.
pub(crate) fn keeps_low_out(bytes: &[u8]) -> bool {
    label(bytes).is_some_and(|(mask, level)| {
        mask & NO_READ_OR_WRITE_UP == NO_READ_OR_WRITE_UP && level >= u32::from_le_bytes([0, 0x20, 0, 0])
    })
}

/// What a file's label refuses, and below which level.
fn label(bytes: &[u8]) -> Option<(u32, u32)> {
    let half = |at: usize| bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_le_bytes);
    let word = |at: usize| bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes);
    let at = usize::try_from(word(12)?).ok()?;
    if half(2)? & SACL_PRESENT == 0 || at < HEADER {
        return None;
    }
    let mut entry = at.checked_add(8)?;
    for _ in 0..half(at.checked_add(4)?)? {
        let (kind, length) = (*bytes.get(entry)?, usize::from(half(entry.checked_add(2)?)?));
        if kind == LABEL {
            // One number after the authority of labels.
            let is_label = bytes.get(entry + 8..entry + 16)? == &MEDIUM[..8];
            return is_label.then_some((word(entry + 4)?, word(entry + 16)?));
        }
        entry = entry.checked_add(length.max(4))?;
    }
    None
}

fn is_owner(owner: &Sid, user: &Sid, or_system: bool) -> bool {
    owner == user || owner.0 == ADMINISTRATORS || (or_system && owner.0 == SYSTEM)
}

/// The owner, and to whom anything is allowed; `None` for those when there is no list.
fn parse(bytes: &[u8]) -> Option<(Sid, Option<Vec<Sid>>)> {
    let half = |at: usize| bytes.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes);
    let word = |at: usize| {
        let number = bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)?;
        usize::try_from(number).ok()
    };
    let (control, owner, dacl) = (half(2)?, word(4)?, word(16)?);
    if bytes[0] != 1 || control & SELF_RELATIVE == 0 || owner < HEADER {
        return None;
    }
    let owner = Sid::parse(bytes.get(owner..)?)?;
    if control & DACL_PRESENT == 0 || dacl == 0 {
        return Some((owner, None));
    }
    let (length, count) = (half(dacl.checked_add(2)?)?, half(dacl.checked_add(4)?)?);
    let mut entries = bytes.get(dacl..)?.get(..usize::from(length))?.get(8..)?;
    let mut allowed = Vec::new();
    for _ in 0..count {
        let &[kind, _, low, high, ..] = entries else { return None };
        let (entry, rest) = entries.split_at_checked(u16::from_le_bytes([low, high]).into())?;
        let sid = Sid::parse(entry.get(8..)?)?;
        match kind {
            ALLOWED => allowed.push(sid),
            DENIED => {}
            _ => return None,
        }
        entries = rest;
    }
    Some((owner, Some(allowed)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sid(text: &[u32]) -> Sid {
        let mut bytes = vec![1, text.len() as u8, 0, 0, 0, 0, 0, 5];
        text.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        Sid::parse(&bytes).unwrap()
    }

    fn me() -> Sid {
        sid(&[21, 1, 2, 3, 1000])
    }

    fn bytes(descriptor: &Descriptor) -> Vec<u8> {
        descriptor.bytes()
    }

    /// Mine, with one more entry in the list.
    fn with_entry(kind: u8, whose: &Sid) -> Vec<u8> {
        let mut all = bytes(&Descriptor::private(&me(), true));
        let dacl = HEADER + me().0.len();
        let length = 8 + whose.0.len() as u16;
        let total = u16::from_le_bytes([all[dacl + 2], all[dacl + 3]]) + length;
        all[dacl + 2..dacl + 4].copy_from_slice(&total.to_le_bytes());
        all[dacl + 4] = 2;
        all.extend([kind, 0]);
        all.extend(length.to_le_bytes());
        all.extend(1u32.to_le_bytes());
        all.extend(&whose.0);
        all
    }

    #[test]
    fn a_sid_reads_as_windows_writes_it() {
        assert_eq!(me().to_string(), "S-1-5-21-1-2-3-1000");
        assert_eq!(Sid::parse(SYSTEM).unwrap().to_string(), "S-1-5-18");
        assert_eq!(Sid::parse(ADMINISTRATORS).unwrap().to_string(), "S-1-5-32-544");
        for bad in [&[] as &[u8], &[1], &[2, 1, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0], &SYSTEM[..11]] {
            assert!(Sid::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_made_private_is_judged_private_and_nobody_elses() {
        for directory in [true, false] {
            let made = bytes(&Descriptor::private(&me(), directory));
            assert_eq!(judge(&made, &me(), false), None);
            assert_eq!(judge(&made, &sid(&[21, 1, 2, 3, 1001]), false), Some(Loose::Owner(me())));
        }
    }

    #[test]
    fn whoever_else_may_reach_it_is_named() {
        let everybody = Sid::parse(&[1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]).unwrap();
        for other in [everybody, sid(&[32, 545]), sid(&[21, 1, 2, 3, 1001])] {
            let loose = judge(&with_entry(ALLOWED, &other), &me(), false);
            assert_eq!(loose, Some(Loose::Reaches(other.clone())));
            assert_eq!(judge(&with_entry(DENIED, &other), &me(), false), None, "a refusal widens nothing");
            assert_eq!(judge(&with_entry(5, &other), &me(), false), Some(Loose::Unknown));
        }
        for above in [SYSTEM, ADMINISTRATORS] {
            assert_eq!(judge(&with_entry(ALLOWED, &Sid::parse(above).unwrap()), &me(), false), None);
        }
    }

    #[test]
    fn what_everybody_may_reach_is_not_private() {
        let loose = judge(&bytes(&Descriptor::open_to_everybody(&me())), &me(), false);
        assert!(matches!(loose, Some(Loose::Reaches(who)) if who.to_string() == "S-1-1-0"));
    }

    #[test]
    fn a_file_without_a_list_is_everybodys() {
        let mut none = bytes(&Descriptor::private(&me(), false));
        none[2] &= !4;
        assert_eq!(judge(&none, &me(), false), Some(Loose::Open));
        let mut null = bytes(&Descriptor::private(&me(), false));
        null[16..20].fill(0);
        assert_eq!(judge(&null, &me(), false), Some(Loose::Open));
    }

    #[test]
    fn the_system_owns_only_where_that_is_asked_for_and_the_administrators_always() {
        let owned = |owner: &[u8]| bytes(&Descriptor::private(&Sid::parse(owner).unwrap(), false));
        assert!(judge(&owned(SYSTEM), &me(), true).is_none());
        assert!(matches!(judge(&owned(SYSTEM), &me(), false), Some(Loose::Owner(_))));
        assert!(judge(&owned(ADMINISTRATORS), &me(), false).is_none());
    }

    #[test]
    fn a_label_is_read_as_it_is_made_and_no_weaker_one_for_it() {
        let made = bytes(&Descriptor::labelled(&me()));
        assert_eq!(judge(&made, &me(), false), None, "the list of access is the same");
        assert!(keeps_low_out(&made));
        assert!(!keeps_low_out(&bytes(&Descriptor::private(&me(), true))));
        let at = made.len() - 16;
        assert_eq!(made[at..at + 4], 3u32.to_le_bytes());
        for (place, value) in [(at, 1), (at, 2), (at + 13, 0x10), (2, 0x04), (at - 4, 0x02)] {
            let mut weaker = made.clone();
            weaker[place] = value;
            assert!(!keeps_low_out(&weaker), "byte {place}");
        }
        (0..made.len()).for_each(|length| assert!(!keeps_low_out(&made[..length]), "cut at {length}"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = (judge(&bytes, &me(), true), keeps_low_out(&bytes));
        }

        #[test]
        fn no_change_makes_the_reader_panic(at in 0usize..112, byte: u8) {
            let mut made = bytes(&Descriptor::labelled(&me()));
            if let Some(place) = made.get_mut(at) {
                *place = byte;
            }
            let _ = (judge(&made, &me(), true), keeps_low_out(&made));
        }
    }
}

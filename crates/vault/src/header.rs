//! The first hundred bytes of a vault file, read before SQLite sees any of it.
//!
//! Layout: <https://www.sqlite.org/fileformat2.html>, section 1.3.

use std::path::Path;

use crate::VaultError;

/// Says that the file is envseal's: "ENVS", at offset 68.
pub const APPLICATION_ID: u32 = 0x454e_5653;
/// The format that this version writes and reads, at offset 60.
pub const FORMAT: u32 = 1;
/// Bytes of a page.
const PAGE: u64 = 4096;
/// Fields that are the same in every vault, and their offsets.
const FIXED: &[(usize, &[u8])] = &[
    // Page size; write-ahead log for writing and reading; no reserved bytes; the payload fractions.
    (16, &[16, 0, 2, 2, 0, 64, 32, 32]),
    // Schema format.
    (44, &[0, 0, 0, 4]),
    // No automatic vacuum; UTF-8.
    (52, &[0, 0, 0, 0, 0, 0, 0, 1]),
    // No incremental vacuum.
    (64, &[0; 4]),
    // Reserved for expansion.
    (72, &[0; 20]),
];
/// Bytes of the header.
pub const LEN: usize = 100;

/// Checks a header: that it is SQLite's and ours, of a known version, and that the file is as long as it says.
///
/// `complete` says that no write-ahead log stands beside the file: only then does its length have to be right.
pub fn check(header: &[u8], length: u64, complete: bool, path: &Path) -> Result<(), VaultError> {
    let foreign = || VaultError::Foreign { path: path.into() };
    let word = |at: usize| header.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
    if length < LEN as u64 {
        return Err(match b"SQLite format 3\0".starts_with(&header[..header.len().min(16)]) {
            true => VaultError::Truncated { found: length, expected: LEN as u64 },
            false => foreign(),
        });
    }
    if !header.starts_with(b"SQLite format 3\0") {
        let zeroed = header.iter().all(|byte| *byte == 0);
        return Err(if zeroed { VaultError::corrupt("its first page is zeroed") } else { foreign() });
    }
    if word(68) != Some(APPLICATION_ID) {
        return Err(foreign());
    }
    match word(60) {
        Some(FORMAT) => {}
        Some(found @ FORMAT..) => return Err(VaultError::Newer { found, known: FORMAT }),
        _ => return Err(VaultError::corrupt("its header has no format number")),
    }
    for (at, bytes) in FIXED {
        if header.get(*at..*at + bytes.len()) != Some(bytes) {
            return Err(VaultError::corrupt(format!("its header was changed at byte {at}")));
        }
    }
    let expected = PAGE * u64::from(word(28).unwrap_or(0));
    if complete && length < expected {
        return Err(VaultError::Truncated { found: length, expected });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn good() -> Vec<u8> {
        let mut header = vec![0; LEN];
        header[..16].copy_from_slice(b"SQLite format 3\0");
        for (at, bytes) in FIXED {
            header[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
        header[28..32].copy_from_slice(&3u32.to_be_bytes());
        header[60..64].copy_from_slice(&FORMAT.to_be_bytes());
        header[68..72].copy_from_slice(&APPLICATION_ID.to_be_bytes());
        header
    }

    fn check_bytes(header: &[u8], length: u64) -> Result<(), VaultError> {
        check(header, length, true, Path::new("v"))
    }

    #[test]
    fn a_header_of_ours_is_taken() {
        assert!(check_bytes(&good(), 3 * 4096).is_ok());
        assert!(check(&good(), 4096, false, Path::new("v")).is_ok());
    }

    #[test]
    fn what_is_wrong_with_a_header_is_named() {
        let with = |at: usize, bytes: &[u8]| {
            let mut header = good();
            header[at..at + bytes.len()].copy_from_slice(bytes);
            check_bytes(&header, 3 * 4096).unwrap_err()
        };
        assert!(matches!(check_bytes(&good(), 3 * 4096 - 1), Err(VaultError::Truncated { .. })));
        assert!(matches!(check_bytes(&[], 0), Err(VaultError::Truncated { .. })));
        assert!(matches!(check_bytes(&[0; LEN], 9000), Err(VaultError::Corrupt { .. })));
        assert!(matches!(with(0, b"x"), VaultError::Foreign { .. }));
        assert!(matches!(with(68, &[0; 4]), VaultError::Foreign { .. }));
        assert!(matches!(with(60, &[0, 0, 0, 2]), VaultError::Newer { found: 2, known: 1 }));
        assert!(matches!(with(60, &[0; 4]), VaultError::Corrupt { .. }));
        for (at, _) in FIXED {
            assert!(matches!(with(*at, &[99]), VaultError::Corrupt { .. }));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_check_panic(bytes in prop::collection::vec(any::<u8>(), 0..120), length: u64) {
            let _ = check_bytes(&bytes, length);
        }
    }
}

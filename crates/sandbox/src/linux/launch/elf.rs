//! The dynamic loader that an ELF program names (PT_INTERP, elf(5)).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

const MAGIC: [u8; 4] = *b"\x7fELF";
const PT_INTERP: u32 = 3;
/// EI_CLASS: programs of 64 bits.
const CLASS_64: u8 = 2;
/// EI_DATA of this machine's byte order.
const ORDER: u8 = if cfg!(target_endian = "little") { 1 } else { 2 };

/// Whether these bytes are a program of this machine's word size and byte order.
pub(super) fn is_program(bytes: &[u8]) -> bool {
    let class = if cfg!(target_pointer_width = "64") { CLASS_64 } else { 1 };
    bytes.get(..6) == Some(&[MAGIC[0], MAGIC[1], MAGIC[2], MAGIC[3], class, ORDER])
}

/// The path of the loader; `None` for a static program, and for what is no 64-bit program of this machine.
pub(in crate::backend) fn interpreter(bytes: &[u8]) -> Option<PathBuf> {
    if !is_program(bytes) || bytes.get(4) != Some(&CLASS_64) {
        return None;
    }
    // Elf64_Ehdr: e_phoff at 32, e_phentsize at 54, e_phnum at 56.
    let table = usize::try_from(number::<8>(bytes, 32)?).ok()?;
    let (size, count) = (number::<2>(bytes, 54)? as usize, number::<2>(bytes, 56)? as usize);
    for entry in 0..count {
        let at = table.checked_add(entry.checked_mul(size)?)?;
        // Elf64_Phdr: p_type at 0, p_offset at 8, p_filesz at 32.
        if number::<4>(bytes, at)? == u64::from(PT_INTERP) {
            let start = usize::try_from(number::<8>(bytes, at.checked_add(8)?)?).ok()?;
            let length = usize::try_from(number::<8>(bytes, at.checked_add(32)?)?).ok()?;
            let name = bytes.get(start..start.checked_add(length)?)?.strip_suffix(b"\0")?;
            return Some(PathBuf::from(OsStr::from_bytes(name))).filter(|path| path.is_absolute());
        }
    }
    None
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(N)?)?;
    let mut whole = [0; 8];
    if cfg!(target_endian = "little") {
        whole[..N].copy_from_slice(field);
        Some(u64::from_le_bytes(whole))
    } else {
        whole[8 - N..].copy_from_slice(field);
        Some(u64::from_be_bytes(whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_of_a_shell_is_found_and_is_a_program() {
        let shell = std::fs::read("/bin/sh").expect("a file");
        assert!(is_program(&shell));
        // A system whose shell is static has none.
        if let Some(path) = interpreter(&shell) {
            let loader = std::fs::read(&path).expect("the loader");
            assert!(is_program(&loader) && interpreter(&loader).is_none());
        }
    }

    #[test]
    fn no_damaged_program_makes_it_panic() {
        let shell = std::fs::read("/bin/sh").expect("a file");
        let head = &shell[..shell.len().min(2048)];
        for length in 0..head.len() {
            let _ = interpreter(&head[..length]);
        }
        for place in 0..head.len().min(1024) {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = head.to_vec();
                damaged[place] = value;
                damaged[(place + 1) % 1024] = value;
                let _ = interpreter(&damaged);
            }
        }
    }
}

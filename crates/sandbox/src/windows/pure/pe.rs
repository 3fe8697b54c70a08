//! Whether the head of a file is that of a program (PE/COFF specification).

/// How many bytes of a file are looked at.
pub(crate) const LOOKS_AT: usize = 4096;

/// `IMAGE_FILE_EXECUTABLE_IMAGE` and `IMAGE_FILE_DLL` of the characteristics.
const EXECUTABLE: u16 = 0x0002;
const DLL: u16 = 0x2000;

/// Whether `head`, the start of a file, begins a program that `CreateProcessW` loads itself: no library, no
/// DOS program, no text. For which processor it is, the system decides.
pub(crate) fn is_program(head: &[u8]) -> bool {
    let Some(offset) = word(head, 0x3c).filter(|_| head.starts_with(b"MZ")) else { return false };
    let Ok(offset) = usize::try_from(offset) else { return false };
    let Some(header) = head.get(offset..).filter(|header| header.starts_with(b"PE\0\0")) else {
        return false;
    };
    let characteristics = header.get(22..24).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    characteristics.is_some_and(|flags| flags & EXECUTABLE != 0 && flags & DLL == 0)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(offset: u32, characteristics: u16) -> Vec<u8> {
        let mut head = vec![0; 256];
        head[..2].copy_from_slice(b"MZ");
        head[0x3c..0x40].copy_from_slice(&offset.to_le_bytes());
        if let Some(header) = head.get_mut(offset as usize..offset as usize + 24) {
            header[..4].copy_from_slice(b"PE\0\0");
            header[22..].copy_from_slice(&characteristics.to_le_bytes());
        }
        head
    }

    #[test]
    fn a_program_is_told_from_what_is_none() {
        assert!(is_program(&head(0x80, 0x0022)));
        assert!(!is_program(&head(0x80, 0x2022)), "a library");
        assert!(!is_program(&head(0x80, 0)), "an object that was not linked");
        assert!(!is_program(&head(u32::MAX, 0x0022)) && !is_program(&head(250, 0x0022)));
        assert!(!is_program(b"") && !is_program(b"MZ") && !is_program(b"@echo off\r\n"));
        let mut text = head(0x80, 0x0022);
        text[0] = b'#';
        assert!(!is_program(&text));
    }
}

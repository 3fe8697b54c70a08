//! A program that is opened once, hashed through that handle and executed through it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::backend;
use crate::shebang::{LOOKS_AT, Shebang};
use crate::{Given, ImageError};

/// An open program: the handle, what its bytes hash to, and where it was found.
///
/// What is at the path later does not matter: [`start`](crate::start) executes the handle. Against a
/// writer of the same file, where this user could be one, a read lease is held from before the hash for
/// as long as the image lives: who opens the file for writing waits, or gets EWOULDBLOCK. Where no lease
/// is to be had, [`Image::guarded`] says so and [`Image::rehash`] tells whether a writer was there.
/// On Windows the handle shares reading alone, until the process is created: nobody can open the file for
/// writing, map it writable, rename or delete it, nor rename a directory above it.
#[derive(Debug)]
pub struct Image {
    file: File,
    path: PathBuf,
    sha256: [u8; 32],
    shebang: Option<Shebang>,
    guard: backend::Guard,
}

impl Image {
    /// Resolves links in `path`, opens the canonical file and hashes it.
    ///
    /// On Windows the path is exact (no `PATHEXT`), and what is no PE program (PE/COFF, `IMAGE_NT_HEADERS`)
    /// is refused, batch files by name too: cmd.exe would read their arguments a second time.
    ///
    /// Never waits for a FIFO or a device. Errors name the situation; [`ImageError::shell_status`]
    /// gives 126 or 127 for it.
    pub fn open(path: &Path) -> Result<Image, ImageError> {
        let (file, path, guard) = backend::open_program(path)?;
        let (sha256, shebang) = read(&file, &path)?;
        Ok(Image { file, path, sha256, shebang, guard })
    }

    /// What another process opened, hashed again through the handle that came over. No error when it is
    /// another program: [`Image::sha256`] tells.
    #[cfg(target_os = "linux")]
    pub(crate) fn received(file: File, path: PathBuf, guard: backend::Guard) -> Result<Image, ImageError> {
        let of = file.metadata().map_err(|source| ImageError::Io { path: path.clone(), source })?;
        if !of.is_file() {
            return Err(ImageError::NotAFile { path, kind: "special file" });
        }
        let (sha256, shebang) = read(&file, &path)?;
        Ok(Image { file, path, sha256, shebang, guard })
    }

    /// What goes to such a process.
    #[cfg(target_os = "linux")]
    pub(crate) fn into_parts(self) -> (File, PathBuf, [u8; 32], backend::Guard) {
        (self.file, self.path, self.sha256, self.guard)
    }

    /// The canonical path: absolute, without links, as of the opening.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of the bytes when they were last hashed.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// Hashes again through the same handle, as after the wait for an approval.
    pub fn rehash(&mut self) -> Result<[u8; 32], ImageError> {
        (self.sha256, self.shebang) = read(&self.file, &self.path)?;
        Ok(self.sha256)
    }

    /// The `#!` line, when this is a script.
    pub fn shebang(&self) -> Option<&Shebang> {
        self.shebang.as_ref()
    }

    /// Whether the bytes can have changed since the image was opened: `Yes` when not.
    pub fn guarded(&self) -> Given {
        self.guard.holds(&self.file)
    }

    /// Whether a lease guards the bytes, to be looked at once more before the execution.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_leased(&self) -> bool {
        self.guard.is_lease()
    }

    /// The open handle, for further looks at the same file.
    pub fn file(&self) -> &File {
        &self.file
    }
}

fn read(file: &File, path: &Path) -> Result<([u8; 32], Option<Shebang>), ImageError> {
    let failed = |source| ImageError::Io { path: path.to_owned(), source };
    let mut head = Vec::new();
    let (sha256, length) =
        hash(file, |first| head.extend_from_slice(&first[..first.len().min(LOOKS_AT)])).map_err(failed)?;
    let invalid = |why: crate::shebang::InvalidShebang| ImageError::Shebang {
        path: path.to_owned(),
        why: why.to_string(),
    };
    let shebang = Shebang::parse(&head).map_err(invalid)?;
    if file.metadata().map_err(failed)?.len() != length {
        return Err(ImageError::Changed { path: path.to_owned() });
    }
    Ok((sha256, shebang))
}

/// SHA-256 of the bytes of an open file, whatever they are.
#[cfg(target_os = "linux")]
pub(crate) fn digest(file: &File) -> io::Result<[u8; 32]> {
    hash(file, |_| ()).map(|(sha256, _)| sha256)
}

/// SHA-256 and the number of the bytes; `look` is shown the first of them.
fn hash(file: &File, look: impl FnOnce(&[u8])) -> io::Result<([u8; 32], u64)> {
    let mut chunk = vec![0_u8; 64 * 1024];
    let mut hash = Sha256::new();
    let mut offset = fill(file, &mut chunk, 0)? as u64;
    let mut filled = offset as usize;
    look(&chunk[..filled]);
    loop {
        hash.update(&chunk[..filled]);
        if filled < chunk.len() {
            return Ok((hash.finalize().into(), offset));
        }
        filled = fill(file, &mut chunk, offset)?;
        offset += filled as u64;
    }
}

/// Reads at `offset` until `chunk` is full or the file ends, without moving the handle's own offset.
pub(crate) fn fill(file: &File, chunk: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < chunk.len() {
        match backend::read_at(file, &mut chunk[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

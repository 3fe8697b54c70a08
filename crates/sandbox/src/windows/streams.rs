//! The standard streams and further handles of a program.

use std::fs::File;
use std::io;
use std::os::windows::io::{AsHandle, OwnedHandle};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Console::{STD_ERROR_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE};

use super::sys::{inheritable, pipe, raw, standard};
use crate::{StartError, Stdio};

/// What the program inherits, in copies that exist for its creation alone.
pub(super) struct Streams {
    /// Inheritable; none twice.
    copies: Vec<OwnedHandle>,
    /// The program's standard streams; null where the terminal stands for one.
    pub(super) numbers: [HANDLE; 3],
    /// The caller's ends of pipes.
    pub(super) ends: [Option<OwnedHandle>; 3],
    /// Whether none of them is the caller's own stream.
    pub(super) are_own: bool,
}

impl Streams {
    pub(super) fn new(
        streams: [Stdio; 3],
        further: Vec<OwnedHandle>,
        has_terminal: bool,
    ) -> Result<Streams, StartError> {
        let failed = |source| StartError::System { step: "hand over a stream (DuplicateHandle)", source };
        let are_own = !streams.iter().any(|stream| matches!(stream, Stdio::Inherit));
        let mut all = Streams {
            copies: Vec::new(),
            numbers: [std::ptr::null_mut(); 3],
            ends: [None, None, None],
            are_own,
        };
        for (place, stream) in streams.into_iter().enumerate() {
            let (handle, end) = match stream {
                Stdio::Terminal if has_terminal => continue,
                Stdio::Terminal => return Err(StartError::NoTerminal),
                stream => opened(place, stream).map_err(failed)?,
            };
            all.numbers[place] = all.pass(&handle).map_err(failed)?;
            all.ends[place] = end;
        }
        for handle in further {
            all.pass(&handle).map_err(failed)?;
        }
        Ok(all)
    }

    fn pass(&mut self, handle: &OwnedHandle) -> io::Result<HANDLE> {
        let copy = inheritable(handle.as_handle())?;
        let number = raw(&copy);
        self.copies.push(copy);
        Ok(number)
    }

    /// Every handle that is to be inherited.
    pub(super) fn list(&self) -> Vec<HANDLE> {
        self.copies.iter().map(raw).collect()
    }
}

/// The program's end of a stream, and the caller's where there is one.
fn opened(place: usize, stream: Stdio) -> io::Result<(OwnedHandle, Option<OwnedHandle>)> {
    const NUMBERS: [u32; 3] = [STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE];
    Ok(match stream {
        Stdio::Inherit => (standard(NUMBERS[place]).map_or_else(null, Ok)?, None),
        Stdio::Pipe => {
            let (read, write) = pipe()?;
            if place == 0 { (read, Some(write)) } else { (write, Some(read)) }
        }
        Stdio::Handle(handle) => (handle, None),
        Stdio::Null | Stdio::Terminal => (null()?, None),
    })
}

fn null() -> io::Result<OwnedHandle> {
    Ok(File::options().read(true).write(true).open("NUL")?.into())
}

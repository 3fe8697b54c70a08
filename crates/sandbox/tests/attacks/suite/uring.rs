//! Files through io_uring(7), whose requests no filter of system calls sees.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::attack::{Miss, fault};
use super::sys::{self, Arg, Mapping};

/// Bytes of `struct io_uring_params` and of a request and an answer.
const PARAMETERS: usize = 120;
const REQUEST: usize = 64;
const ANSWER: usize = 16;
const OPENAT: u8 = 18;

/// io_uring_setup(2) alone.
pub fn set_up() -> Result<(OwnedFd, [u8; PARAMETERS]), Miss> {
    let mut parameters = [0; PARAMETERS];
    let ring = sys::call(libc::SYS_io_uring_setup, &mut [Arg::Number(4), Arg::Bytes(&mut parameters)])?;
    Ok((sys::own(ring), parameters))
}

/// Opens a file by a request to the ring.
pub fn open(path: &Path, flags: i32, mode: u32) -> Result<File, Miss> {
    let (ring, parameters) = set_up()?;
    let offset = |at: usize| {
        let bytes = parameters[at..at + 4].try_into().unwrap_or_default();
        u32::from_ne_bytes(bytes) as usize
    };
    let entries = offset(0);
    // Offsets of the two rings' parts (struct io_sqring_offsets and io_cqring_offsets).
    let (tail, array) = (offset(40 + 4), offset(40 + 24));
    let (head_done, tail_done, answers) = (offset(80), offset(80 + 4), offset(80 + 20));
    const REQUESTS_AT: i64 = 0x1000_0000;
    const ANSWERS_AT: i64 = 0x800_0000;
    let submissions = Mapping::new(&ring, array + entries * 4, 0)?;
    let completions = Mapping::new(&ring, answers + 2 * entries * ANSWER, ANSWERS_AT)?;
    let requests = Mapping::new(&ring, entries * REQUEST, REQUESTS_AT)?;

    let path = CString::new(path.as_os_str().as_bytes()).map_err(std::io::Error::from)?;
    let mut request = [0_u8; REQUEST];
    request[0] = OPENAT;
    request[4..8].copy_from_slice(&libc::AT_FDCWD.to_ne_bytes());
    request[16..24].copy_from_slice(&(path.as_ptr() as u64).to_ne_bytes());
    request[24..28].copy_from_slice(&mode.to_ne_bytes());
    request[28..32].copy_from_slice(&flags.to_ne_bytes());
    requests.store(0, &request);
    submissions.store(array, &0_u32.to_ne_bytes());
    submissions.store(tail, &1_u32.to_ne_bytes());

    const WAIT: usize = 1;
    sys::numbers(libc::SYS_io_uring_enter, [ring.as_raw_fd() as usize, 1, 1, WAIT, 0])?;
    if completions.word(head_done) == completions.word(tail_done) {
        return fault("the ring gave no answer");
    }
    let result = completions.word(answers + 8) as i32;
    match usize::try_from(result) {
        Ok(number) => Ok(File::from(sys::own(number))),
        Err(_) => Err(std::io::Error::from_raw_os_error(-result).into()),
    }
}

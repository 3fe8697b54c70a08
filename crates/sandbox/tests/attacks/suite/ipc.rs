//! The program shares memory, queues and keys with processes outside that have no relation to it but the
//! user (`H1`, `H2`).

use std::ffi::CString;
use std::fs;

use envseal_sandbox::Tier;

use super::attack::{Args, Attack, Closed, Miss, Tried, absent, from, must};
use super::cell::Cell;
use super::sys::{self, Arg};

const IPC: Closed = from(Tier::Hardened);
const KEYRING: Closed = from(Tier::Hardened);

pub const ATTACKS: &[Attack] = &[
    Attack::inside("reads-shared-memory", "System V: attach a segment of a process outside", IPC, |args| {
        let id = sys::numbers(libc::SYS_shmget, [args.number("key")?, 0, 0, 0, 0])?;
        let mut text = vec![0; args.text("canary")?.len()];
        sys::read_shared(id as i32, &mut text)?;
        must(text == args.text("canary")?.as_bytes(), "other memory")
    })
    .with(|cell| {
        let id = sys::make_shared(key(), cell.stage.canary.as_bytes())?;
        let tried = cell.act(&[("key", key().to_string())]);
        let _ = sys::numbers(libc::SYS_shmctl, [id as usize, libc::IPC_RMID as usize, 0, 0, 0]);
        tried
    }),
    Attack::inside(
        "reads-message-queue",
        "System V: receive from a queue of a process outside",
        IPC,
        receive,
    )
    .with(|cell| {
        let flags = (libc::IPC_CREAT | libc::IPC_EXCL | 0o600) as usize;
        let id = sys::numbers(libc::SYS_msgget, [key() as usize, flags, 0, 0, 0])?;
        let mut message = 1_u64.to_ne_bytes().to_vec();
        message.extend(cell.stage.canary.as_bytes());
        let mut arguments =
            [Arg::Number(id), Arg::Bytes(&mut message), Arg::Number(cell.stage.canary.len()), Arg::Number(0)];
        sys::call(libc::SYS_msgsnd, &mut arguments)?;
        let tried = cell.act(&[("key", key().to_string())]);
        let _ = sys::numbers(libc::SYS_msgctl, [id, libc::IPC_RMID as usize, 0, 0, 0]);
        tried
    }),
    Attack::inside("reads-semaphore", "System V: read a semaphore of a process outside", IPC, |args| {
        let id = sys::numbers(libc::SYS_semget, [args.number("key")?, 0, 0, 0, 0])?;
        sys::numbers(libc::SYS_semctl, [id, 0, libc::GETVAL as usize, 0, 0])?;
        Ok(())
    })
    .with(|cell| {
        let flags = (libc::IPC_CREAT | libc::IPC_EXCL | 0o600) as usize;
        let id = sys::numbers(libc::SYS_semget, [key() as usize, 1, flags, 0, 0])?;
        let tried = cell.act(&[("key", key().to_string())]);
        let _ = sys::numbers(libc::SYS_semctl, [id, 0, libc::IPC_RMID as usize, 0, 0]);
        tried
    }),
    Attack::inside(
        "reads-posix-queue",
        "POSIX: receive from a message queue of a process outside",
        IPC,
        |args| {
            let queue = open_queue(args.text("queue")?, libc::O_RDONLY | libc::O_NONBLOCK)?;
            let mut text = vec![0; 8192];
            let mut arguments = [Arg::Number(queue), Arg::Bytes(&mut text), Arg::Number(8192)];
            let length = sys::call(libc::SYS_mq_timedreceive, &mut arguments)?;
            must(text[..length] == *args.text("canary")?.as_bytes(), "another queue")
        },
    )
    .with(posix_queue),
    Attack::inside(
        "reads-posix-memory",
        "POSIX: open shared memory of a process outside (/dev/shm)",
        KEYRING,
        |args| {
            let text = fs::read_to_string(args.text("file")?)?;
            must(text == args.text("canary")?, "other memory")
        },
    )
    .with(|cell| {
        let file = shared_file();
        if let Err(error) = fs::write(&file, &cell.stage.canary) {
            return absent(format!("{file}: {error}"));
        }
        let tried = cell.act(&[("file", file.clone())]);
        let _ = fs::remove_file(&file);
        tried
    }),
    Attack::inside(
        "makes-posix-memory",
        "POSIX: make shared memory that a process outside sees",
        KEYRING,
        |args| Ok(fs::write(args.text("file")?, "from within")?),
    )
    .with(|cell| {
        let file = shared_file();
        let tried = cell.act(&[("file", file.clone())]);
        let seen = fs::remove_file(&file).is_ok();
        tried.and_then(|()| must(seen, "it was made, but nobody outside sees it"))
    }),
    Attack::inside(
        "reads-key",
        "KEYCTL_READ of a key of the session's keyring, by number",
        KEYRING,
        |args| read_key(args, args.number("key")?),
    )
    .with(session_key),
    Attack::inside("finds-key", "request_key(2) of the same key by its name", KEYRING, |args| {
        let name = CString::new(args.text("name")?).map_err(|error| Miss::Fault(error.to_string()))?;
        let mut arguments = [Arg::Text(c"user"), Arg::Text(&name), Arg::Number(0), Arg::Number(0)];
        let key = sys::call(libc::SYS_request_key, &mut arguments)?;
        read_key(args, key)
    })
    .with(session_key),
    Attack::inside("adds-key", "add_key(2) to the user's keyring", KEYRING, |_| {
        let mut arguments = [
            Arg::Text(c"user"),
            Arg::Text(c"envseal-attack-added"),
            Arg::Bytes(&mut [1]),
            Arg::Number(1),
            Arg::Number(USER_KEYRING),
        ];
        let key = sys::call(libc::SYS_add_key, &mut arguments)?;
        let _ = sys::numbers(libc::SYS_keyctl, [libc::KEYCTL_UNLINK as usize, key, USER_KEYRING, 0, 0]);
        Ok(())
    }),
];

/// KEY_SPEC_SESSION_KEYRING and KEY_SPEC_USER_KEYRING (keyctl(2)).
const SESSION_KEYRING: usize = (-3_isize) as usize;
const USER_KEYRING: usize = (-4_isize) as usize;

/// A key of System V objects that is this run's own.
fn key() -> i32 {
    0x5ea1_0000 | (std::process::id() & 0xffff) as i32
}

fn shared_file() -> String {
    format!("/dev/shm/envseal-attack-{}", std::process::id())
}

fn receive(args: &Args) -> Tried {
    let id = sys::numbers(libc::SYS_msgget, [args.number("key")?, 0, 0, 0, 0])?;
    let mut message = [0; 256];
    let mut arguments = [
        Arg::Number(id),
        Arg::Bytes(&mut message),
        Arg::Number(248),
        Arg::Number(0),
        Arg::Number(libc::IPC_NOWAIT as usize),
    ];
    let length = sys::call(libc::SYS_msgrcv, &mut arguments)?;
    must(message[8..8 + length] == *args.text("canary")?.as_bytes(), "another queue")
}

/// The system call's names have no leading slash.
fn open_queue(name: &str, flags: i32) -> Result<usize, Miss> {
    let name = CString::new(name).map_err(|error| Miss::Fault(error.to_string()))?;
    let mut arguments = [Arg::Text(&name), Arg::Number(flags as usize), Arg::Number(0o600), Arg::Number(0)];
    Ok(sys::call(libc::SYS_mq_open, &mut arguments)?)
}

fn posix_queue(cell: &Cell<'_>) -> Tried {
    let name = format!("envseal-attack-{}", std::process::id());
    let queue = sys::own(open_queue(&name, libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_CLOEXEC)?);
    let mut text = cell.stage.canary.clone().into_bytes();
    let number = std::os::fd::AsRawFd::as_raw_fd(&queue) as usize;
    let length = text.len();
    sys::call(
        libc::SYS_mq_timedsend,
        &mut [Arg::Number(number), Arg::Bytes(&mut text), Arg::Number(length)],
    )?;
    let tried = cell.act(&[("queue", name.clone())]);
    let name = CString::new(name).map_err(|error| Miss::Fault(error.to_string()))?;
    let _ = sys::call(libc::SYS_mq_unlink, &mut [Arg::Text(&name)]);
    tried
}

/// A key in the session's keyring, which the program inherits as every process of a login does.
fn session_key(cell: &Cell<'_>) -> Tried {
    sys::numbers(libc::SYS_keyctl, [libc::KEYCTL_JOIN_SESSION_KEYRING as usize, 0, 0, 0, 0])?;
    let mut payload = cell.stage.canary.clone().into_bytes();
    let length = payload.len();
    let mut arguments = [
        Arg::Text(c"user"),
        Arg::Text(c"envseal-attack"),
        Arg::Bytes(&mut payload),
        Arg::Number(length),
        Arg::Number(SESSION_KEYRING),
    ];
    let key = sys::call(libc::SYS_add_key, &mut arguments)?;
    cell.act(&[("key", key.to_string()), ("name", "envseal-attack".into())])
}

fn read_key(args: &Args, key: usize) -> Tried {
    let mut text = vec![0; args.text("canary")?.len()];
    let length = text.len();
    let mut arguments = [
        Arg::Number(libc::KEYCTL_READ as usize),
        Arg::Number(key),
        Arg::Bytes(&mut text),
        Arg::Number(length),
    ];
    sys::call(libc::SYS_keyctl, &mut arguments)?;
    must(text == args.text("canary")?.as_bytes(), "another key")
}

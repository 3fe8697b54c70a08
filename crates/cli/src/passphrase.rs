//! Chooses a new passphrase.

use envseal_vault::Passphrase;

use crate::failure::Failure;
use crate::owner::{read_passphrase, typed};
use crate::terminal::Terminal;

/// The shortest new passphrase, in bytes (NIST SP 800-63B asks for 8 at least).
const SHORTEST: usize = 8;

/// Reads a new passphrase from a descriptor, or asks for it twice at the terminal.
pub fn choose(descriptor: Option<u32>) -> Result<Passphrase, Failure> {
    let passphrase = match descriptor {
        Some(descriptor) => read_passphrase(descriptor)?,
        None => ask()?,
    };
    if passphrase.len() < SHORTEST {
        return Err(Failure::other(format!("a passphrase needs at least {SHORTEST} bytes")));
    }
    Ok(passphrase)
}

fn ask() -> Result<Passphrase, Failure> {
    let mut terminal = Terminal::open().ok_or_else(|| {
        Failure::other("there is no terminal to ask at").advise("give the passphrase by --passphrase-fd")
    })?;
    let first = typed(terminal.ask_hidden("New passphrase: "))?;
    let second = typed(terminal.ask_hidden("The same again: "))?;
    if *first != *second {
        return Err(Failure::other("the two passphrases differ; nothing was changed"));
    }
    Ok(Passphrase::new(first))
}

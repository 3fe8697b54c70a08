//! `envseal store`: a value goes in.

use std::io::IsTerminal as _;

use crate::args::Store;
use crate::context::Context;
use crate::failure::Failure;
use crate::value;

/// Stores a value: accepted at once when the owner's passphrase is given, else into the inbox.
pub fn store(context: &Context, args: &Store) -> Result<(), Failure> {
    let mut vault = context.vault()?;
    let mut owner = context.owner()?;
    let common = &context.common;
    let told = common.passphrase_fd.is_some() || common.keyfile.is_some() || common.recovery;
    // At a terminal the passphrase comes first: it shows that this is the owner's vault before a value goes into it.
    let now = told || (std::io::stdin().is_terminal() && !args.inbox);
    if !now {
        let value = value::read(context, &args.value, args.name.as_str())?;
        vault.store(&args.name, &value, &args.host)?;
        let name = &args.name;
        context.done(format!("stored {name} in the inbox; make it usable with: envseal accept {name}"));
        return Ok(());
    }
    context.unlock(&mut vault, &mut owner, |unlocked| {
        let value = value::read(context, &args.value, args.name.as_str())?;
        let info = unlocked.put(&args.name, &value, &args.host)?;
        context.done(format!("stored {} version {}", info.name, info.version));
        Ok(())
    })
}

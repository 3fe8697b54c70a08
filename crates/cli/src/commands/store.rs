//! `envseal store`: a value goes in.

use std::io::IsTerminal as _;

use envseal_engine::approve::OwnerError;
use envseal_engine::{RunError, prove};

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
    let proof = match (told, std::io::stdin().is_terminal()) {
        (true, _) => Some(prove(&mut vault, &mut owner)?),
        (false, true) => {
            context.done("The passphrase makes the value usable at once; Ctrl-C leaves it in the inbox.");
            prove(&mut vault, &mut owner).map(Some).or_else(|error| match error {
                RunError::Owner(OwnerError::Cancelled) => Ok(None),
                error => Err(error),
            })?
        }
        (false, false) => None,
    };
    if let Some(proof) = proof {
        // Opened before the value is asked for, which is when a vault that is not whole is found out.
        let mut unlocked = vault.unlock_with(proof)?;
        envseal_engine::tell(&unlocked, &mut owner);
        let value = value::read(context, &args.value, args.name.as_str())?;
        let info = unlocked.put(&args.name, &value, &args.host)?;
        context.done(format!("stored {} version {}", info.name, info.version));
        return Ok(());
    }
    let value = value::read(context, &args.value, args.name.as_str())?;
    vault.store(&args.name, &value, &args.host)?;
    context.done(format!(
        "stored {} in the inbox; make it usable with: envseal accept {}",
        args.name, args.name
    ));
    Ok(())
}

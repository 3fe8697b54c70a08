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
    let value = value::read(context, &args.value, args.name.as_str())?;
    let told =
        context.common.passphrase_fd.is_some() || context.common.keyfile.is_some() || context.common.recovery;
    if told {
        let info = context
            .unlock(&mut vault, &mut owner, |unlocked| Ok(unlocked.put(&args.name, &value, &args.host)?))?;
        context.done(format!("stored {} version {}", info.name, info.version));
        return Ok(());
    }
    // Stored first and accepted after: whatever happens at the prompt, the value is not lost.
    vault.store(&args.name, &value, &args.host)?;
    drop(value);
    context.done(format!("stored {} in the inbox", args.name));
    if std::io::stdin().is_terminal() {
        context.done("Your passphrase makes it usable now; Ctrl-C leaves it for `envseal accept`.");
        context.unlock(&mut vault, &mut owner, |unlocked| {
            Ok(unlocked.accept(std::slice::from_ref(&args.name))?)
        })?;
        context.done(format!("accepted {}", args.name));
    } else {
        context.done(format!("make it usable with: envseal accept {}", args.name));
    }
    Ok(())
}

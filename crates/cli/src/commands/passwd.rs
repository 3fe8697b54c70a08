//! `envseal passwd`: the owner changes the passphrase.

use crate::args::Passwd;
use crate::context::Context;
use crate::failure::Failure;
use crate::passphrase;

/// Replaces the passphrase; the old one opens nothing any more.
pub fn passwd(context: &Context, args: &Passwd) -> Result<(), Failure> {
    let mut vault = context.vault()?;
    let mut owner = context.owner()?;
    context.unlock(&mut vault, &mut owner, |unlocked| {
        let new = passphrase::choose(args.new_passphrase_fd)?;
        unlocked.change_passphrase(&new)?;
        context.done("the passphrase was changed; backups made before still open with the old one");
        Ok(())
    })
}

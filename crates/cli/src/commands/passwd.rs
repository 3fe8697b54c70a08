//! `envseal passwd`: the owner changes the passphrase.

use crate::args::Passwd;
use crate::context::Context;
use crate::failure::Failure;
use crate::{output, passphrase};

/// Replaces the passphrase; the old one opens nothing any more but what belongs to other Windows users or machines.
pub fn passwd(context: &Context, args: &Passwd) -> Result<(), Failure> {
    let mut vault = context.vault()?;
    let mut owner = context.owner()?;
    context.unlock(&mut vault, &mut owner, |unlocked| {
        let new = passphrase::choose(args.new_passphrase_fd)?;
        let changed = unlocked.change_passphrase(&new)?;
        context.done("the passphrase was changed; backups made before still open with the old one");
        for slot in &changed.standing {
            let text = format!(
                "key slot {id} ({kind}, {label:?}) was not changed: it is still opened by its old passphrase on its \
                 machine; change it there with: envseal --dpapi passwd, or take it away: envseal slot remove {id}",
                id = slot.id,
                kind = slot.kind,
                label = slot.label,
            );
            output::notice(&context.common, &text);
        }
        Ok(())
    })
}

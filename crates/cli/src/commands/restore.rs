//! `envseal restore`: a backup, or an older copy, becomes the vault.

use envseal_engine::approve::Owner as _;
use envseal_vault::RestoreOptions;

use crate::args::Restore;
use crate::context::Context;
use crate::failure::{Failure, status};
use crate::output;

/// Brings a backup back, or accepts the vault file as it stands.
pub fn restore(context: &Context, args: &Restore) -> Result<(), Failure> {
    let dir = context.dir()?;
    let mut owner = context.owner()?;
    let nobody =
        || Failure { status: status::LOCKED, ..Failure::other("there is nobody to ask for the passphrase") };
    let Some(file) = &args.file else {
        let mut vault = context.vault()?;
        let factor = owner.unlock(None)?.ok_or_else(nobody)?;
        let withdrawn = vault.accept_state(&factor)?;
        context.done(format!("accepted the vault as it stands; withdrew {withdrawn} grants"));
        return Ok(());
    };
    let factor = owner.unlock(None)?.ok_or_else(nobody)?;
    let options = RestoreOptions { replace: args.replace, keep_grants: args.keep_grants };
    let report = envseal_vault::restore(file, &dir, &factor, options)?;
    if context.common.json {
        return output::print_json(&report);
    }
    context.done(format!("restored {} secrets to {}", report.secrets, dir.display()));
    match report.grants_withdrawn {
        0 => {}
        count => {
            context.done(format!("withdrew {count} grants of the backup; give those again that should hold"))
        }
    }
    if let Some(kept) = &report.replaced {
        context.done(format!("the vault that was there is kept as {}", kept.display()));
    }
    Ok(())
}

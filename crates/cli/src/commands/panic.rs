//! `envseal panic`: stop everything, now, without a question.

use crate::context::Context;
use crate::failure::Failure;

/// Records the panic, which withdraws every grant at the next unlock whatever happens to this process, ends every
/// run, and withdraws the grants at once where the owner's passphrase was given.
pub fn panic(context: &Context) -> Result<(), Failure> {
    let mut vault = context.vault()?;
    vault.panic()?;
    let ended = envseal_engine::registry::end_all(vault.dir())
        .map_err(|error| Failure::other(format!("ending the runs: {error}")))?;
    context.done(format!("ended {ended} runs; no grant holds any more"));
    if context.common.passphrase_fd.is_some() || context.common.keyfile.is_some() || context.common.recovery {
        context.unlock(&mut vault, &mut context.owner()?, |_| Ok(()))?;
        context.done("withdrew every grant");
    } else {
        context.done("the grants are withdrawn when the vault is next unlocked, before anything else");
    }
    Ok(())
}

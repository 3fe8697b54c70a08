//! `envseal panic`: stop everything, now, without a question.

use envseal_engine::approve::Owner;

use crate::context::Context;
use crate::failure::{Failure, status};

/// Ends every run, records the panic, which withdraws every grant at the next unlock whatever happens to this process,
/// and withdraws the grants at once where the owner's passphrase was given.
pub fn panic(context: &Context) -> Result<(), Failure> {
    // First the runs, whatever is wrong with the vault or keeps it busy; then those that began meanwhile.
    let dir = context.dir()?;
    let first = envseal_engine::registry::end_all(&dir);
    let recorded = context.vault().and_then(|mut vault| {
        vault.panic()?;
        Ok(vault)
    });
    let then = envseal_engine::registry::end_all(&dir);
    let ended = first.and_then(|first| Ok(first + then?));
    match &ended {
        Ok(ended) => context.done(format!("ended {ended} runs")),
        Err(error) => context.done(format!("ending the runs: {error}")),
    }
    let mut vault = recorded?;
    // The passphrase moves the vault on, so that not even a copy of it from before brings a grant back.
    let owner: &mut dyn Owner = &mut context.owner()?;
    match context.unlock(&mut vault, owner, |_| Ok(())) {
        Ok(()) => context.done("withdrew every grant"),
        Err(failure) if failure.status == status::LOCKED => {
            context.done("every grant is withdrawn when the vault is next unlocked, before anything else");
        }
        Err(failure) => return Err(failure),
    }
    ended.map(drop).map_err(|error| Failure::other(format!("ending the runs: {error}")))
}

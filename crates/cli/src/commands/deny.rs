//! `envseal deny`: the owner forbids a program secrets.

use envseal_engine::Place;

use crate::args::Deny;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Makes a rule that wins over every grant.
pub fn deny(context: &Context, args: Deny) -> Result<(), Failure> {
    let mut vault = context.vault()?;
    let place = Place::here().map_err(|error| Failure::other(format!("the working directory: {error}")))?;
    let Some((program, rest)) = args.program.command.split_first() else {
        return Err(Failure::usage("which program?"));
    };
    let now = envseal_engine::now(&vault)?;
    let rule = envseal_engine::allow::deny(args.secrets, program, rest, &place, now)?;
    let id = context.unlock(&mut vault, &mut context.owner()?, |unlocked| Ok(unlocked.add_grant(&rule)?))?;
    if context.common.json {
        return output::print_json(&super::grants::Shown { id, grant: &rule });
    }
    context.done(format!("grant {id}: {}", super::grants::summary(&rule, now)));
    Ok(())
}

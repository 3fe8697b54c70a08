//! `envseal reject`: the owner's word on what waits in the inbox.

use crate::args::Names;
use crate::context::Context;
use crate::failure::Failure;

/// Throws every waiting value of each name away.
pub fn reject(context: &Context, args: &Names) -> Result<(), Failure> {
    context.unlocked(|unlocked| {
        unlocked.reject(&args.names)?;
        for name in &args.names {
            context.done(format!("rejected {name}"));
        }
        Ok(())
    })
}

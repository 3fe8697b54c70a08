//! `envseal rm`: a secret goes away.

use crate::args::Names;
use crate::context::Context;
use crate::failure::Failure;

/// Removes secrets with all their versions.
pub fn rm(context: &Context, args: &Names) -> Result<(), Failure> {
    context.unlocked(|unlocked| {
        for name in &args.names {
            unlocked.remove(name)?;
            context.done(format!("removed {name}"));
        }
        Ok(())
    })
}

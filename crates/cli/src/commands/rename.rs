//! `envseal rename`: a secret gets another name.

use crate::args::Rename;
use crate::context::Context;
use crate::failure::Failure;

/// Renames a secret. Grants name secrets, so those for the old name no longer cover it.
pub fn rename(context: &Context, args: &Rename) -> Result<(), Failure> {
    context.unlocked(|unlocked| {
        unlocked.rename(&args.old, &args.new)?;
        context.done(format!("renamed {} to {}; grants for {} do not follow", args.old, args.new, args.old));
        Ok(())
    })
}

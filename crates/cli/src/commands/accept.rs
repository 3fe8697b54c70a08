//! `envseal accept`: the owner's word on what waits in the inbox.

use crate::args::Names;
use crate::context::Context;
use crate::failure::Failure;

/// Makes the newest waiting value of each name usable.
pub fn accept(context: &Context, args: &Names) -> Result<(), Failure> {
    context.unlocked(|unlocked| {
        unlocked.accept(&args.names)?;
        for name in &args.names {
            context.done(format!("accepted {name}"));
        }
        Ok(())
    })
}

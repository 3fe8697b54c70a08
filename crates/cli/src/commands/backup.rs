//! `envseal backup`: one encrypted file.

use crate::args::File;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Writes a backup and opens it again before it is called done.
pub fn backup(context: &Context, args: &File) -> Result<(), Failure> {
    let report = context.unlocked(|unlocked| Ok(unlocked.backup(&args.file)?))?;
    if context.common.json {
        return output::print_json(&report);
    }
    context.done(format!(
        "wrote {} ({} bytes: {} secrets, {} grants) and opened it again; it opens with what opens the vault today",
        args.file.display(),
        report.bytes,
        report.secrets,
        report.grants
    ));
    Ok(())
}

//! `envseal rotate`: a secret gets another value.

use crate::args::Rotate;
use crate::context::Context;
use crate::failure::Failure;
use crate::{output, value};

/// Gives a secret a new value and says who used the old one, or erases the old values.
pub fn rotate(context: &Context, args: &Rotate) -> Result<(), Failure> {
    if args.purge {
        return context.unlocked(|unlocked| {
            let erased = unlocked.purge(&args.name)?;
            context.done(format!("erased {erased} old versions of {}", args.name));
            Ok(())
        });
    }
    let (info, users) = context.unlocked(|unlocked| {
        let value = value::read(context, &args.value, args.name.as_str())?;
        Ok((unlocked.rotate(&args.name, &value)?, unlocked.users_of(&args.name)?))
    })?;
    context.done(format!("{} is now version {}", info.name, info.version));
    if context.common.json {
        return output::print_json(&users);
    }
    if users.is_empty() {
        context.done("no program has used the old value");
        return Ok(());
    }
    context.done("These used the old value; those that still run keep it until they are started again:");
    let row = |user: &envseal_vault::SecretUser| {
        vec![user.program.clone(), output::time(user.last), user.runs.to_string()]
    };
    let rows: Vec<_> = users.iter().map(row).collect();
    output::print(&output::table(&["PROGRAM", "LAST", "RUNS"], &rows))
}

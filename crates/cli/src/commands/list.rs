//! `envseal list`: names and metadata.

use crate::args::List;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Lists the secrets under a prefix.
pub fn list(context: &Context, args: &List) -> Result<(), Failure> {
    let vault = context.vault()?;
    let mut secrets = vault.secrets()?;
    if let Some(prefix) = &args.prefix {
        secrets.retain(|secret| secret.name.as_str().starts_with(prefix.as_str()));
    }
    if context.common.json {
        return output::print_json(&secrets);
    }
    let waiting = vault.inbox()?.len();
    if secrets.is_empty() && args.prefix.is_none() {
        context.done("no secrets yet; put one in with: envseal store NAME");
    } else {
        let row = |secret: &envseal_vault::SecretInfo| {
            let hosts = secret.hosts.join(" ");
            vec![secret.name.to_string(), secret.version.to_string(), output::time(secret.created), hosts]
        };
        let rows: Vec<_> = secrets.iter().map(row).collect();
        output::print(&output::table(&["NAME", "VERSION", "STORED", "HOSTS"], &rows))?;
    }
    if waiting > 0 {
        context.done(format!("{waiting} in the inbox: envseal inbox"));
    }
    Ok(())
}

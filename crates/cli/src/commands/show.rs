//! `envseal show`: one secret's metadata.

use serde::Serialize;

use crate::args::Name;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    secret: &'a envseal_vault::SecretInfo,
    variable: String,
    grants: Vec<envseal_vault::GrantId>,
    waiting: usize,
}

/// Shows a secret's metadata, and which grants name it.
pub fn show(context: &Context, args: &Name) -> Result<(), Failure> {
    let vault = context.vault()?;
    let waiting = vault.inbox()?.iter().filter(|item| item.name == args.name).count();
    let Some(secret) = vault.secret(&args.name)? else {
        return Err(match waiting {
            0 => Failure::other(format!("there is no secret {}", args.name)),
            _ => Failure::other(format!("{} waits in the inbox", args.name))
                .advise(format!("make it usable with: envseal accept {}", args.name)),
        });
    };
    let names = |grant: &envseal_vault::Grant| grant.secrets.iter().any(|rule| rule.name.matches(&args.name));
    let grants: Vec<_> =
        vault.grants()?.into_iter().filter(|(_, grant)| names(grant)).map(|(id, _)| id).collect();
    let shown = Shown { secret: &secret, variable: args.name.variable().to_string(), grants, waiting };
    if context.common.json {
        return output::print_json(&shown);
    }
    let mut text = format!("{}\n", output::styled(output::BOLD, &secret.name));
    let mut line = |label: &str, value: String| text.push_str(&format!("  {label:<9} {value}\n"));
    line("version", secret.version.to_string());
    line("stored", output::time(secret.created));
    line("variable", shown.variable);
    if !secret.hosts.is_empty() {
        line("hosts", secret.hosts.join(" "));
    }
    let grants: Vec<_> = shown.grants.iter().map(ToString::to_string).collect();
    line("grants", if grants.is_empty() { "none".into() } else { grants.join(" ") });
    if waiting > 0 {
        line("inbox", format!("{waiting} newer, not accepted"));
    }
    line("value", output::styled(output::DIM, "never shown"));
    output::print(&text)
}

//! `envseal grants`: what the owner has allowed and denied.

use std::ffi::OsStr;

use envseal_engine::confinement::waived;
use envseal_engine::show::{quote_all, visible};
use envseal_vault::{ArgsRule, CallerRule, Effect, EngineName, FileRule, Grant, GrantId, SecretRule};
use serde::Serialize;

use crate::args::{Grants, GrantsAction};
use crate::context::Context;
use crate::failure::Failure;
use crate::{duration, output};

/// A grant with its number, as JSON.
#[derive(Serialize)]
pub struct Shown<'a> {
    /// The number.
    pub id: GrantId,
    /// The grant.
    #[serde(flatten)]
    pub grant: &'a Grant,
}

/// Lists, shows or withdraws.
pub fn grants(context: &Context, args: &Grants) -> Result<(), Failure> {
    match &args.action {
        None | Some(GrantsAction::List) => list(context),
        Some(GrantsAction::Show { id }) => show(context, *id),
        Some(GrantsAction::Revoke { ids }) => context.unlocked(|unlocked| {
            for id in ids {
                unlocked.revoke(*id)?;
                context.done(format!("withdrew grant {id}"));
            }
            Ok(())
        }),
    }
}

fn list(context: &Context) -> Result<(), Failure> {
    let vault = context.vault()?;
    let grants = vault.grants()?;
    if context.common.json {
        return output::print_json(
            &grants.iter().map(|(id, grant)| Shown { id: *id, grant }).collect::<Vec<_>>(),
        );
    }
    if grants.is_empty() {
        context.done("no grants; give one with: envseal allow -s NAME -- PROGRAM ARGS");
        return Ok(());
    }
    let now = envseal_engine::about_now(&vault)?;
    let row = |(id, grant): &(GrantId, Grant)| {
        vec![id.to_string(), grant.effect.to_string(), until(grant, now), secrets(grant), command(grant)]
    };
    let rows: Vec<_> = grants.iter().map(row).collect();
    output::print(&output::table(&["GRANT", "EFFECT", "UNTIL", "SECRETS", "COMMAND"], &rows))
}

fn show(context: &Context, id: GrantId) -> Result<(), Failure> {
    let vault = context.vault()?;
    let grants = vault.grants()?;
    let Some((_, grant)) = grants.iter().find(|(other, _)| *other == id) else {
        return Err(Failure::other(format!("there is no grant {id}")).advise("see: envseal grants"));
    };
    if context.common.json {
        return output::print_json(&Shown { id, grant });
    }
    let now = envseal_engine::about_now(&vault)?;
    let mut text = format!("{}\n", output::styled(output::BOLD, format!("grant {id}: {}", grant.effect)));
    let mut line = |label: &str, value: String| text.push_str(&format!("  {label:<10} {value}\n"));
    let file = |file: &FileRule| format!("{}  sha256 {}", visible(file.path.as_os_str()), file.sha256);
    line("secrets", secrets(grant));
    line("program", file(&grant.program));
    if let Some(script) = &grant.script {
        line("script", file(script));
    }
    for pin in &grant.pins {
        line("pinned", file(pin));
    }
    line("command", command(grant));
    if let Some(cwd) = &grant.cwd {
        line("directory", visible(cwd.as_os_str()));
    }
    match grant.caller {
        CallerRule::Any => {}
        CallerRule::Terminal => line("caller", format!("terminal ({})", super::allow::TERMINAL)),
        CallerRule::Shielded => line("caller", grant.caller.to_string()),
    }
    line("tier", format!("{} or more", grant.tier));
    let confinement = &grant.confinement;
    if confinement.engine != EngineName::default() {
        line("engine", confinement.engine.to_string());
    }
    for (label, paths) in
        [("reads", &confinement.reads), ("writes", &confinement.writes), ("socket", &confinement.sockets)]
    {
        for path in paths {
            line(label, visible(path.as_os_str()));
        }
    }
    for name in &confinement.weaker {
        line("weaker", waived(*name));
    }
    line("delivery", grant.deliver.to_string());
    if grant.raw {
        line("output", "may go unmasked".into());
    }
    for name in &grant.pass {
        line("passes", name.to_string());
    }
    for (name, value) in &grant.fixed {
        line("fixed", format!("{name}={}", visible(value.as_os_str())));
    }
    line("given", output::time_of_seconds(grant.created));
    line("until", until(grant, now));
    if let Some(uses) = grant.uses {
        line("uses left", uses.to_string());
    }
    output::print(&text)
}

/// A grant in one line.
pub fn summary(grant: &Grant, now: u64) -> String {
    let verb = match grant.effect {
        Effect::Allow => "may have",
        Effect::Deny => "may never have",
    };
    format!("`{}` {verb} {} ({})", command(grant), secrets(grant), until(grant, now))
}

fn secrets(grant: &Grant) -> String {
    let one = |rule: &SecretRule| match &rule.variable {
        Some(variable) => format!("{}={variable}", rule.name),
        None => rule.name.to_string(),
    };
    grant.secrets.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// The command as it would be typed, with `...` where arguments are open.
fn command(grant: &Grant) -> String {
    let name = match (&grant.script, &grant.called) {
        (Some(script), _) if grant.shebang => {
            grant.script_as.as_ref().map_or(script.path.as_os_str(), |given| given.as_os_str())
        }
        (_, Some(called)) => called.as_os_str(),
        (_, None) => grant.program.path.as_os_str(),
    };
    let (args, open) = match &grant.args {
        ArgsRule::Exact(args) => (args.as_slice(), ""),
        ArgsRule::Prefix(args) => (args.as_slice(), " ..."),
        ArgsRule::Any => (&[][..], " ..."),
    };
    let words = std::iter::once(name).chain(args.iter().map(|arg| -> &OsStr { arg.as_os_str() }));
    format!("{}{open}", quote_all(words))
}

fn until(grant: &Grant, now: u64) -> String {
    match grant.expires {
        None => "forever".into(),
        Some(expires) if expires <= now => "expired".into(),
        Some(expires) => format!("{} left", duration::show(expires - now)),
    }
}

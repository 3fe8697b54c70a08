//! `envseal status`: the vault, the running programs, and what this machine gives.

use envseal_engine::registry::{self, Run};
use envseal_engine::show::visible;
use envseal_engine::status::{Holds, LauncherState, Machine, Standing, launcher, machine};
use envseal_vault::Vault;
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, BOLD, DIM, styled};

/// All of it, as JSON.
#[derive(Serialize)]
struct Status {
    vault: VaultState,
    /// Where the system needs one.
    #[serde(skip_serializing_if = "Option::is_none")]
    launcher: Option<LauncherState>,
    running: Vec<Run>,
    machine: Vec<Machine>,
}

/// The vault's place.
#[derive(Serialize)]
struct VaultState {
    path: String,
    exists: bool,
    /// Why it cannot be opened although it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Shows it. Needs no vault and asks nothing.
pub fn status(context: &Context) -> Result<(), Failure> {
    let dir = context.dir()?;
    let exists = Vault::exists(&dir);
    let (places, problem) = match Vault::open(&dir) {
        Ok(vault) => (vault.places(), None),
        Err(error) => (vec![dir.clone()], exists.then(|| error.to_string())),
    };
    let running = match exists {
        true => {
            registry::list(&dir).map_err(|error| Failure::other(format!("{}: {error}", dir.display())))?
        }
        false => Vec::new(),
    };
    let vault = VaultState { path: visible(dir.as_os_str()), exists, problem };
    let status = Status { vault, launcher: launcher(), running, machine: machine(&places) };
    if context.common.json {
        return output::print_json(&status);
    }
    output::print(&text(&status))
}

fn text(status: &Status) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: String| text.push_str(&format!("{label:<9} {value}\n"));
    let vault = &status.vault;
    let path = &vault.path;
    line(
        "vault",
        match (&vault.problem, vault.exists) {
            (Some(problem), _) => format!("{path}, which cannot be opened: {}", visible(problem.as_ref())),
            (None, true) => path.clone(),
            (None, false) => format!("none; envseal init makes it in {path}"),
        },
    );
    if let Some(launcher) = &status.launcher {
        let path = visible(launcher.path.as_os_str());
        let value = match (&launcher.problem, launcher.installed) {
            (Some(problem), _) => format!("{path}, which cannot be used: {}", visible(problem.as_ref())),
            (None, true) => path,
            (None, false) => "not installed; once, with root: sudo envseal install".into(),
        };
        line("launcher", value);
    }
    line(
        "running",
        match status.running.len() {
            0 => "nothing".into(),
            1 => "1 program".into(),
            many => format!("{many} programs"),
        },
    );
    if !status.running.is_empty() {
        let rows: Vec<_> = status.running.iter().map(row).collect();
        text.push('\n');
        text.push_str(&output::table(&["PID", "TIER", "ENGINE", "SINCE", "NOT GIVEN", "PROGRAM"], &rows));
    }
    text.push_str(&format!("\n{}\n", styled(BOLD, "What each tier and engine gives here now")));
    text.push_str(&gives(&status.machine));
    text
}

/// One running program.
fn row(run: &Run) -> Vec<String> {
    let nothing = || "-".to_owned();
    let started = run.started.as_ref();
    let missing = |guarantees: &[Standing]| {
        let ids = guarantees.iter().filter(|one| one.given == Holds::No).map(|one| one.id.as_str());
        let ids: Vec<_> = ids.collect();
        if ids.is_empty() { "-".to_owned() } else { ids.join(",") }
    };
    vec![
        started.map_or_else(|| format!("({})", run.envseal), |started| started.pid.to_string()),
        started.map_or_else(|| "waits".into(), |started| started.tier.to_string()),
        started.map_or_else(nothing, |started| started.engine.to_string()),
        output::time_of_seconds(run.since),
        started.map_or_else(nothing, |started| missing(&started.guarantees)),
        if run.program.is_empty() { nothing() } else { run.program.clone() },
    ]
}

/// A table of guarantees by tier and engine, and every reason below it.
fn gives(machine: &[Machine]) -> String {
    // The last tier promises all that the others do.
    let most = machine.iter().max_by_key(|one| one.guarantees.len());
    let all: Vec<_> = most.map(|most| most.guarantees.iter().collect()).unwrap_or_default();
    let find = |one: &Machine, id: &str| one.guarantees.iter().find(|standing| standing.id == id).cloned();
    let cell = |one: &Machine, id: &str| match find(one, id) {
        Some(standing) => standing.given.to_string(),
        None if one.error.is_some() => "?".into(),
        None => "-".into(),
    };
    let row = |standing: &&Standing| {
        let cells = machine.iter().map(|one| cell(one, &standing.id));
        [standing.id.clone()].into_iter().chain(cells).chain([standing.title.clone()]).collect()
    };
    let engines = machine.iter().map(|one| one.engine.to_string().to_uppercase());
    let head: Vec<_> = [String::new()].into_iter().chain(engines).chain(["GUARANTEE".into()]).collect();
    let head: Vec<_> = head.iter().map(String::as_str).collect();
    // A tier above its engines, whose columns are as wide as their names.
    let above = machine.chunk_by(|one, next| one.tier == next.tier).map(|chunk| {
        let width = chunk.iter().map(|one| one.engine.to_string().len() + 2).sum();
        format!("{:width$}", chunk[0].tier.to_string().to_uppercase())
    });
    let above = format!("    {}", above.collect::<String>());
    let mut text = format!("{}\n", styled(DIM, above.trim_end()));
    text.push_str(&output::table(&head, &all.iter().map(row).collect::<Vec<_>>()));
    let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
    let mut reason = |text: String, of: String| match reasons.iter_mut().find(|(known, _)| *known == text) {
        Some((_, all)) => all.push(of),
        None => reasons.push((text, vec![of])),
    };
    for standing in &all {
        for one in machine {
            if let Some(Standing { id, given, why: Some(why), .. }) = find(one, &standing.id) {
                reason(
                    format!("{id} {given}: {}", visible(why.as_ref())),
                    format!("{} {}", one.tier, one.engine),
                );
            }
        }
    }
    for one in machine {
        if let Some(error) = &one.error {
            reason(
                format!("cannot be started: {}", visible(error.as_ref())),
                format!("{} {}", one.tier, one.engine),
            );
        }
    }
    if !reasons.is_empty() {
        text.push('\n');
    }
    for (reason, of) in reasons {
        text.push_str(&format!("{reason} ({})\n", of.join(", ")));
    }
    text
}

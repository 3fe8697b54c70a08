//! The table as text for people, and docs/attacks.md, which is made from it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use envseal_sandbox::Tier;

use super::attack::Way;
use super::run::{Findings, Outcome, PLACES, Row};

/// A heading and the attacks beneath it.
pub type Chapter<'a> = (&'static str, Vec<&'a Row>);

pub fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/attacks.md")
}

/// The whole page.
pub fn page(chapters: &[Chapter<'_>]) -> String {
    let count: usize = chapters.iter().map(|(_, rows)| rows.len()).sum();
    let mut text = format!(
        "# Attacks\n\n\
         Made by `cargo test -p envseal-sandbox --test attacks -- --write` as root; do not edit. Each of these \
         {count} attacks\nis a small program that was first seen to work against an unprotected program of the \
         same ordinary user, and\nthen run in each tier and engine, with and without a private group. The suite \
         fails when a cell is not what the\nattack declares, in either direction: what is open here is known, \
         and said so.\n\n\
         - **open**: the attack succeeded. **closed**: it was refused.\n\
         - open without the loader: the execute-only loader that `sudo envseal install` puts in place closes it. \
         L6 is not\n  given for that alone: some kernels from 6.12 on hand a mount namespace to its owner, who \
         can take the loader\n  away before the program is executed.\n\
         - not given: the start failed closed on the machine that made this page.\n\
         - not on this machine: it did not work without protection either, so that it proves nothing.\n\n\
         P is the private engine, G the same with the private group that every program of the installed launcher \
         has, N\nthe engine with namespaces; `none`, `hardened` and `lockdown` are the tiers. Lockdown with \
         namespaces was started\nwith L6 waived.\n"
    );
    for (title, rows) in chapters {
        let _ = write!(text, "\n## {title}\n\n| attack | what is tried |");
        for (tier, way) in PLACES {
            let letter = way.to_string().chars().next().map_or('?', |letter| letter.to_ascii_uppercase());
            let _ = write!(text, " {letter} {tier} |");
        }
        let _ = writeln!(text, "\n|---|---|{}", "---|".repeat(PLACES.len()));
        for row in rows {
            let _ = write!(text, "| {} | {} |", row.attack.name, row.attack.tries);
            for (place, outcome) in PLACES.into_iter().zip(row.outcomes) {
                if is_open_without_loader(row, place, outcome) {
                    let _ = write!(text, " **{WITHOUT_LOADER}** |");
                    continue;
                }
                let bold = if outcome == Outcome::Open { "**" } else { "" };
                let _ = write!(text, " {bold}{}{bold} |", outcome.text());
            }
            text.push('\n');
        }
    }
    text
}

/// What an installed loader closes.
const WITHOUT_LOADER: &str = "open without the loader";

fn is_open_without_loader(row: &Row, place: (Tier, Way), outcome: Outcome) -> bool {
    let closes = row.attack.closed.by_loader && place == (Tier::Lockdown, Way::Namespaces);
    closes && outcome == Outcome::Open
}

/// The cells of a page by attack, and what each tries.
fn cells(page: &str) -> BTreeMap<&str, (&str, Vec<String>)> {
    page.lines().filter_map(row).filter(|(name, _)| *name != "attack").collect()
}

fn row(line: &str) -> Option<(&str, (&str, Vec<String>))> {
    let mut fields = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ");
    let (name, tries) = (fields.next()?, fields.next()?);
    Some((name, (tries, fields.map(|cell| cell.replace("**", "")).collect())))
}

/// What docs/attacks.md says otherwise than this run found; cells that depend on the machine do not count.
pub fn differences(chapters: &[Chapter<'_>]) -> Vec<String> {
    let again = "run `cargo test -p envseal-sandbox --test attacks -- --write`";
    let Ok(written) = fs::read_to_string(path()) else {
        return vec![format!("docs/attacks.md is not there: {again}")];
    };
    let new = page(chapters);
    let (written, new) = (cells(&written), cells(&new));
    let mut differences = Vec::new();
    if !written.keys().eq(new.keys()) {
        differences.push(format!("docs/attacks.md lists other attacks: {again}"));
    }
    let machine =
        [Outcome::NotGiven.text(), Outcome::NotTried.text(), Outcome::Absent.text(), WITHOUT_LOADER];
    let depends = |cell: &str| machine.contains(&cell);
    for (name, (tries, found)) in &new {
        let Some((known, cells)) = written.get(name) else { continue };
        let same = found.iter().zip(cells).all(|(a, b)| a == b || depends(a) || depends(b));
        if known != tries || found.len() != cells.len() || !same {
            differences.push(format!("docs/attacks.md is out of date for {name}: {again}"));
        }
    }
    differences
}

/// The table for a terminal.
pub fn text(findings: &Findings) -> String {
    let mut text = format!("\n{:<42}", "");
    for (tier, way) in PLACES {
        let _ = write!(text, " {:<12}", format!("{}/{tier}", &way.to_string()[..1]));
    }
    for row in &findings.rows {
        let _ = write!(text, "\n{:<42}", row.attack.name);
        for outcome in row.outcomes {
            let short = if outcome == Outcome::Absent { "-" } else { outcome.text() };
            let _ = write!(text, " {short:<12}");
        }
    }
    text
}

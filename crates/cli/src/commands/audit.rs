//! `envseal audit`: the log.

use std::fmt::Write as _;

use envseal_vault::{AuditRow, EventKind};

use crate::args::{Audit, AuditAction};
use crate::context::Context;
use crate::failure::{Failure, status};
use crate::output::{self, BOLD, DIM, GREEN, RED, YELLOW, styled};

/// Rows that are read at once.
const PAGE: usize = 1_000;

/// Shows, checks or writes out the log.
pub fn audit(context: &Context, args: &Audit) -> Result<i32, Failure> {
    match args.action {
        None => show(context, 50),
        Some(AuditAction::Show { last }) => show(context, last),
        Some(AuditAction::Verify) => return verify(context),
        Some(AuditAction::Export) => export(context),
    }
    .map(|()| 0)
}

fn show(context: &Context, last: usize) -> Result<(), Failure> {
    let vault = context.vault()?;
    let rows = vault.audit_last(last)?;
    if context.common.json {
        return output::print_json(&rows);
    }
    let mut text = String::new();
    for row in &rows {
        let _ = writeln!(text, "{}", line(row));
    }
    output::print(&text)
}

fn line(row: &AuditRow) -> String {
    let event = &row.event;
    let style = match event.kind {
        EventKind::Run | EventKind::Accept | EventKind::Allow => GREEN,
        EventKind::Refuse | EventKind::UnlockFailed | EventKind::Deny => RED,
        EventKind::Panic | EventKind::Revoke | EventKind::Remove => YELLOW,
        _ => BOLD,
    };
    let mut text = format!(
        "{:>5}  {}  {}",
        row.sequence,
        styled(DIM, output::time(row.time)),
        styled(style, format!("{:<13}", event.kind))
    );
    let mut add = |part: String| {
        text.push(' ');
        text.push_str(&part);
    };
    if !event.secrets.is_empty() {
        add(event.secrets.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
    }
    if let Some(program) = &event.program {
        add(envseal_engine::show::visible(program.as_ref()));
    }
    if let Some(grant) = event.grant {
        add(format!("by grant {grant}"));
    }
    if let Some(status) = event.status {
        add(format!("status {status}"));
    }
    if let Some(answers) = event.answers {
        add(styled(DIM, format!("(row {answers})")));
    }
    if let Some(note) = &event.note {
        add(format!("- {}", envseal_engine::show::visible(note.as_ref())));
    }
    if let Some(nearest) = event.caller.as_ref().and_then(|caller| caller.ancestry.first()) {
        add(styled(DIM, format!("[{}]", envseal_engine::show::visible(nearest.as_ref()))));
    }
    text
}

fn verify(context: &Context) -> Result<i32, Failure> {
    let report = context.unlocked(|unlocked| {
        let report = unlocked.verify_audit()?;
        // A log that is whole beside entries that are not is no good news.
        if report.first_bad.is_none() {
            unlocked.verify()?;
        }
        Ok(report)
    })?;
    if context.common.json {
        output::print_json(&report)?;
    }
    match &report.first_bad {
        None => {
            context.done(format!(
                "{} rows, every one as it was written, and so are secrets, grants and slots; head {}",
                report.rows,
                report.head.short()
            ));
            Ok(0)
        }
        Some((row, change)) => {
            output::to_stderr(&format!(
                "{} the log was changed at row {row}: {change}",
                styled(RED, "envseal:")
            ));
            Ok(status::DAMAGED.into())
        }
    }
}

/// JSON Lines, one row a line, oldest first.
fn export(context: &Context) -> Result<(), Failure> {
    let vault = context.vault()?;
    let mut from = 1;
    loop {
        let rows = vault.audit(from, PAGE)?;
        let Some(last) = rows.last() else { return Ok(()) };
        from = last.sequence + 1;
        let mut text = String::new();
        for row in &rows {
            let json = serde_json::to_string(row).map_err(|error| Failure::other(error.to_string()))?;
            let _ = writeln!(text, "{json}");
        }
        output::print(&text)?;
    }
}

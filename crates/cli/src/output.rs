//! What is printed, where: answers on standard output, everything else on standard error.

use std::fmt::Write as _;
use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::args::Common;
use crate::failure::Failure;

/// Emphasis.
pub const BOLD: Style = Style::new().bold();
/// Less important.
pub const DIM: Style = Style::new().dimmed();
/// Good.
pub const GREEN: Style = AnsiColor::Green.on_default();
/// To be looked at.
pub const YELLOW: Style = AnsiColor::Yellow.on_default();
/// Bad.
pub const RED: Style = AnsiColor::Red.on_default();

/// A text in a style, which the printing functions take off again where there is no terminal or `NO_COLOR` is set.
pub fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Prints an answer. A reader that has gone away is not an error.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::other(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints an answer as JSON, on one line.
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string(value).map_err(|error| Failure::other(error.to_string()))?;
    text.push('\n');
    print(&text)
}

/// Prints what was done, unless `--quiet`, on standard error so that answers stay clean.
pub fn done(common: &Common, text: &str) {
    if !common.quiet {
        to_stderr(text);
    }
}

/// Prints what the owner should know.
pub fn notice(common: &Common, text: &str) {
    if !common.quiet {
        to_stderr(&format!("envseal: {}", styled(YELLOW, text)));
    }
}

/// Prints a line on standard error; there is nobody to tell when that fails.
pub fn to_stderr(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Rows in columns, two spaces apart, the last one ragged.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    let mut line = |cells: &[String], style: Style| {
        let mut row = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(row, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", styled(style, row.trim_end()));
    };
    line(&head.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>(), DIM);
    for row in rows {
        line(row, Style::new());
    }
    text
}

/// A time as `2026-11-24 12:22:11Z` (UTC, RFC 3339 with a space), from milliseconds since 1970.
pub fn time(milliseconds: i64) -> String {
    let moment = time::OffsetDateTime::from_unix_timestamp(milliseconds.div_euclid(1000));
    moment.map_or_else(
        |_| format!("{milliseconds} ms"),
        |t| {
            let (date, hour, minute, second) = (t.date(), t.hour(), t.minute(), t.second());
            format!("{date} {hour:02}:{minute:02}:{second:02}Z")
        },
    )
}

/// The same from seconds.
pub fn time_of_seconds(seconds: u64) -> String {
    i64::try_from(seconds).ok().and_then(|s| s.checked_mul(1000)).map_or_else(|| format!("{seconds} s"), time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_and_never_panic() {
        assert_eq!(time(1_795_522_931_500), "2026-11-24 12:22:11Z");
        assert_eq!(time(-1), "1969-12-31 23:59:59Z");
        for extreme in [i64::MIN, i64::MAX] {
            assert!(time(extreme).ends_with("ms"));
        }
        assert_eq!(time_of_seconds(u64::MAX), format!("{} s", u64::MAX));
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".into(), "bb".into()], vec!["cccccc".into(), "d".into()]];
        let plain = anstream::adapter::strip_str(&table(&["NAME", "X"], &rows)).to_string();
        assert_eq!(plain, "NAME    X\na       bb\ncccccc  d\n");
    }
}

//! How this front end reaches the owner: a descriptor, a key file, or the terminal.

use std::io::{self, Read as _};
use std::path::Path;

use envseal_engine::approve::{Answer, Choice, Owner, OwnerError, Prompt};
use envseal_vault::{Factor, KeyFile, Passphrase, RecoveryCode};
use zeroize::Zeroizing;

use crate::args::Common;
use crate::descriptor;
use crate::duration;
use crate::terminal::{self, Line, Terminal};

/// The longest passphrase that is read from a descriptor, in bytes.
const LONGEST: usize = 4096;

/// The owner, as far as this process can reach one.
pub struct Person<'a> {
    common: &'a Common,
    /// What stood on `--passphrase-fd`: a descriptor can be read once, so it is kept until it was tried.
    given: Option<Passphrase>,
    /// What `--passphrase-fd` or `--keyfile` brought was tried.
    tried: bool,
}

impl<'a> Person<'a> {
    /// Reads what the command line names. The descriptor is read now, before anything else can.
    pub fn new(common: &'a Common) -> Result<Self, OwnerError> {
        let given = common.passphrase_fd.map(read_passphrase).transpose()?;
        Ok(Self { common, given, tried: false })
    }

    /// A factor that needs no terminal; `None` when none was named or it was tried.
    fn without_terminal(&mut self) -> Result<Option<Factor>, OwnerError> {
        if std::mem::replace(&mut self.tried, true) {
            return Ok(None);
        }
        if let Some(passphrase) = self.given.take() {
            return Ok(Some(self.factor(passphrase)));
        }
        match &self.common.keyfile {
            Some(file) => Ok(Some(Factor::KeyFile(read_keyfile(file)?))),
            None => Ok(None),
        }
    }

    /// A passphrase as the factor that the command line says it is.
    fn factor(&self, passphrase: Passphrase) -> Factor {
        if self.common.dpapi { Factor::Dpapi(passphrase) } else { Factor::Passphrase(passphrase) }
    }

    /// Whether the command line said how to unlock, so that nobody is to be asked.
    fn is_told(&self) -> bool {
        self.common.passphrase_fd.is_some() || self.common.keyfile.is_some()
    }

    /// Asks for the passphrase, or the recovery code, at the terminal.
    fn at_terminal(&self, terminal: &mut Terminal) -> Result<Factor, OwnerError> {
        let question = if self.common.recovery { "Recovery code: " } else { "Passphrase: " };
        let text = typed(terminal.ask_hidden(question))?;
        if text.is_empty() {
            return Err(OwnerError::Cancelled);
        }
        if self.common.recovery {
            let text = std::str::from_utf8(&text)
                .map_err(|_| OwnerError::Unusable("a recovery code is ASCII".into()))?;
            let code =
                text.parse::<RecoveryCode>().map_err(|error| OwnerError::Unusable(error.to_string()))?;
            return Ok(Factor::Recovery(code));
        }
        Ok(self.factor(Passphrase::new(text)))
    }
}

impl Owner for Person<'_> {
    fn unlock(&mut self, again: Option<&str>) -> Result<Option<Factor>, OwnerError> {
        if let Some(factor) = self.without_terminal()? {
            return Ok(Some(factor));
        }
        if self.is_told() {
            return Ok(None);
        }
        let Some(mut terminal) = Terminal::open() else { return Ok(None) };
        if let Some(again) = again {
            say(&mut terminal, &format!("{again}\n"))?;
        }
        self.at_terminal(&mut terminal).map(Some)
    }

    fn approve(&mut self, prompt: &Prompt, again: Option<&str>) -> Result<Option<Answer>, OwnerError> {
        let Some(mut terminal) = Terminal::open() else { return Ok(None) };
        match again {
            None => {
                let columns = terminal.columns();
                say(&mut terminal, &describe(prompt, columns))?;
            }
            Some(again) => say(&mut terminal, &format!("{again}\n"))?,
        }
        let choice = loop {
            let question =
                "Allow? [o]nce, [8]h (or 30m, 7d, ...), [a]lways exactly this, [d]eny, deny and [r]emember: ";
            let answer = typed(terminal.ask(question))?;
            match std::str::from_utf8(&answer).unwrap_or_default().trim() {
                "o" | "once" | "y" | "yes" => break Choice::Once,
                "8" | "8h" => break Choice::For(8 * 3600),
                "a" | "always" => break Choice::Always,
                "d" | "deny" | "n" | "no" | "" => return Ok(Some(Answer::Deny)),
                "r" | "remember" => break Choice::DenyAlways,
                other => match duration::parse(other) {
                    Ok(seconds) => break Choice::For(seconds),
                    Err(_) => say(&mut terminal, "o, 8, a, d, r, or a length of time like 30m\n")?,
                },
            }
        };
        let factor = match self.without_terminal()? {
            Some(factor) => factor,
            None => self.at_terminal(&mut terminal)?,
        };
        Ok(Some(Answer::Proven { choice, factor }))
    }

    fn notice(&mut self, text: &str) {
        crate::output::notice(self.common, text);
    }

    fn detail(&mut self, text: &str) {
        if self.common.verbose {
            crate::output::to_stderr(&format!("envseal: {text}"));
        }
    }
}

/// A prompt as text for a terminal of so many columns. Long lines are broken here, each part beside its label: broken
/// by the terminal, a part that a hostile argument brings would look like a line of the prompt's own.
fn describe(prompt: &Prompt, columns: usize) -> String {
    let label_width = prompt.lines.iter().map(|(label, _)| label.len()).max().unwrap_or_default();
    let room = columns.saturating_sub(label_width + 6).max(20);
    let mut text = String::from("\nA program asks for secrets that no grant lets it have.\n\n");
    for (label, line) in &prompt.lines {
        for (part, label) in
            broken(line, room).iter().zip(std::iter::once(*label).chain(std::iter::repeat("")))
        {
            text.push_str(&format!("  {label:>label_width$} | {part}\n"));
        }
    }
    text.push('\n');
    for warning in &prompt.warnings {
        text.push_str(&format!("  ! {warning}\n"));
    }
    if !prompt.warnings.is_empty() {
        text.push('\n');
    }
    text
}

/// A line in parts of so many columns; a character outside of ASCII counts as two, as the widest ones have.
fn broken(line: &str, room: usize) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut used = 0;
    for c in line.chars() {
        let width = if c.is_ascii() { 1 } else { 2 };
        if used + width > room {
            parts.push(String::new());
            used = 0;
        }
        used += width;
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
}

fn say(terminal: &mut Terminal, text: &str) -> Result<(), OwnerError> {
    terminal.say(text).map_err(|source| OwnerError::Io { what: terminal::NAME.into(), source })
}

/// What was typed, or that nothing was.
pub fn typed(line: io::Result<Line>) -> Result<Zeroizing<Vec<u8>>, OwnerError> {
    match line {
        Ok(Line::Text(text)) => Ok(text),
        Ok(Line::Cancelled) => Err(OwnerError::Cancelled),
        Ok(Line::TimedOut) => Err(OwnerError::Unusable("nobody answered within two minutes".into())),
        Err(source) => Err(OwnerError::Io { what: terminal::NAME.into(), source }),
    }
}

/// The first line of an open descriptor, without its line ending.
pub fn read_passphrase(descriptor: u32) -> Result<Passphrase, OwnerError> {
    let what = || format!("--passphrase-fd {descriptor}");
    let failed = |source| OwnerError::Io { what: what(), source };
    let mut input = descriptor::open(descriptor).map_err(failed)?;
    // Byte by byte: what follows the line is not ours to take.
    let mut text = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    let mut byte = [0];
    while text.len() <= LONGEST {
        match input.read(&mut byte) {
            Ok(1) if byte[0] != b'\n' => text.push(byte[0]),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    if text.last() == Some(&b'\r') {
        text.pop();
    }
    match text.len() {
        0 => Err(OwnerError::Unusable(format!("{}: there is no passphrase on it", what()))),
        1..=LONGEST => Ok(Passphrase::new(text)),
        _ => Err(OwnerError::Unusable(format!("{}: a passphrase has at most {LONGEST} bytes", what()))),
    }
}

/// Reads a key file.
pub fn read_keyfile(file: &Path) -> Result<KeyFile, OwnerError> {
    KeyFile::read(file).map_err(|error| OwnerError::Unusable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_an_argument_begins_a_line_of_the_prompt() {
        let argument = format!("sh -c '{}tier  lockdown'", " ".repeat(61));
        let prompt = Prompt { lines: vec![("command", argument), ("tier", "none".into())], warnings: vec![] };
        for columns in [1, 20, 40, 80, 200] {
            let text = describe(&prompt, columns);
            let lines: Vec<_> = text.lines().skip(3).take_while(|line| !line.is_empty()).collect();
            assert!(lines.iter().all(|line| line.as_bytes()[10] == b'|'), "{text}");
            let tiers = lines.iter().filter(|line| line.trim_start().starts_with("tier")).count();
            assert_eq!(tiers, 1, "{text}");
        }
    }
}

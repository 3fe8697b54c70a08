//! A command line from which the program gets back the arguments that were given.
//!
//! The rules are those of the C run-time and of `CommandLineToArgvW`: blanks separate, double quotes keep
//! them, and backslashes count only before a double quote. A program with rules of its own (cmd.exe) may
//! read it otherwise.

use zeroize::Zeroizing;

/// The longest command line of `CreateProcessW`, its final NUL included.
pub(crate) const LONGEST: usize = 32_767;

const QUOTE: u16 = b'"' as u16;
const BACKSLASH: u16 = b'\\' as u16;

/// Why there is no such command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unquotable {
    /// A NUL in an argument.
    Nul,
    /// A double quote in argument 0, where nothing can stand for one.
    QuoteInName,
    /// Longer than [`LONGEST`].
    TooLong,
}

/// The line for `name` as argument 0 and `arguments` after it, ended by a NUL.
pub(crate) fn command_line<A: AsRef<[u16]>>(
    name: &[u16],
    arguments: &[A],
) -> Result<Zeroizing<Vec<u16>>, Unquotable> {
    if name.contains(&QUOTE) {
        return Err(Unquotable::QuoteInName);
    }
    // Room for the longest form of each, so that no growth leaves a copy behind.
    let room = arguments.iter().map(|argument| 2 * argument.as_ref().len() + 3).sum::<usize>();
    let mut line = Zeroizing::new(Vec::with_capacity(name.len() + 3 + room));
    line.push(QUOTE);
    line.extend_from_slice(name);
    line.push(QUOTE);
    for argument in arguments {
        line.push(u16::from(b' '));
        push_argument(&mut line, argument.as_ref());
    }
    if line.contains(&0) {
        return Err(Unquotable::Nul);
    }
    line.push(0);
    if line.len() > LONGEST { Err(Unquotable::TooLong) } else { Ok(line) }
}

fn push_argument(line: &mut Vec<u16>, argument: &[u16]) {
    let is_blank = |unit: &u16| matches!(u8::try_from(*unit), Ok(b' ' | b'\t' | b'\n' | b'\r' | 0x0b));
    let quoted = argument.is_empty() || argument.iter().any(is_blank);
    if quoted {
        line.push(QUOTE);
    }
    let mut backslashes = 0;
    for &unit in argument {
        if unit == QUOTE {
            // Those before it are doubled, and one more takes its meaning.
            line.extend(std::iter::repeat_n(BACKSLASH, backslashes + 1));
        }
        backslashes = if unit == BACKSLASH { backslashes + 1 } else { 0 };
        line.push(unit);
    }
    if quoted {
        line.extend(std::iter::repeat_n(BACKSLASH, backslashes));
        line.push(QUOTE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    fn line(arguments: &[&str]) -> String {
        let arguments: Vec<_> = arguments.iter().map(|argument| units(argument)).collect();
        let line = command_line(&units(r"C:\a b\x.exe"), &arguments).expect("a line");
        assert_eq!(line.last(), Some(&0));
        String::from_utf16(&line[..line.len() - 1]).expect("text")
    }

    /// The reader that the documentation of CommandLineToArgvW describes, written from that text.
    fn read(line: &str) -> Vec<String> {
        let (_, rest) = line[1..].split_once('"').expect("argument 0 in quotes");
        let mut units = rest.chars().peekable();
        let mut arguments = Vec::new();
        loop {
            while units.next_if(|unit| *unit == ' ' || *unit == '\t').is_some() {}
            if units.peek().is_none() {
                return arguments;
            }
            let (mut argument, mut inside) = (String::new(), false);
            while let Some(unit) = units.next_if(|unit| inside || !(*unit == ' ' || *unit == '\t')) {
                let mut backslashes = usize::from(unit == '\\');
                while backslashes > 0 && units.next_if_eq(&'\\').is_some() {
                    backslashes += 1;
                }
                if backslashes > 0 && units.peek() != Some(&'"') {
                    argument.extend(std::iter::repeat_n('\\', backslashes));
                } else if backslashes > 0 {
                    argument.extend(std::iter::repeat_n('\\', backslashes / 2));
                    units.next();
                    if backslashes % 2 == 1 { argument.push('"') } else { inside = !inside }
                } else if unit == '"' {
                    inside = !inside;
                } else {
                    argument.push(unit);
                }
            }
            arguments.push(argument);
        }
    }

    #[test]
    fn quotes_are_put_where_they_are_needed_only() {
        assert_eq!(line(&[]), r#""C:\a b\x.exe""#);
        assert_eq!(line(&["a", r"b\c\", "-x=1"]), r#""C:\a b\x.exe" a b\c\ -x=1"#);
        assert_eq!(line(&["", "a b"]), r#""C:\a b\x.exe" "" "a b""#);
        assert_eq!(line(&[r"a b\"]), r#""C:\a b\x.exe" "a b\\""#);
        assert_eq!(line(&[r#"say "hi""#]), r#""C:\a b\x.exe" "say \"hi\"""#);
        assert_eq!(line(&[r#"\\"x"#]), r#""C:\a b\x.exe" \\\\\"x"#);
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        assert_eq!(command_line::<Vec<u16>>(&units("a\"b"), &[]), Err(Unquotable::QuoteInName));
        assert_eq!(command_line(&units("a"), &[vec![0]]), Err(Unquotable::Nul));
        assert_eq!(command_line::<Vec<u16>>(&[0], &[]), Err(Unquotable::Nul));
        let longest = vec![u16::from(b'x'); LONGEST - 5];
        assert_eq!(
            command_line(&units("a"), std::slice::from_ref(&longest)).map(|line| line.len()),
            Ok(LONGEST)
        );
        assert_eq!(command_line(&units("ab"), &[longest]), Err(Unquotable::TooLong));
    }

    #[test]
    fn what_is_written_is_read_back() {
        // Every list of one and two arguments of up to four of these.
        let alphabet = ['a', ' ', '"', '\\'];
        let mut words = vec![String::new()];
        for length in 0..4 {
            let longer = words.iter().filter(|word| word.len() == length);
            let longer: Vec<_> =
                longer.flat_map(|word| alphabet.iter().map(move |unit| format!("{word}{unit}"))).collect();
            words.extend(longer);
        }
        assert_eq!(words.len(), 341);
        for first in &words {
            assert_eq!(read(&line(&[first])), [first.as_str()]);
            for second in &words {
                assert_eq!(read(&line(&[first, second])), [first.as_str(), second]);
            }
        }
        assert_eq!(read(&line(&["\u{e9}\n", "\u{1f511}"])), ["\u{e9}\n", "\u{1f511}"]);
    }
}

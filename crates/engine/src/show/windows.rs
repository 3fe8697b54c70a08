//! Quoting for Windows PowerShell 5.1, which every Windows has, and for `envseal` as the program that is called.
//!
//! That shell puts the double quotes of an argument into the command line as they stand, and puts the whole between
//! quotes when there is a space outside of such. So a quote is written here as its reader takes it: `""` between
//! quotes, else `\"`. PowerShell 7.3 and later pass those signs on, so that an argument with a double quote, or an
//! empty one, becomes another one there; it never becomes two. `cmd.exe` knows no single quotes.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::windows::ffi::OsStrExt as _;

use super::is_deceptive;

/// The text as one argument, quoted only where it must be.
///
/// What a terminal would act on is written as `$([char]0x1b)`, so that the line can be shown safely.
pub fn quote(text: &OsStr) -> String {
    if text.is_empty() {
        return "'\"\"'".into();
    }
    let units: Vec<_> = char::decode_utf16(text.encode_wide()).collect();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:\\=+".contains(c);
    // PowerShell parts `-a.b` and `-a:b` at the second sign.
    let option = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let starts_as_option = units[0] == Ok('-');
    let is_plain = |unit: &Result<char, _>| {
        unit.as_ref().is_ok_and(|c| if starts_as_option { option(*c) } else { plain(*c) })
    };
    if units.iter().all(is_plain) {
        return text.to_string_lossy().into_owned();
    }
    let shown = |unit: &Result<char, _>| unit.as_ref().is_ok_and(|c| !is_deceptive(*c));
    let literal = units.iter().all(shown);
    let mut word = String::from(if literal { "'" } else { "\"" });
    let mut backslashes = 0;
    let has_space = units.iter().any(|unit| unit.as_ref().is_ok_and(|c| c.is_whitespace()));
    for unit in &units {
        match unit {
            Ok('"') => {
                // Backslashes before a quote are halved by who reads the command line.
                word.extend(std::iter::repeat_n('\\', backslashes));
                let quote = if literal { "\"" } else { "`\"" };
                word.push_str(if has_space { quote } else { "\\" });
                word.push_str(quote);
            }
            // PowerShell takes the typographic quotes for the plain ones.
            Ok(c) if literal && is_single_quote(*c) => word.extend([*c, *c]),
            Ok(c @ ('`' | '$')) if !literal => word.extend(['`', *c]),
            Ok(c) if !literal && is_double_quote(*c) => word.extend(['`', *c]),
            Ok(c) if literal || !is_deceptive(*c) => word.push(*c),
            Ok(c) if u32::from(*c) > 0xffff => {
                let _ = write!(word, "$([char]::ConvertFromUtf32(0x{:x}))", u32::from(*c));
            }
            Ok(c) => {
                let _ = write!(word, "$([char]0x{:x})", u32::from(*c));
            }
            Err(unpaired) => {
                let _ = write!(word, "$([char]0x{:x})", unpaired.unpaired_surrogate());
            }
        }
        backslashes = if *unit == Ok('\\') { backslashes + 1 } else { 0 };
    }
    // It puts an argument with a space between quotes, whose last one a backslash would take away.
    if has_space {
        word.extend(std::iter::repeat_n('\\', backslashes));
    }
    word.push(if literal { '\'' } else { '"' });
    word
}

/// Several words as one line. A program's name that had to be quoted is called by `&`.
pub fn quote_all<'a>(words: impl IntoIterator<Item = &'a OsStr>) -> String {
    let line = words.into_iter().map(quote).collect::<Vec<_>>().join(" ");
    if line.starts_with(['\'', '"']) { format!("& {line}") } else { line }
}

fn is_single_quote(c: char) -> bool {
    matches!(c, '\'' | '\u{2018}'..='\u{201b}')
}

fn is_double_quote(c: char) -> bool {
    matches!(c, '\u{201c}'..='\u{201e}')
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::windows::ffi::OsStringExt as _;
    use std::os::windows::process::CommandExt as _;
    use std::process::Command;

    use super::*;

    /// What PowerShell makes of one quoted word (about_Quoting_Rules).
    fn parsed(word: &str) -> Vec<u16> {
        let mut units = Vec::new();
        let mut buffer = [0; 2];
        let mut push = |c: char| units.extend_from_slice(c.encode_utf16(&mut buffer));
        if let Some(text) = word.strip_prefix('\'') {
            let text = text.strip_suffix('\'').unwrap();
            let mut chars = text.chars();
            while let Some(c) = chars.next() {
                // Within single quotes two of them are one.
                assert!(!is_single_quote(c) || chars.next() == Some(c), "{word}");
                push(c);
            }
        } else if let Some(text) = word.strip_prefix('"') {
            let mut rest = text.strip_suffix('"').unwrap();
            while let Some(c) = rest.chars().next() {
                rest = &rest[c.len_utf8()..];
                if c == '`' {
                    let escaped = rest.chars().next().unwrap();
                    rest = &rest[escaped.len_utf8()..];
                    units.extend_from_slice(escaped.encode_utf16(&mut buffer));
                } else if c == '$' {
                    let (expression, after) = rest.strip_prefix("([char]").unwrap().split_once(')').unwrap();
                    let number =
                        expression.trim_start_matches("::ConvertFromUtf32(").trim_start_matches("0x");
                    let number = u32::from_str_radix(number, 16).unwrap();
                    rest = if expression.starts_with("::") { &after[1..] } else { after };
                    match char::from_u32(number) {
                        Some(c) => units.extend_from_slice(c.encode_utf16(&mut buffer)),
                        None => units.push(number.try_into().unwrap()),
                    }
                } else {
                    assert!(!is_double_quote(c) && c != '"', "{word}");
                    units.extend_from_slice(c.encode_utf16(&mut buffer));
                }
            }
        } else {
            word.chars().for_each(push);
        }
        units
    }

    /// How it puts an argument into a command line: between quotes when there is a space outside of the quotes.
    fn in_command_line(word: &str) -> OsString {
        let mut text = parsed(word);
        let mut outside = true;
        let mut quoted = false;
        for unit in &text {
            let c = char::from_u32((*unit).into()).unwrap_or('x');
            outside ^= c == '"';
            quoted |= outside && c.is_whitespace();
        }
        if quoted {
            text.insert(0, u16::from(b'"'));
            text.push(u16::from(b'"'));
        }
        OsString::from_wide(&text)
    }

    const SHOWS: &str = "ENVSEAL_TEST_SHOWS_ITS_ARGUMENTS";

    /// Not a test by itself: the program that the next one starts.
    #[test]
    fn shows_its_arguments() {
        if std::env::var_os(SHOWS).is_some() {
            let args = std::env::args_os().skip_while(|arg| arg != "--").skip(1);
            let args: Vec<_> = args.map(|arg| arg.encode_wide().collect::<Vec<_>>()).collect();
            #[expect(clippy::print_stdout, reason = "that is what it is for")]
            {
                println!("\nargs={args:?}");
            }
        }
    }

    #[test]
    fn a_quoted_word_is_the_same_one_argument() {
        let words: Vec<OsString> = [
            "plain",
            "-flag",
            "--long-flag",
            "-a.b",
            "-o:c",
            "",
            "two words",
            "it's",
            "C:\\dir",
            "C:\\my dir\\",
            "a\\",
            "say \"hi\"",
            "a\"b",
            "\"",
            "\" x \"",
            "x\" --evil \"y",
            "a\\\"b",
            "a b\\\\\"c",
            "$HOME $(id) `id`; id | id & id",
            "@(1,2)",
            "a,b",
            "%PATH%",
            "\u{2018}; id \u{2019}",
            "\u{201c}\u{1b}[31m\u{201d} $x",
            "\u{1b}\"$`\"",
            "a\nb c",
            "tag\u{e0041}",
            "{x}",
            "#x",
            "<>",
            "--%",
        ]
        .map(OsString::from)
        .into();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "show::system::tests::shows_its_arguments", "--nocapture", "--"])
            .env(SHOWS, "1");
        for word in &words {
            let quoted = quote(word);
            assert!(!quoted.chars().any(is_deceptive), "{quoted}");
            command.raw_arg(in_command_line(&quoted));
        }
        let output = command.output().unwrap();
        let expected: Vec<_> = words.iter().map(|word| word.encode_wide().collect::<Vec<_>>()).collect();
        let shown = String::from_utf8(output.stdout).unwrap();
        let line = shown.lines().find_map(|line| line.strip_prefix("args="));
        assert_eq!(line, Some(format!("{expected:?}").as_str()));
    }

    #[test]
    fn half_of_a_surrogate_pair_is_written_as_its_number() {
        let text = [0x41, 0xd800, 0x42];
        let quoted = quote(&OsString::from_wide(&text));
        assert_eq!((quoted.as_str(), parsed(&quoted)), ("\"A$([char]0xd800)B\"", text.to_vec()));
    }

    #[test]
    fn a_program_whose_name_is_quoted_is_called() {
        let line = |words: &[&str]| quote_all(words.iter().map(OsStr::new));
        assert_eq!(line(&["envseal", "allow", "--", "node.exe", "a b"]), "envseal allow -- node.exe 'a b'");
        assert_eq!(line(&["C:\\Program Files\\x.exe", "a"]), "& 'C:\\Program Files\\x.exe' a");
    }
}

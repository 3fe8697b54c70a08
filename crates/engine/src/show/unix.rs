//! Quoting for a POSIX shell.

use std::ffi::OsStr;
use std::fmt::Write as _;

use super::is_deceptive;

/// The text as one word of a POSIX shell, quoted only where it must be.
///
/// What a terminal would act on is written in `$'...'` form (bash, zsh, ksh; POSIX.1-2024), so that the line can
/// be shown safely and still means the same bytes when pasted.
pub fn quote(text: &OsStr) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_-./=:,@%+^".contains(b);
    let bytes = text.as_encoded_bytes();
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    match text.to_str() {
        Some(text) if !text.chars().any(is_deceptive) => format!("'{}'", text.replace('\'', "'\\''")),
        _ => {
            let mut word = String::from("$'");
            for &byte in bytes {
                match byte {
                    b'\'' | b'\\' => {
                        word.push('\\');
                        word.push(char::from(byte));
                    }
                    b' '..=b'~' => word.push(char::from(byte)),
                    _ => {
                        let _ = write!(word, "\\{byte:03o}");
                    }
                }
            }
            word.push('\'');
            word
        }
    }
}

/// Several words as one shell line.
pub fn quote_all<'a>(words: impl IntoIterator<Item = &'a OsStr>) -> String {
    words.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_means_the_same_bytes_to_a_shell() {
        use std::os::unix::ffi::OsStrExt;
        let words: [&[u8]; 9] = [
            b"plain",
            b"",
            b"two words",
            b"it's",
            b"$(id)`id`\"$HOME\"",
            b"https://h/?q=1&b=2",
            b"\x1b[31m'\\",
            b"\xff\xfe9",
            b"a\nb",
        ];
        for word in words {
            let line = format!("printf %s {}", quote(OsStr::from_bytes(word)));
            let output = std::process::Command::new("bash").arg("-c").arg(line).output().unwrap();
            assert_eq!(output.stdout, word);
        }
    }
}

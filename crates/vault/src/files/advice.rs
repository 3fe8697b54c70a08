//! What is wrong with a file's access on Windows, in words, with the command that repairs it.
//!
//! Pure, so that it is tested on every system.

use std::path::Path;

use super::descriptor::{Loose, Sid};

/// What is wrong, and what to do.
pub(crate) fn in_words(loose: &Loose, me: &Sid, path: &Path, is_directory: bool) -> String {
    let path = path.to_string_lossy();
    // `\\?\UNC\host\share` is `\\host\share`.
    let path = match path.strip_prefix(r"\\?\UNC\") {
        Some(share) => format!(r"\\{share}"),
        None => path.strip_prefix(r"\\?\").unwrap_or(&path).to_owned(),
    };
    let (path, shell) = quoted(&path);
    let inherits = if is_directory { "(OI)(CI)" } else { "" };
    // In quotes: PowerShell would run what is in parentheses.
    let mine = format!("/inheritance:r /grant:r \"*{me}:{inherits}F\"");
    match loose {
        Loose::Owner(owner) => {
            format!(
                "it belongs to {owner}, not to this user ({me}): if it is yours, {shell}takeown /F {path}"
            )
        }
        Loose::Open => format!("everybody can reach it: {shell}icacls {path} {mine}"),
        Loose::Reaches(who) => {
            format!("others can reach it ({who}): {shell}icacls {path} {mine} /remove:g \"*{who}\"")
        }
        Loose::Unknown => format!(
            "who can reach it is said in a form that envseal does not know: {shell}icacls {path} /reset, then icacls \
             {path} {mine}"
        ),
    }
}

/// A path in quotes, and which shell understands them where it is not each.
///
/// In double quotes cmd.exe puts in the value of `%NAME%` (and of `!NAME!` where that is switched on), and nothing
/// stops it; PowerShell puts in that of `$NAME`, takes the backtick for an escape, and ends at a typographic quote. In
/// single quotes PowerShell takes everything as it stands but a quote, which is written twice.
fn quoted(path: &str) -> (String, &'static str) {
    const DOUBLE: [char; 3] = ['\u{201c}', '\u{201d}', '\u{201e}'];
    const SINGLE: [char; 5] = ['\'', '\u{2018}', '\u{2019}', '\u{201a}', '\u{201b}'];
    if !path.contains(['%', '!', '$', '`', '"']) && !path.contains(DOUBLE) {
        return (format!("\"{path}\""), "");
    }
    let mut text = String::from("'");
    for c in path.chars() {
        text.extend(SINGLE.contains(&c).then_some(c));
        text.push(c);
    }
    text.push('\'');
    (text, "in PowerShell: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_so_that_the_shell_named_takes_it_as_it_is() {
        for (path, expected, shell) in [
            (r"C:\a b\v", r#""C:\a b\v""#, ""),
            (r"C:\R&D (x86)\it's", r#""C:\R&D (x86)\it's""#, ""),
            (r"C:\100%\v", r"'C:\100%\v'", "in PowerShell: "),
            (r"C:\%TEMP%\o'b & c", r"'C:\%TEMP%\o''b & c'", "in PowerShell: "),
            (r"C:\$(calc)\v", r"'C:\$(calc)\v'", "in PowerShell: "),
            ("C:\\a`b", "'C:\\a`b'", "in PowerShell: "),
            ("C:\\a\u{201d};calc", "'C:\\a\u{201d};calc'", "in PowerShell: "),
            ("C:\\$\u{2019};calc", "'C:\\$\u{2019}\u{2019};calc'", "in PowerShell: "),
        ] {
            assert_eq!(quoted(path), (expected.to_owned(), shell), "{path}");
        }
    }

    #[test]
    fn the_whole_command_is_for_this_user_and_its_rights_are_in_quotes() {
        let me = Sid::parse(&[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]).unwrap();
        let everybody = Sid::parse(&[1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]).unwrap();
        let loose = Loose::Reaches(everybody);
        assert_eq!(
            in_words(&loose, &me, Path::new(r"\\?\C:\my vault"), true),
            r#"others can reach it (S-1-1-0): icacls "C:\my vault" /inheritance:r /grant:r "*S-1-5-18:(OI)(CI)F" /remove:g "*S-1-1-0""#
        );
        let open = in_words(&Loose::Open, &me, Path::new(r"\\?\UNC\host\50%\v"), false);
        assert!(
            open.ends_with(r#"in PowerShell: icacls '\\host\50%\v' /inheritance:r /grant:r "*S-1-5-18:F""#),
            "{open}"
        );
        let theirs = in_words(&Loose::Owner(me.clone()), &me, Path::new(r"C:\a b"), false);
        assert!(theirs.ends_with(r#"takeown /F "C:\a b""#), "{theirs}");
    }
}

//! The environment block of a process: `NAME=VALUE`, NUL-ended, sorted, and a NUL at the end.

use std::cmp::Ordering;

use zeroize::Zeroizing;

/// A variable: name and value in UTF-16, the value overwritten when it is dropped.
pub(crate) type Variable = (Vec<u16>, Zeroizing<Vec<u16>>);

/// Why there is no such block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Invalid {
    /// The name is empty or holds `=`.
    Name(Vec<u16>),
    /// A NUL in a name or a value.
    Nul,
}

/// The block that `CreateProcessW` takes. It must be sorted by name without regard to case, as `compare`
/// tells it; `variables` has no name twice.
pub(crate) fn block(
    mut variables: Vec<Variable>,
    compare: impl Fn(&[u16], &[u16]) -> Ordering,
) -> Result<Zeroizing<Vec<u16>>, Invalid> {
    for (name, value) in &variables {
        if name.contains(&0) || value.contains(&0) {
            return Err(Invalid::Nul);
        }
        if name.is_empty() || name.contains(&u16::from(b'=')) {
            return Err(Invalid::Name(name.clone()));
        }
    }
    variables.sort_by(|(a, _), (b, _)| compare(a, b));
    let length = variables.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>();
    // No growth, which would leave a copy of the values behind.
    let mut block = Zeroizing::new(Vec::with_capacity(length + 2));
    for (name, value) in &variables {
        block.extend_from_slice(name);
        block.push(u16::from(b'='));
        block.extend_from_slice(value);
        block.push(0);
    }
    if variables.is_empty() {
        block.push(0);
    }
    block.push(0);
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    fn without_case(a: &[u16], b: &[u16]) -> Ordering {
        let upper = |units: &[u16]| String::from_utf16_lossy(units).to_uppercase();
        upper(a).cmp(&upper(b))
    }

    fn made(variables: &[(&str, &str)]) -> Result<String, Invalid> {
        let variables = variables.iter().map(|(name, value)| (units(name), units(value).into())).collect();
        block(variables, without_case).map(|block| String::from_utf16(&block).expect("text"))
    }

    #[test]
    fn a_block_is_sorted_without_regard_to_case_and_ended_twice() {
        let text = made(&[("b", "2"), ("Path", "C:\\x;y"), ("A", ""), ("c", "=")]);
        assert_eq!(text, Ok("A=\0b=2\0c==\0Path=C:\\x;y\0\0".into()));
        assert_eq!(made(&[]), Ok("\0\0".into()));
    }

    #[test]
    fn what_would_be_read_as_something_else_is_refused() {
        assert_eq!(made(&[("", "x")]), Err(Invalid::Name(Vec::new())));
        assert_eq!(made(&[("=C:", "C:\\")]), Err(Invalid::Name(units("=C:"))));
        assert_eq!(made(&[("A\0B", "")]), Err(Invalid::Nul));
        assert_eq!(made(&[("A", "x\0B=y")]), Err(Invalid::Nul));
    }
}

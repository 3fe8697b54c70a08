//! Lengths of time as people write them: `90s`, `30m`, `8h`, `7d`, `4w`.

/// The longest that is taken: ten years. Longer is `--forever`.
const LONGEST: u64 = 10 * 365 * 86_400;

/// Reads a length of time; gives seconds, at least 1.
pub fn parse(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a length of time like 30m, 8h or 7d");
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        Some('w') => 604_800,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    match number.checked_mul(unit) {
        Some(0) => Err("a length of time must be at least 1s".into()),
        Some(seconds) if seconds <= LONGEST => Ok(seconds),
        _ => Err("longer than ten years; say --forever if that is meant".into()),
    }
}

/// Shows seconds in the largest unit that divides into at least two, else the next: `8h`, `90m`, `3d`.
pub fn show(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_in_every_unit() {
        for (text, seconds) in [("1s", 1), ("30m", 1_800), ("8h", 28_800), ("7d", 604_800), ("2w", 1_209_600)]
        {
            assert_eq!(parse(text), Ok(seconds));
        }
    }

    #[test]
    fn what_is_no_length_of_time_is_refused() {
        for text in ["", "8", "h", "0h", "-1h", "8 h", "1.5h", "9999999999999999999d", "11000d", "8é", "８h"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

//! What stands in a secret's place.

use crate::search::{Found, Search};

/// The mark of a secret: `[envseal:NAME]`. Where that would itself show a form of some secret, as it does when a secret's
/// value is its name, it is `[envseal]`, or else `***`, which is shorter than any form.
pub(crate) fn choose(name: &str, search: &Search) -> Box<str> {
    let marks = [format!("[envseal:{name}]"), "[envseal]".to_owned()];
    let shows = |mark: &String| {
        let places = 0..mark.len();
        places.into_iter().any(|at| matches!(search.find(&mark.as_bytes()[at..], true), Found::Match { .. }))
    };
    marks.into_iter().find(|mark| !shows(mark)).unwrap_or_else(|| "***".to_owned()).into()
}

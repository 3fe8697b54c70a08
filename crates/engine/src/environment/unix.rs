//! Variables of Unix: their names are bytes, and upper and lower case are different.

/// Variables that pass without being named.
pub const PASSED: &[&str] = &["HOME", "USER", "TMPDIR"];

/// Families of such, by how they begin.
pub const PASSED_FAMILIES: &[&str] = &[];

/// Variables that inject, beside those of every system.
pub const INJECTING: &[&str] = &[];

/// The variables whose values an approval fixes, each as a prompt calls it: who chooses them chooses what runs.
pub const FIXED: &[(&str, &str)] = &[("PATH", "search path"), ("HOME", "home")];

/// Says where a user's own files are.
pub const HOME: &str = "HOME";

/// Say where temporary files go.
pub const TEMPORARY: &[&str] = &["TMPDIR"];

/// Whether two names are one variable.
pub fn same(one: &str, other: &str) -> bool {
    one == other
}

/// Equal for names of one variable.
pub fn key(name: &str) -> String {
    name.to_owned()
}

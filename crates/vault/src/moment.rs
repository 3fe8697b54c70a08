//! Moments between two steps on disk, at which a test ends the process to see what is left of them. Outside of this
//! crate's unit tests they are nothing.

/// One is here.
#[cfg(not(test))]
pub(crate) const fn passed() {}

/// Ends the process, as a kill would, at the moment that was asked for.
#[cfg(test)]
pub(crate) fn passed() {
    use std::sync::atomic::Ordering::SeqCst;

    if LEFT.load(SeqCst) > 0 && LEFT.fetch_sub(1, SeqCst) == 1 {
        // Without a word to anything that would tidy up.
        std::process::exit(9);
    }
}

/// How many moments are left until the end; none is asked for when it is zero.
#[cfg(test)]
pub(crate) static LEFT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

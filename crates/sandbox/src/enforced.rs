//! What was read back after a start: the guarantees that hold, and why the others do not.

use crate::{Guarantee, Tier};

/// Whether one guarantee holds for a started program.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Given {
    /// It was read back from the kernel and holds.
    Yes,
    /// It holds, with the weakness that the text names.
    Guarded(String),
    /// It does not hold, for the reason that the text gives.
    No(String),
}

/// The guarantees of a tier, each as it was read back, never as it was intended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enforced {
    tier: Tier,
    given: Vec<(Guarantee, Given)>,
}

impl Enforced {
    /// A guarantee of `tier` that `found` does not name counts as not given; one beyond it is kept.
    pub(crate) fn new(tier: Tier, found: Vec<(Guarantee, Given)>) -> Enforced {
        let beyond = found.iter().filter(|(name, _)| !tier.guarantees().contains(name)).cloned();
        let given = tier.guarantees().iter().map(|&guarantee| {
            let of = found.iter().find(|(name, _)| *name == guarantee);
            let missing = || Given::No("this version does not enforce it on this system yet".into());
            (guarantee, of.map_or_else(missing, |(_, given)| given.clone()))
        });
        Enforced { tier, given: given.chain(beyond).collect() }
    }

    /// The tier that was asked for.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Every guarantee of the tier, and those beyond it that were to hold, with what was found.
    pub fn iter(&self) -> impl Iterator<Item = (Guarantee, &Given)> {
        self.given.iter().map(|(guarantee, given)| (*guarantee, given))
    }

    /// The guarantees that were to hold on this system and do not, each with its reason. One that the tier
    /// does not promise here ([`Tier::promises`]) is not among them: [`Enforced::iter`] names it.
    pub fn missing(&self) -> Vec<(Guarantee, String)> {
        let tier = self.tier;
        let expected = |of: &Guarantee| tier.promises().contains(of) || !tier.guarantees().contains(of);
        let no = |(guarantee, given): (Guarantee, &Given)| match given {
            Given::No(why) => Some((guarantee, why.clone())).filter(|(guarantee, _)| expected(guarantee)),
            Given::Yes | Given::Guarded(_) => None,
        };
        self.iter().filter_map(no).collect()
    }

    /// Whether `guarantee` holds, be it with a named weakness; false for one that was not asked for.
    pub fn gives(&self, guarantee: Guarantee) -> bool {
        self.iter().any(|(name, given)| name == guarantee && !matches!(given, Given::No(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_found_is_not_given() {
        let found = vec![(Guarantee::N1, Given::Yes), (Guarantee::N5, Given::Guarded("root".into()))];
        let enforced = Enforced::new(Tier::None, found);
        assert!(enforced.gives(Guarantee::N1) && enforced.gives(Guarantee::N5));
        assert!(!enforced.gives(Guarantee::N2) && !enforced.gives(Guarantee::L1));
        let missing =
            Tier::None.promises().iter().filter(|name| ![Guarantee::N1, Guarantee::N5].contains(name));
        assert_eq!(enforced.missing().len(), missing.count());
        let beyond = Enforced::new(Tier::None, vec![(Guarantee::L6, Given::Yes)]);
        assert!(beyond.gives(Guarantee::L6) && beyond.iter().count() == 7);
        let beyond = Enforced::new(Tier::None, vec![(Guarantee::L6, Given::No("asked for".into()))]);
        assert!(beyond.missing().iter().any(|(name, _)| *name == Guarantee::L6));
    }
}

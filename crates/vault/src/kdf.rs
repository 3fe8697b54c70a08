//! From what a person types to a key: Argon2id (RFC 9106), its cost, and the limits of that cost.

use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::VaultError;
use crate::keys::SubKey;

/// How much work a new passphrase slot costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KdfTarget {
    /// 250 to 500 milliseconds on this machine, by more memory first; never below the floor.
    #[default]
    Calibrated,
    /// Exactly the floor: 64 MiB, 3 passes, 4 lanes. For tests and small machines.
    Floor,
}

/// The cost of an Argon2id derivation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argon2Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Argon2Cost {
    /// The least cost a slot is made with.
    pub const FLOOR: Self = Self { memory_kib: 64 << 10, passes: 3, lanes: 4 };
    /// The most memory that calibration takes, in KiB: 1 GiB.
    const CALIBRATED_MEMORY: u32 = 1 << 20;
    /// The most that a vault file can ask for: 4 GiB, 64 passes, 64 lanes.
    const MOST: Self = Self { memory_kib: 4 << 20, passes: 64, lanes: 64 };

    /// Whether the cost is one that this version makes or reads: a file can ask neither for a guess of nothing nor
    /// for all memory.
    pub(crate) fn is_bounded(self) -> bool {
        let within = |value: u32, least: u32, most: u32| (least..=most).contains(&value);
        within(self.memory_kib, Self::FLOOR.memory_kib, Self::MOST.memory_kib)
            && within(self.passes, Self::FLOOR.passes, Self::MOST.passes)
            && within(self.lanes, 1, Self::MOST.lanes)
    }

    /// The cost for a new slot.
    pub(crate) fn choose(target: KdfTarget) -> Result<Self, VaultError> {
        if target == KdfTarget::Floor {
            return Ok(Self::FLOOR);
        }
        let begun = Instant::now();
        Self::FLOOR.derive(b"calibration", &[0; 16])?;
        Ok(Self::FLOOR.grown_to(begun.elapsed(), Duration::from_millis(350)))
    }

    /// Grows memory, and passes once memory is at its cap, so that what took `took` takes about `wanted`.
    fn grown_to(self, took: Duration, wanted: Duration) -> Self {
        let factor = wanted.as_secs_f64() / took.as_secs_f64().max(0.001);
        let memory =
            (f64::from(self.memory_kib) * factor.max(1.0)).min(f64::from(Self::CALIBRATED_MEMORY)) as u32;
        let left = factor * f64::from(self.memory_kib) / f64::from(memory);
        let passes = (f64::from(self.passes) * left.max(1.0)).min(f64::from(Self::MOST.passes)) as u32;
        Self { memory_kib: memory & !1023, passes, lanes: self.lanes }
    }

    /// Argon2id version 0x13 to 32 bytes. The working memory is zeroed.
    pub(crate) fn derive(self, passphrase: &[u8], salt: &[u8]) -> Result<SubKey, VaultError> {
        #[cfg(test)]
        tests::CALLS.with(|calls| calls.set(calls.get() + 1));
        let failed = |error: argon2::Error| VaultError::Kdf(error.to_string());
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).map_err(failed)?;
        let mut blocks = Vec::<Block>::new();
        blocks.try_reserve_exact(params.block_count()).map_err(|error| VaultError::Kdf(error.to_string()))?;
        blocks.resize(params.block_count(), Block::default());
        let mut key = Zeroizing::new([0; 32]);
        let done = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
            passphrase,
            salt,
            key.as_mut_slice(),
            &mut blocks,
        );
        blocks.iter_mut().for_each(Block::zeroize);
        done.map_err(failed)?;
        Ok(key)
    }
}

#[cfg(test)]
#[allow(clippy::missing_const_for_thread_local, reason = "it is const; clippy does not see that for Windows")]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// Derivations in this thread.
        pub(crate) static CALLS: Cell<usize> = const { Cell::new(0) };
    }

    /// Computed by the reference implementation (argon2-cffi 25.1 `hash_secret_raw`, type ID, version 19).
    #[test]
    fn the_derivation_is_argon2id_as_others_compute_it() {
        let key = Argon2Cost::FLOOR.derive(b"password", b"somesaltsomesalt").unwrap();
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "81db97a7e67a891784a2599bc879f957cb3512d273984bd97d8a18fc59ff01e2");
    }

    #[test]
    fn calibration_grows_memory_first_and_never_goes_below_the_floor() {
        let grown =
            |took| Argon2Cost::FLOOR.grown_to(Duration::from_millis(took), Duration::from_millis(350));
        assert_eq!(grown(350), Argon2Cost::FLOOR);
        assert_eq!(grown(5_000), Argon2Cost::FLOOR);
        assert_eq!(grown(175), Argon2Cost { memory_kib: 128 << 10, ..Argon2Cost::FLOOR });
        let fast = grown(5);
        assert_eq!((fast.memory_kib, fast.passes), (1 << 20, 13));
        assert!(grown(0).is_bounded());
    }

    #[test]
    fn costs_outside_the_bounds_are_not_taken_from_a_file() {
        let floor = Argon2Cost::FLOOR;
        assert!(floor.is_bounded());
        for bad in [
            Argon2Cost { memory_kib: 0, ..floor },
            Argon2Cost { memory_kib: (64 << 10) - 1, ..floor },
            Argon2Cost { memory_kib: (4 << 20) + 1, ..floor },
            Argon2Cost { passes: 2, ..floor },
            Argon2Cost { passes: 65, ..floor },
            Argon2Cost { lanes: 0, ..floor },
            Argon2Cost { lanes: 65, ..floor },
        ] {
            assert!(!bad.is_bounded(), "{bad:?}");
        }
    }
}

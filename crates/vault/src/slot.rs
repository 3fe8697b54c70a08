//! Key slots: the vault key, wrapped once for each thing that opens the vault.

use std::fmt;
use std::str::FromStr;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::encode::Transcript;
use crate::kdf::Argon2Cost;
use crate::keys::{self, SubKey, VaultId, VaultKey};
use crate::row::{signed, unsigned};
use crate::{KeyFile, Passphrase, RecoveryCode, UnlockError, VaultError, dpapi};

/// A key slot's number within its vault. Never given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotId(pub u64);

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What opens a slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SlotKind {
    /// A passphrase, through Argon2id.
    Passphrase,
    /// The recovery code.
    Recovery,
    /// A key file.
    KeyFile,
    /// A Windows user on one machine, through DPAPI, and nothing else. Not made and not opened any more: every program of
    /// the user opens it.
    Dpapi,
    /// A Windows user on one machine and a passphrase: both are needed.
    #[serde(rename = "dpapi+passphrase")]
    DpapiPassphrase,
}

impl SlotKind {
    const WORDS: [(Self, &'static str); 5] = [
        (Self::Passphrase, "passphrase"),
        (Self::Recovery, "recovery"),
        (Self::KeyFile, "keyfile"),
        (Self::Dpapi, "dpapi"),
        (Self::DpapiPassphrase, "dpapi+passphrase"),
    ];

    /// Whether it takes something that only the owner knows; the other kinds lie on the machine for whoever runs as
    /// the owner.
    pub(crate) const fn is_of_owner(self) -> bool {
        matches!(self, Self::Passphrase | Self::Recovery | Self::DpapiPassphrase)
    }

    /// Whether a passphrase is needed to open it.
    pub(crate) const fn has_passphrase(self) -> bool {
        matches!(self, Self::Passphrase | Self::DpapiPassphrase)
    }

    /// Whether it opens on one machine only, and is lost with it.
    pub(crate) const fn is_of_machine(self) -> bool {
        matches!(self, Self::Dpapi | Self::DpapiPassphrase)
    }

    const fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

impl fmt::Display for SlotKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for SlotKind {
    type Err = VaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::WORDS.iter().find(|(_, word)| *word == text);
        found.map(|(kind, _)| *kind).ok_or_else(|| VaultError::corrupt("a key slot is of an unknown kind"))
    }
}

/// A key slot as it is listed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SlotInfo {
    /// Its number.
    pub id: SlotId,
    /// What opens it.
    pub kind: SlotKind,
    /// What the owner calls it.
    pub label: String,
    /// When it was made, milliseconds since 1970.
    pub created: i64,
    /// The cost of its key derivation, for a passphrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub argon2id: Option<Argon2Cost>,
}

impl SlotInfo {
    /// The derivation and its cost in a few words.
    pub fn cost(&self) -> String {
        let bound = if self.kind.is_of_machine() { "dpapi" } else { "hkdf-sha256" };
        let Some(cost) = self.argon2id else { return bound.into() };
        let stretched =
            format!("argon2id {} MiB, {} passes, {} lanes", cost.memory_kib >> 10, cost.passes, cost.lanes);
        if self.kind.is_of_machine() { format!("{bound}, {stretched}") } else { stretched }
    }
}

/// Something that opens the vault.
#[derive(Debug)]
#[non_exhaustive]
pub enum Factor {
    /// The owner's passphrase.
    Passphrase(Passphrase),
    /// The recovery code.
    Recovery(RecoveryCode),
    /// A key file.
    KeyFile(KeyFile),
    /// The Windows user whose process this is, and the passphrase of the slot.
    Dpapi(Passphrase),
}

impl Factor {
    /// The kind of slot that it opens.
    pub const fn kind(&self) -> SlotKind {
        match self {
            Self::Passphrase(_) => SlotKind::Passphrase,
            Self::Recovery(_) => SlotKind::Recovery,
            Self::KeyFile(_) => SlotKind::KeyFile,
            Self::Dpapi(_) => SlotKind::DpapiPassphrase,
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Passphrase(passphrase) | Self::Dpapi(passphrase) => passphrase.as_bytes(),
            Self::Recovery(code) => code.as_bytes(),
            Self::KeyFile(file) => file.as_bytes(),
        }
    }
}

/// A slot's parameters as they are stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kdf", rename_all = "lowercase")]
enum Parameters {
    Argon2id(Argon2Cost),
    Hkdf,
    Dpapi {
        blob: Vec<u8>,
        /// The cost of the passphrase that is needed too; slots of before that was so have none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        argon2id: Option<Argon2Cost>,
    },
}

/// A slot as it is stored, in the vault and in front of a backup.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slot {
    pub(crate) id: SlotId,
    pub(crate) kind: SlotKind,
    label: String,
    created: i64,
    parameters: String,
    salt: Vec<u8>,
    wrapped: Vec<u8>,
    /// Tells a flipped bit from a wrong passphrase. No protection: anyone can compute it.
    checksum: Vec<u8>,
}

impl Slot {
    /// Wraps the vault key for `factor`. An error when that is nothing at all.
    pub(crate) fn new(
        id: SlotId,
        key: &VaultKey,
        factor: &Factor,
        label: &str,
        cost: Argon2Cost,
    ) -> Result<Self, VaultError> {
        if factor.bytes().is_empty() {
            return Err(VaultError::EmptyPassphrase);
        }
        let salt = keys::random::<32>()?;
        let parameters = match factor {
            Factor::Passphrase(_) => Parameters::Argon2id(cost),
            Factor::Recovery(_) | Factor::KeyFile(_) => Parameters::Hkdf,
            Factor::Dpapi(_) => {
                Parameters::Dpapi { blob: dpapi::seal(key.id(), &salt)?, argon2id: Some(cost) }
            }
        };
        let mut slot = Self {
            id,
            kind: factor.kind(),
            label: label.into(),
            created: crate::clock::now(),
            parameters: serde_json::to_string(&parameters)
                .map_err(|error| VaultError::Kdf(error.to_string()))?,
            salt: salt.to_vec(),
            wrapped: Vec::new(),
            checksum: Vec::new(),
        };
        let wrapping = derive(&parameters, factor, key.id(), &slot.salt, dpapi::open)?;
        let wrapping = wrapping.ok_or_else(|| VaultError::Kdf("the factor does not fit its slot".into()))?;
        slot.wrapped = keys::wrap(&wrapping, &slot.bound(key.id()), key.expose())?;
        slot.checksum = slot.sum(key.id()).to_vec();
        Ok(slot)
    }

    /// The slot as it is listed; an error when it is none that this version makes.
    pub(crate) fn info(&self, vault: VaultId) -> Result<SlotInfo, VaultError> {
        let argon2id = match self.parameters(vault)? {
            Parameters::Argon2id(cost) => Some(cost),
            Parameters::Hkdf => None,
            Parameters::Dpapi { argon2id, .. } => argon2id,
        };
        let Self { id, kind, created, .. } = *self;
        Ok(SlotInfo { id, kind, label: self.label.clone(), created, argon2id })
    }

    fn parameters(&self, vault: VaultId) -> Result<Parameters, VaultError> {
        let damaged = |what: &str| VaultError::SlotDamaged { id: self.id, what: what.into() };
        if self.checksum != self.sum(vault) {
            return Err(damaged("its checksum does not fit"));
        }
        let parameters: Parameters =
            serde_json::from_str(&self.parameters).map_err(|_| damaged("its parameters cannot be read"))?;
        let fits = match (self.kind, &parameters) {
            (SlotKind::Passphrase, Parameters::Argon2id(cost)) => cost.is_bounded(),
            (SlotKind::Recovery | SlotKind::KeyFile, Parameters::Hkdf) => true,
            (SlotKind::Dpapi | SlotKind::DpapiPassphrase, Parameters::Dpapi { blob, argon2id }) => {
                blob.len() <= dpapi::LONGEST_BLOB
                    && argon2id.is_some() == self.kind.has_passphrase()
                    && argon2id.is_none_or(Argon2Cost::is_bounded)
            }
            _ => false,
        };
        if !fits || self.salt.len() != 32 {
            return Err(damaged("its parameters are out of bounds"));
        }
        Ok(parameters)
    }

    /// What the wrapped key is bound to.
    fn bound(&self, vault: VaultId) -> Transcript {
        Transcript::new("slot").bytes(&vault.0).text(self.kind.word()).text(&self.parameters)
    }

    /// Everything of the slot, in one encoding.
    fn all(&self, label: &str, vault: VaultId) -> Transcript {
        Transcript::new(label)
            .bytes(&vault.0)
            .number(self.id.0)
            .text(self.kind.word())
            .text(&self.label)
            .signed(self.created)
            .text(&self.parameters)
            .bytes(&self.salt)
            .bytes(&self.wrapped)
    }

    fn sum(&self, vault: VaultId) -> [u8; 32] {
        self.all("slot checksum", vault).sha256()
    }

    pub(crate) fn insert(&self, conn: &Connection) -> Result<(), VaultError> {
        let mut statement =
            conn.prepare_cached("INSERT INTO slot VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
        statement.execute((
            signed(self.id.0)?,
            self.kind.word(),
            &self.label,
            self.created,
            &self.parameters,
            &self.salt,
            &self.wrapped,
            &self.checksum,
        ))?;
        Ok(())
    }

    /// Removes a slot.
    pub(crate) fn delete(conn: &Connection, id: SlotId) -> Result<(), VaultError> {
        conn.execute("DELETE FROM slot WHERE id = ?1", [signed(id.0)?])?;
        Ok(())
    }
}

/// Every slot, in the order of their numbers.
pub(crate) fn all(conn: &Connection) -> Result<Vec<Slot>, VaultError> {
    let mut statement = conn.prepare_cached(
        "SELECT id, kind, label, created, parameters, salt, wrapped, checksum FROM slot ORDER BY id",
    )?;
    let mut rows = statement.query(())?;
    let mut slots = Vec::new();
    while let Some(row) = rows.next()? {
        slots.push(Slot {
            id: SlotId(unsigned(row.get(0)?)?),
            kind: row
                .get_ref(1)?
                .as_str()
                .map_err(|error| VaultError::corrupt(error.to_string()))?
                .parse()?,
            label: row.get(2)?,
            created: row.get(3)?,
            parameters: row.get(4)?,
            salt: row.get(5)?,
            wrapped: row.get(6)?,
            checksum: row.get(7)?,
        });
    }
    Ok(slots)
}

/// The digest of all slots that the manifest holds.
pub(crate) fn root(slots: &[Slot], vault: VaultId) -> [u8; 32] {
    let start = Transcript::new("slots").number(slots.len() as u64);
    slots.iter().fold(start, |so_far, slot| so_far.bytes(slot.all("slot", vault).as_bytes())).sha256()
}

/// What a factor opened.
pub(crate) struct Opened {
    pub(crate) key: VaultKey,
    /// The first slot that it opened.
    pub(crate) slot: SlotId,
    /// Every slot that it opened.
    pub(crate) proven: Vec<SlotId>,
}

/// Tries a factor on every slot of its kind.
///
/// The work does not depend on which slot opens, or whether one does: all are tried. A slot that cannot be read is an
/// error whatever the factor. [`UnlockError::Wrong`] is said of a guess only: where there is a slot of the kind, and
/// Windows gave its part of it.
pub(crate) fn open(slots: &[Slot], vault: VaultId, factor: &Factor) -> Result<Opened, UnlockError> {
    open_by(slots, vault, factor, dpapi::open)
}

/// The same, with the way to Windows' part of a slot.
fn open_by(
    slots: &[Slot],
    vault: VaultId,
    factor: &Factor,
    of_windows: dpapi::Open,
) -> Result<Opened, UnlockError> {
    let readable = slots.iter().map(|slot| Ok((slot, slot.parameters(vault)?)));
    let readable = readable.collect::<Result<Vec<_>, VaultError>>()?;
    if slots.iter().all(|slot| slot.kind != factor.kind()) {
        return Err(none_of(factor.kind(), slots));
    }
    let mut key = None;
    let (mut proven, mut is_guess, mut failure) = (Vec::new(), false, None);
    for (slot, parameters) in readable.into_iter().filter(|(slot, _)| slot.kind == factor.kind()) {
        let wrapping = match derive(&parameters, factor, vault, &slot.salt, of_windows) {
            Ok(Some(wrapping)) => wrapping,
            Ok(None) => continue,
            // Another machine's slot may fail in whatever way, and this one's open.
            Err(error @ (VaultError::Dpapi(_) | VaultError::OnlyOnWindows)) => {
                failure.get_or_insert(error);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        is_guess = true;
        if let Some(found) = keys::unwrap_key(&wrapping, &slot.bound(vault), &slot.wrapped) {
            proven.push(slot.id);
            if key.is_none() {
                key = Some((VaultKey::from_bytes(found.as_slice(), vault)?, slot.id));
            }
        }
    }
    match (key, failure) {
        (Some((key, slot)), _) => Ok(Opened { key, slot, proven }),
        _ if is_guess => Err(UnlockError::Wrong),
        (None, Some(failure)) => Err(failure.into()),
        (None, None) => Err(UnlockError::NotThisUser),
    }
}

/// Why a factor cannot open a vault that has no slot of its kind.
fn none_of(kind: SlotKind, slots: &[Slot]) -> UnlockError {
    let alone = slots.iter().find(|slot| slot.kind == SlotKind::Dpapi);
    if let (SlotKind::DpapiPassphrase, Some(slot)) = (kind, alone) {
        return UnlockError::DpapiAlone(slot.id);
    }
    let mut kinds: Vec<_> = slots.iter().map(|slot| slot.kind).collect();
    kinds.sort();
    kinds.dedup();
    let has: Vec<_> = kinds.iter().map(SlotKind::to_string).collect();
    UnlockError::NoSlot { kind, has: has.join(", ") }
}

/// The key that a slot is wrapped under; `None` when Windows does not give this user its part.
fn derive(
    parameters: &Parameters,
    factor: &Factor,
    vault: VaultId,
    salt: &[u8],
    of_windows: dpapi::Open,
) -> Result<Option<SubKey>, VaultError> {
    let info = Transcript::new("slot key").text(factor.kind().word());
    match parameters {
        Parameters::Argon2id(cost) => cost.derive(factor.bytes(), salt).map(Some),
        // 160 bits and more of randomness need no stretching.
        Parameters::Hkdf => Ok(Some(keys::derive(salt, factor.bytes(), &info))),
        Parameters::Dpapi { argon2id: None, .. } => Ok(None),
        Parameters::Dpapi { blob, argon2id: Some(cost) } => {
            let Some(kept) = of_windows(vault, salt, blob)? else { return Ok(None) };
            let stretched = cost.derive(factor.bytes(), salt)?;
            let mut both = Zeroizing::new(Vec::with_capacity(64));
            both.extend_from_slice(kept.as_slice());
            both.extend_from_slice(stretched.as_slice());
            Ok(Some(keys::derive(salt, &both, &info)))
        }
    }
}

/// Reads slot parameters from any text; for the fuzzer.
#[doc(hidden)]
pub fn parse_parameters(text: &str) -> bool {
    serde_json::from_str::<Parameters>(text).is_ok()
}

#[cfg(test)]
#[path = "slot_tests.rs"]
pub(crate) mod tests;

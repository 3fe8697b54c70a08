//! The manifest: one row under a MAC that says what else belongs to the vault, and the row of the vault's own keys.

use rusqlite::Connection;

use crate::encode::Transcript;
use crate::keys::{self, SubKey, VaultId, VaultKey, purpose};
use crate::row::{array, signed, unsigned};
use crate::{VaultError, seal, tree};

/// The row that is written once, when the vault is made.
pub(crate) struct Own {
    pub(crate) id: VaultId,
    /// Values are sealed to it.
    pub(crate) public_key: [u8; 32],
    /// Wrapped under the vault key.
    private_key: Vec<u8>,
    /// The log's first key, wrapped under the vault key.
    log_origin: Vec<u8>,
}

impl Own {
    /// New key pair and first log key for a vault.
    pub(crate) fn new(key: &VaultKey) -> Result<Self, VaultError> {
        let (private, public_key) = seal::key_pair()?;
        let mut origin = SubKey::default();
        keys::fill(origin.as_mut())?;
        Ok(Self {
            id: key.id(),
            public_key,
            private_key: keys::wrap(
                &key.sub(purpose::PRIVATE_KEY),
                &private_bound(key.id(), &public_key),
                private.as_slice(),
            )?,
            log_origin: keys::wrap(&key.sub(purpose::LOG_KEY), &log_bound(key.id(), 0), origin.as_slice())?,
        })
    }

    pub(crate) fn load(conn: &Connection) -> Result<Self, VaultError> {
        let mut statement =
            conn.prepare_cached("SELECT id, public_key, private_key, log_origin FROM vault")?;
        let row = statement.query_row((), |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?, row.get(2)?, row.get(3)?))
        });
        let (id, public_key, private_key, log_origin) = row?;
        Ok(Self {
            id: VaultId(array(&id, "the vault's id")?),
            public_key: array(&public_key, "the public key")?,
            private_key,
            log_origin,
        })
    }

    pub(crate) fn insert(&self, conn: &Connection) -> Result<(), VaultError> {
        conn.execute(
            "INSERT INTO vault VALUES (1, ?1, ?2, ?3, ?4)",
            (self.id.0, self.public_key, &self.private_key, &self.log_origin),
        )?;
        Ok(())
    }

    /// The private key; an error when it is not the public key's other half.
    pub(crate) fn private_key(&self, key: &VaultKey) -> Result<SubKey, VaultError> {
        let wrapping = key.sub(purpose::PRIVATE_KEY);
        match keys::unwrap_key(&wrapping, &private_bound(self.id, &self.public_key), &self.private_key) {
            Some(private) if seal::public_key(&private) == Some(self.public_key) => Ok(private),
            _ => Err(VaultError::PublicKey),
        }
    }

    /// The log's first key.
    pub(crate) fn log_origin(&self, key: &VaultKey) -> Result<SubKey, VaultError> {
        keys::unwrap_key(&key.sub(purpose::LOG_KEY), &log_bound(self.id, 0), &self.log_origin)
            .ok_or(VaultError::KeyChanged { what: "first log key" })
    }

    /// What a witness keeps of the public key.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        Transcript::new("public key").bytes(&self.id.0).bytes(&self.public_key).sha256()
    }

    fn digest(&self) -> [u8; 32] {
        Transcript::new("vault row")
            .bytes(&self.id.0)
            .bytes(&self.public_key)
            .bytes(&self.private_key)
            .bytes(&self.log_origin)
            .sha256()
    }
}

fn private_bound(id: VaultId, public: &[u8; 32]) -> Transcript {
    Transcript::new("private key").bytes(&id.0).bytes(public)
}

fn log_bound(id: VaultId, sequence: u64) -> Transcript {
    Transcript::new("log key after").bytes(&id.0).number(sequence)
}

/// The row that every owner's change writes anew.
#[derive(Clone)]
pub(crate) struct Manifest {
    /// Goes up by one with each change.
    pub(crate) counter: u64,
    /// The next grant's number.
    pub(crate) next_grant: u64,
    /// The next slot's number.
    pub(crate) next_slot: u64,
    /// Digest of the machine and directory where a witness was kept last; zero when none could be.
    pub(crate) place: [u8; 32],
    /// Digest of all slots.
    pub(crate) slots: [u8; 32],
    /// Digest of all grants.
    pub(crate) grants: [u8; 32],
    /// The last row of the log at that time.
    pub(crate) log_sequence: u64,
    /// Its hash.
    pub(crate) log_hash: [u8; 32],
    /// The key of the row after it, wrapped.
    log_key: Vec<u8>,
    /// Digests of the 256 branches of secrets, in order.
    pub(crate) branches: Vec<u8>,
}

impl Manifest {
    /// The first manifest, of a vault that is empty and has no log.
    pub(crate) fn empty() -> Self {
        Self {
            counter: 0,
            next_grant: 1,
            next_slot: 1,
            place: [0; 32],
            slots: [0; 32],
            grants: [0; 32],
            log_sequence: 0,
            log_hash: [0; 32],
            log_key: Vec::new(),
            branches: vec![0; tree::NODE],
        }
    }

    /// Reads the manifest without its MAC being known to be right.
    pub(crate) fn load_unverified(conn: &Connection) -> Result<(Self, Vec<u8>), VaultError> {
        let mut statement = conn.prepare_cached(
            "SELECT counter, next_grant, next_slot, place, slots, grants, log_sequence, log_hash, log_key, branches, \
             mac FROM manifest",
        )?;
        let mut rows = statement.query(())?;
        let row = rows.next()?.ok_or_else(|| VaultError::corrupt("its manifest is missing"))?;
        let digest = |column: usize, what: &str| array::<32>(&row.get::<_, Vec<u8>>(column)?, what);
        let branches: Vec<u8> = row.get(9)?;
        if branches.len() != tree::NODE {
            return Err(VaultError::corrupt("its manifest has a wrong size"));
        }
        let manifest = Self {
            counter: unsigned(row.get(0)?)?,
            next_grant: unsigned(row.get(1)?)?,
            next_slot: unsigned(row.get(2)?)?,
            place: digest(3, "the place")?,
            slots: digest(4, "the slots' digest")?,
            grants: digest(5, "the grants' digest")?,
            log_sequence: unsigned(row.get(6)?)?,
            log_hash: digest(7, "the log's head")?,
            log_key: row.get(8)?,
            branches,
        };
        Ok((manifest, row.get(10)?))
    }

    /// Reads the manifest and checks its MAC.
    pub(crate) fn load(conn: &Connection, own: &Own, key: &VaultKey) -> Result<Self, VaultError> {
        let (manifest, mac) = Self::load_unverified(conn)?;
        if !manifest.transcript(own).has_mac(&key.sub(purpose::MANIFEST_MAC), &mac) {
            return Err(VaultError::ManifestChanged);
        }
        Ok(manifest)
    }

    /// Writes the manifest with its MAC.
    pub(crate) fn store(&self, conn: &Connection, own: &Own, key: &VaultKey) -> Result<(), VaultError> {
        let mac = self.transcript(own).mac(&key.sub(purpose::MANIFEST_MAC));
        let mut statement = conn.prepare_cached(
            "INSERT OR REPLACE INTO manifest VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        statement.execute((
            signed(self.counter)?,
            signed(self.next_grant)?,
            signed(self.next_slot)?,
            self.place,
            self.slots,
            self.grants,
            signed(self.log_sequence)?,
            self.log_hash,
            &self.log_key,
            mac,
            &self.branches,
        ))?;
        Ok(())
    }

    /// The key of the row after the log's recorded head.
    pub(crate) fn log_key(&self, own: &Own, key: &VaultKey) -> Result<SubKey, VaultError> {
        keys::unwrap_key(&key.sub(purpose::LOG_KEY), &log_bound(own.id, self.log_sequence), &self.log_key)
            .ok_or(VaultError::KeyChanged { what: "log key" })
    }

    /// Records the log's head and the key of the row after it.
    pub(crate) fn set_log(
        &mut self,
        key: &VaultKey,
        sequence: u64,
        hash: [u8; 32],
        next: &SubKey,
    ) -> Result<(), VaultError> {
        self.log_key =
            keys::wrap(&key.sub(purpose::LOG_KEY), &log_bound(key.id(), sequence), next.as_slice())?;
        (self.log_sequence, self.log_hash) = (sequence, hash);
        Ok(())
    }

    fn transcript(&self, own: &Own) -> Transcript {
        Transcript::new("manifest")
            .bytes(&own.digest())
            .number(self.counter)
            .number(self.next_grant)
            .number(self.next_slot)
            .bytes(&self.place)
            .bytes(&self.slots)
            .bytes(&self.grants)
            .number(self.log_sequence)
            .bytes(&self.log_hash)
            .bytes(&self.log_key)
            .bytes(&self.branches)
    }
}

//! Which versions of which secrets there are: a tree of digests, so that one secret is checked without reading all.
//!
//! A secret's name falls into one of 65,536 leaves by its hash. A leaf's digest covers the names, versions and MACs
//! of its rows; 256 leaf digests make a branch, whose digest is in the manifest. Checking one name reads its leaf
//! (one or two rows at 100,000 secrets), its branch and the manifest.

use rusqlite::{Connection, OptionalExtension as _};
use sha2::{Digest as _, Sha256};

use crate::VaultError;
use crate::encode::Transcript;
use crate::manifest::Manifest;

/// Bytes of the 256 digests of a branch, or of the manifest's 256 branches.
pub(crate) const NODE: usize = 256 * 32;
/// The digest of a leaf or branch without rows.
const EMPTY: [u8; 32] = [0; 32];

/// The leaf that a name falls into.
pub(crate) fn leaf(name: &str) -> u16 {
    let digest = Sha256::digest(Transcript::new("leaf").text(name).as_bytes());
    u16::from_be_bytes([digest[0], digest[1]])
}

/// Checks that the rows of a leaf are those that the manifest knows. `name` is for the error.
pub(crate) fn verify(
    conn: &Connection,
    manifest: &Manifest,
    leaf: u16,
    name: &str,
) -> Result<(), VaultError> {
    let branch = checked_branch(conn, manifest, leaf)?;
    if leaf_digest(conn, leaf)? != digest_in(&branch, leaf & 255) {
        return Err(VaultError::EntriesMoved { name: name.into() });
    }
    Ok(())
}

/// Takes the rows of a leaf as they are into the manifest. The leaf was verified before they were changed.
pub(crate) fn update(conn: &Connection, manifest: &mut Manifest, leaf: u16) -> Result<(), VaultError> {
    let mut branch = checked_branch(conn, manifest, leaf)?;
    set_digest(&mut branch, leaf & 255, leaf_digest(conn, leaf)?);
    store_branch(conn, manifest, leaf >> 8, &branch)
}

/// Checks every leaf and that no row is outside.
pub(crate) fn verify_all(conn: &Connection, manifest: &Manifest) -> Result<(), VaultError> {
    let found = Built::from_rows(conn)?;
    for number in 0..=255u16 {
        let stored = checked_branch(conn, manifest, number << 8)?;
        let rows = &found.branches[usize::from(number)];
        if let Some(at) = (0..=255).find(|at| digest_in(&stored, *at) != digest_in(rows, *at)) {
            let leaf = number << 8 | at;
            let mut statement =
                conn.prepare("SELECT name FROM entry WHERE leaf = ?1 ORDER BY name LIMIT 1")?;
            let name = statement.query_row([leaf], |row| row.get(0)).optional()?;
            let name =
                name.unwrap_or_else(|| format!("number {leaf} of the table (all its entries are gone)"));
            return Err(VaultError::EntriesMoved { name });
        }
    }
    Ok(())
}

/// Takes all rows as they are into the manifest.
pub(crate) fn rebuild(conn: &Connection, manifest: &mut Manifest) -> Result<(), VaultError> {
    conn.execute("DELETE FROM branch", ())?;
    manifest.branches = vec![0; NODE];
    let built = Built::from_rows(conn)?;
    for (number, branch) in
        (0..).zip(&built.branches).filter(|(_, branch)| branch.iter().any(|byte| *byte != 0))
    {
        store_branch(conn, manifest, number, branch)?;
    }
    Ok(())
}

/// The digests as they follow from the rows.
struct Built {
    branches: Vec<Vec<u8>>,
}

impl Built {
    fn from_rows(conn: &Connection) -> Result<Self, VaultError> {
        let mut branches = vec![vec![0; NODE]; 256];
        let mut statement =
            conn.prepare_cached("SELECT leaf, name, version, mac FROM entry ORDER BY leaf, name, version")?;
        let mut rows = statement.query(())?;
        let mut current: Option<(u16, Leaf)> = None;
        while let Some(row) = rows.next()? {
            let at: i64 = row.get(0)?;
            let at = u16::try_from(at)
                .map_err(|_| VaultError::TreeChanged { what: "a row has no place".into() })?;
            if current.as_ref().is_none_or(|(leaf, _)| *leaf != at)
                && let Some((leaf, done)) = current.replace((at, Leaf::new(at)))
            {
                set_digest(&mut branches[usize::from(leaf >> 8)], leaf & 255, done.digest());
            }
            if let Some((_, leaf)) = &mut current {
                leaf.add(&row.get::<_, String>(1)?, row.get(2)?, &row.get::<_, Vec<u8>>(3)?);
            }
        }
        if let Some((leaf, done)) = current {
            set_digest(&mut branches[usize::from(leaf >> 8)], leaf & 255, done.digest());
        }
        Ok(Self { branches })
    }
}

/// The digest of a leaf, row by row.
struct Leaf {
    so_far: Transcript,
    rows: u64,
}

impl Leaf {
    fn new(leaf: u16) -> Self {
        Self { so_far: Transcript::new("leaf rows").number(leaf.into()), rows: 0 }
    }

    fn add(&mut self, name: &str, version: i64, mac: &[u8]) {
        let so_far = std::mem::replace(&mut self.so_far, Transcript::new(""));
        self.so_far = so_far.text(name).signed(version).bytes(mac);
        self.rows += 1;
    }

    fn digest(self) -> [u8; 32] {
        if self.rows == 0 { EMPTY } else { self.so_far.number(self.rows).sha256() }
    }
}

fn leaf_digest(conn: &Connection, leaf: u16) -> Result<[u8; 32], VaultError> {
    let mut statement =
        conn.prepare_cached("SELECT name, version, mac FROM entry WHERE leaf = ?1 ORDER BY name, version")?;
    let mut rows = statement.query([leaf])?;
    let mut digest = Leaf::new(leaf);
    while let Some(row) = rows.next()? {
        digest.add(&row.get::<_, String>(0)?, row.get(1)?, &row.get::<_, Vec<u8>>(2)?);
    }
    Ok(digest.digest())
}

/// The branch of a leaf, which is the one that the manifest knows.
fn checked_branch(conn: &Connection, manifest: &Manifest, leaf: u16) -> Result<Vec<u8>, VaultError> {
    let number = leaf >> 8;
    let changed = |what: &str| VaultError::TreeChanged { what: format!("digests of branch {number} {what}") };
    let mut statement = conn.prepare_cached("SELECT leaves FROM branch WHERE id = ?1")?;
    let stored: Option<Vec<u8>> = statement.query_row([number], |row| row.get(0)).optional()?;
    let known = digest_in(&manifest.branches, number);
    match stored {
        None if known == EMPTY => Ok(vec![0; NODE]),
        None => Err(changed("are missing")),
        Some(branch) if branch.len() == NODE && branch_digest(number, &branch) == known => Ok(branch),
        Some(_) => Err(changed("are not those of the manifest")),
    }
}

fn store_branch(
    conn: &Connection,
    manifest: &mut Manifest,
    number: u16,
    branch: &[u8],
) -> Result<(), VaultError> {
    conn.prepare_cached("INSERT OR REPLACE INTO branch VALUES (?1, ?2)")?.execute((number, branch))?;
    set_digest(&mut manifest.branches, number, branch_digest(number, branch));
    Ok(())
}

fn branch_digest(number: u16, branch: &[u8]) -> [u8; 32] {
    Transcript::new("branch").number(number.into()).bytes(branch).sha256()
}

fn digest_in(node: &[u8], at: u16) -> [u8; 32] {
    let start = usize::from(at) * 32;
    node.get(start..start + 32).and_then(|bytes| bytes.try_into().ok()).unwrap_or(EMPTY)
}

fn set_digest(node: &mut [u8], at: u16, digest: [u8; 32]) {
    let start = usize::from(at) * 32;
    if let Some(place) = node.get_mut(start..start + 32) {
        place.copy_from_slice(&digest);
    }
}

//! What every command works with: the common options, the vault's place, the way to the owner.

use std::path::{Path, PathBuf};

use envseal_engine::approve::Owner;
use envseal_engine::open;
use envseal_vault::{Unlocked, Vault};

use crate::args::Common;
use crate::failure::Failure;
use crate::owner::Person;

/// One call of the program.
pub struct Context {
    /// Options of every command.
    pub common: Common,
}

impl Context {
    /// The directory of the vault: `$ENVSEAL_HOME`, else `envseal` in the user's data directory.
    pub fn dir(&self) -> Result<PathBuf, Failure> {
        // A home that moves with the working directory would leave behind what this machine knows of the vault.
        if cfg!(not(windows))
            && let Some(home) =
                std::env::var_os("HOME").filter(|home| !home.is_empty() && !Path::new(home).is_absolute())
        {
            let shown = envseal_engine::show::visible(&home);
            return Err(Failure::other(format!("HOME is {shown}, which is not an absolute path")));
        }
        let set = std::env::var_os("ENVSEAL_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
        let dir = set.map_or_else(default_directory, Ok)?;
        std::path::absolute(&dir).map_err(|error| Failure::other(format!("{}: {error}", dir.display())))
    }

    /// Opens the vault, locked.
    pub fn vault(&self) -> Result<Vault, Failure> {
        Ok(Vault::open(&self.dir()?)?)
    }

    /// The way to the owner.
    pub fn owner(&self) -> Result<Person<'_>, Failure> {
        Ok(Person::new(&self.common)?)
    }

    /// Opens the vault and unlocks it, asking where nothing was given, and lets `work` have it.
    pub fn unlocked<T>(
        &self,
        work: impl FnOnce(&mut Unlocked<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut vault = self.vault()?;
        self.unlock(&mut vault, &mut self.owner()?, work)
    }

    /// The same for a vault that is open already.
    pub fn unlock<T>(
        &self,
        vault: &mut Vault,
        owner: &mut dyn Owner,
        work: impl FnOnce(&mut Unlocked<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        work(&mut open(vault, owner)?)
    }

    /// Says what was done.
    pub fn done(&self, text: impl AsRef<str>) {
        crate::output::done(&self.common, text.as_ref());
    }
}

/// `envseal` in the user's data directory (XDG Base Directory Specification).
#[cfg(not(windows))]
fn default_directory() -> Result<PathBuf, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_DATA_HOME")
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join("envseal"))
        .or_else(|| {
            let home = std::env::home_dir().filter(|dir| dir.is_absolute());
            home.map(|dir| dir.join(".local/share/envseal"))
        })
        .ok_or_else(|| {
            Failure::other("there is no home directory to keep the vault in").advise("set ENVSEAL_HOME")
        })
}

/// `envseal` in the user's local application data, by the system's word.
#[cfg(windows)]
fn default_directory() -> Result<PathBuf, Failure> {
    envseal_vault::default_directory().map_err(|error| {
        Failure::other(format!("the user's data directory: {error}")).advise("set ENVSEAL_HOME")
    })
}

//! `envseal init`: the vault is made.

use envseal_vault::{KdfTarget, KeyFile, NewVault, Vault};
use serde::Serialize;

use crate::args::Init;
use crate::context::Context;
use crate::failure::Failure;
use crate::{output, passphrase};

#[derive(Serialize)]
struct Made {
    directory: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_code: Option<String>,
}

/// Makes the vault and shows the recovery code, the only time that it exists in readable form.
pub fn init(context: &Context, args: &Init) -> Result<(), Failure> {
    let dir = context.dir()?;
    if Vault::exists(&dir) {
        return Err(Failure::other(format!(
            "there is a vault in {} already; nothing was changed",
            dir.display()
        )));
    }
    if context.common.dpapi {
        let made_later = "a vault is made with a passphrase or a key file; then: envseal slot add dpapi";
        return Err(Failure::usage("--dpapi opens a vault that has such a key slot").advise(made_later));
    }
    let (passphrase, keyfile) = match &args.with_keyfile {
        Some(path) => {
            let made = KeyFile::read_or_create(path);
            (None, Some(made.map_err(|error| Failure::other(error.to_string()))?))
        }
        None => (Some(passphrase::choose(context.common.passphrase_fd)?), None),
    };
    let kdf = if args.kdf_floor { KdfTarget::Floor } else { KdfTarget::Calibrated };
    let created = Vault::create(&dir, NewVault { passphrase, recovery: !args.no_recovery, keyfile, kdf })?;
    #[cfg(windows)]
    if !created.vault.is_labelled()? {
        let text = "this system keeps no integrity label on the vault's directory: a program of low integrity that \
                    its access list lets in can read it";
        output::notice(&context.common, text);
    }
    let code = created.recovery.as_ref().map(|code| code.expose().to_string());
    if context.common.json {
        return output::print_json(&Made { directory: dir.display().to_string(), recovery_code: code });
    }
    context.done(format!("made a vault in {}", dir.display()));
    if let Some(code) = code {
        context.done("Recovery code, shown this once. Write it down and keep it off this machine:");
        output::print(&format!("{}\n", output::styled(output::BOLD, code)))?;
    }
    context.done("Next: envseal store NAME");
    Ok(())
}

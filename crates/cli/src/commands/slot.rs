//! `envseal slot`: what opens the vault.

use envseal_vault::{KeyFile, NewSlot, SlotId};

use crate::args::{Slot, SlotAction, SlotAdd};
use crate::context::Context;
use crate::failure::Failure;
use crate::{output, passphrase};

/// Lists, adds or removes key slots.
pub fn slot(context: &Context, args: &Slot) -> Result<(), Failure> {
    match &args.action {
        None | Some(SlotAction::List) => list(context),
        Some(SlotAction::Add(new)) => add(context, new),
        Some(SlotAction::Remove { id }) => context.unlocked(|unlocked| {
            unlocked.remove_slot(SlotId(*id))?;
            context.done(format!("removed slot {id}"));
            Ok(())
        }),
    }
}

fn list(context: &Context) -> Result<(), Failure> {
    let slots = context.vault()?.slots()?;
    if context.common.json {
        return output::print_json(&slots);
    }
    let row = |slot: &envseal_vault::SlotInfo| {
        vec![
            slot.id.to_string(),
            slot.kind.to_string(),
            slot.label.clone(),
            output::time(slot.created),
            slot.cost(),
        ]
    };
    let rows: Vec<_> = slots.iter().map(row).collect();
    output::print(&output::table(&["SLOT", "KIND", "LABEL", "MADE", "COST"], &rows))
}

fn add(context: &Context, new: &SlotAdd) -> Result<(), Failure> {
    let mut vault = context.vault()?;
    let mut owner = context.owner()?;
    context.unlock(&mut vault, &mut owner, |unlocked| {
        let (new, label) = match new {
            SlotAdd::Passphrase { label, new_passphrase_fd } => {
                (NewSlot::Passphrase(passphrase::choose(*new_passphrase_fd)?), label.as_str())
            }
            SlotAdd::Recovery => (NewSlot::Recovery, "recovery"),
            SlotAdd::Keyfile { file, label } => {
                let made =
                    KeyFile::read_or_create(file).map_err(|error| Failure::other(error.to_string()))?;
                (NewSlot::KeyFile(made), label.as_str())
            }
            // Never without one: every program of the user can ask for what data protection alone keeps.
            SlotAdd::Dpapi { new_passphrase_fd, label } => {
                (NewSlot::Dpapi(Some(passphrase::choose(*new_passphrase_fd)?)), label.as_str())
            }
        };
        let (id, code) = unlocked.add_slot(new, label)?;
        context.done(format!("added slot {id}"));
        if let Some(code) = code {
            context.done("Recovery code, shown this once. Write it down and keep it off this machine:");
            output::print(&format!("{}\n", output::styled(output::BOLD, code.expose())))?;
        }
        Ok(())
    })
}

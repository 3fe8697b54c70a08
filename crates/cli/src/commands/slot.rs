//! `envseal slot`: what opens the vault.

use envseal_vault::{KeyFile, NewSlot, SlotId, SlotInfo, SlotKind};

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
    let row = |slot: &SlotInfo| {
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
            SlotAdd::Dpapi { new_passphrase_fd, label } => {
                (NewSlot::Dpapi(passphrase::choose(*new_passphrase_fd)?), label.as_str())
            }
        };
        let is_of_machine = matches!(new, NewSlot::Dpapi(_));
        let (id, code) = unlocked.add_slot(new, label)?;
        context.done(format!("added slot {id}"));
        if let Some(alone) =
            is_of_machine.then(|| unlocked.slots()).transpose()?.and_then(|slots| alone(&slots))
        {
            output::notice(&context.common, &alone);
        }
        if let Some(code) = code {
            context.done("Recovery code, shown this once. Write it down and keep it off this machine:");
            output::print(&format!("{}\n", output::styled(output::BOLD, code.expose())))?;
        }
        Ok(())
    })
}

/// What a slot that needs this machine too does not change: a plain passphrase opens the vault as before.
fn alone(slots: &[SlotInfo]) -> Option<String> {
    let of = |kind| slots.iter().filter(move |slot| slot.kind == kind).map(|slot| slot.id);
    let plain: Vec<_> = of(SlotKind::Passphrase).collect();
    let first = plain.first()?;
    let numbers: Vec<_> = plain.iter().map(SlotId::to_string).collect();
    let last = of(SlotKind::Recovery).next().is_none();
    let before = if last { "envseal slot add recovery, then " } else { "" };
    Some(format!(
        "a passphrase alone still opens the vault, on any machine (slot {}); to end that: {before}envseal --dpapi slot \
         remove {first}",
        numbers.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(kinds: &[SlotKind]) -> Vec<SlotInfo> {
        let slot = |(kind, id): (&SlotKind, u64)| SlotInfo {
            id: SlotId(id),
            kind: *kind,
            label: String::new(),
            created: 0,
            argon2id: None,
        };
        kinds.iter().zip(1..).map(slot).collect()
    }

    #[test]
    fn a_passphrase_that_opens_alone_is_named_and_how_to_be_rid_of_it() {
        use SlotKind::*;
        assert_eq!(alone(&slots(&[Recovery, KeyFile, DpapiPassphrase])), None);
        let said = alone(&slots(&[Passphrase, DpapiPassphrase, Passphrase])).unwrap();
        assert!(said.contains("(slot 1, 3)"), "{said}");
        assert!(said.ends_with("envseal slot add recovery, then envseal --dpapi slot remove 1"), "{said}");
        let said = alone(&slots(&[Recovery, Passphrase, DpapiPassphrase])).unwrap();
        assert!(said.ends_with("to end that: envseal --dpapi slot remove 2"), "{said}");
    }
}

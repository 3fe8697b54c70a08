//! `envseal inbox`: what waits for the owner.

use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Lists what was stored while the vault was locked.
pub fn inbox(context: &Context) -> Result<(), Failure> {
    let items = context.vault()?.inbox()?;
    if context.common.json {
        return output::print_json(&items);
    }
    if items.is_empty() {
        context.done("the inbox is empty");
        return Ok(());
    }
    let row = |item: &envseal_vault::InboxItem| {
        let replaces =
            item.replaces.map_or_else(|| "new".to_owned(), |version| format!("replaces version {version}"));
        vec![item.name.to_string(), output::time(item.created), replaces]
    };
    let rows: Vec<_> = items.iter().map(row).collect();
    output::print(&output::table(&["NAME", "STORED", ""], &rows))
}

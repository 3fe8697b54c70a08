//! `envseal allow`: the owner lets a program have secrets.

use envseal_engine::Place;
use envseal_engine::allow::{Permission, WhichArgs};
use envseal_engine::show::visible;
use envseal_vault::CallerRule;

use crate::args::Allow;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// What the rule is worth: who asks is told by what every program can bring about for itself.
pub const TERMINAL: &str =
    "a program can open a terminal of its own: this keeps out scripts, not one that means to get in";

/// Gives a grant.
pub fn allow(context: &Context, args: Allow) -> Result<(), Failure> {
    let mut vault = context.vault()?;
    let place = Place::here().map_err(|error| Failure::other(format!("the working directory: {error}")))?;
    let mut command = args.program.command.into_iter();
    let program = command.next().ok_or_else(|| Failure::usage("which program?"))?;
    let permission = Permission {
        secrets: args.secrets.into_iter().map(|secret| (secret.name, secret.variable)).collect(),
        program,
        args: command.collect(),
        which: match args.args_prefix {
            Some(count) => WhichArgs::Prefix(count),
            None if args.any_args => WhichArgs::Any,
            None => WhichArgs::Exact,
        },
        cwd: args.cwd,
        caller: args.caller,
        tier: args.tier,
        confinement: args.confinement.into(),
        deliver: args.deliver,
        pins: args.pin,
        pass: args.pass,
        raw: args.raw,
        lives: (!args.forever).then_some(args.expires),
        uses: args.uses,
    };
    let now = envseal_engine::now(&vault)?;
    let allowed = envseal_engine::allow::allow(permission, &place, now)?;
    let grant = allowed.grant;
    for lead in &allowed.leads {
        let lead = visible(lead.as_os_str());
        output::notice(&context.common, &format!("{lead} is pinned too: it leads the program to other code"));
    }
    if grant.caller == CallerRule::Terminal {
        output::notice(&context.common, TERMINAL);
    }
    if allowed.arbitrary {
        let warning = "this is arbitrary code: what it does stands in its arguments or its input, not in a file that is checked";
        output::notice(&context.common, warning);
    }
    let id = context.unlock(&mut vault, &mut context.owner()?, |unlocked| Ok(unlocked.add_grant(&grant)?))?;
    if context.common.json {
        return output::print_json(&super::grants::Shown { id, grant: &grant });
    }
    context.done(format!("grant {id}: {}", super::grants::summary(&grant, now)));
    Ok(())
}

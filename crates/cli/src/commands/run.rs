//! `envseal run`: a program runs with secrets.

use envseal_engine::request::Wanted;
use envseal_engine::{Asked, Place};

use crate::args::Run;
use crate::context::Context;
use crate::failure::Failure;

/// Runs a program to its end and has its status.
pub fn run(context: &Context, args: Run) -> Result<i32, Failure> {
    let mut vault = context.vault()?;
    let mut owner = context.owner()?;
    let place = Place::here().map_err(|error| Failure::other(format!("the working directory: {error}")))?;
    let mut command = args.program.command.into_iter();
    let program = command.next().ok_or_else(|| Failure::usage("which program?"))?;
    let wanted = args.secrets.into_iter().map(|secret| {
        let variable = secret.variable.unwrap_or_else(|| secret.name.variable());
        Wanted { name: secret.name, variable }
    });
    let asked = Asked {
        secrets: wanted.collect(),
        program,
        args: command.collect(),
        tier: args.tier,
        confinement: args.confinement.into(),
        deliver: args.deliver,
        pass: args.pass,
        raw: args.raw,
    };
    Ok(envseal_engine::run(&mut vault, asked, &place, &mut owner)?)
}

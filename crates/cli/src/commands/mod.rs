//! One file a command. A command reads its arguments, calls the engine or the vault, and prints.

mod accept;
mod allow;
mod audit;
mod backup;
mod completions;
mod demo;
mod deny;
mod grants;
mod inbox;
mod init;
mod install;
mod list;
mod man;
mod panic;
mod passwd;
mod reject;
mod rename;
mod restore;
mod rm;
mod rotate;
mod run;
mod show;
mod slot;
mod status;
mod store;
mod uninstall;

use crate::args::Command;
use crate::context::Context;
use crate::failure::Failure;

/// Runs a command; the status is 0 but for `run`, which has its program's, and for checks that found something.
pub fn run(context: &Context, command: Command) -> Result<i32, Failure> {
    match command {
        Command::Init(args) => init::init(context, &args),
        Command::Store(args) => store::store(context, &args),
        Command::List(args) => list::list(context, &args),
        Command::Show(args) => show::show(context, &args),
        Command::Rm(args) => rm::rm(context, &args),
        Command::Rename(args) => rename::rename(context, &args),
        Command::Rotate(args) => rotate::rotate(context, &args),
        Command::Inbox => inbox::inbox(context),
        Command::Accept(args) => accept::accept(context, &args),
        Command::Reject(args) => reject::reject(context, &args),
        Command::Allow(args) => allow::allow(context, args),
        Command::Deny(args) => deny::deny(context, args),
        Command::Grants(args) => grants::grants(context, &args),
        Command::Run(args) => return run::run(context, args),
        Command::Passwd(args) => passwd::passwd(context, &args),
        Command::Slot(args) => slot::slot(context, &args),
        Command::Backup(args) => backup::backup(context, &args),
        Command::Restore(args) => restore::restore(context, &args),
        Command::Audit(args) => return audit::audit(context, &args),
        Command::Status => status::status(context),
        Command::Panic => panic::panic(context),
        Command::Install => install::install(context),
        Command::Uninstall => uninstall::uninstall(context),
        Command::Demo => demo::demo(),
        Command::Completions { shell } => completions::completions(shell),
        Command::Man { directory } => man::man(&directory),
    }
    .map(|()| 0)
}

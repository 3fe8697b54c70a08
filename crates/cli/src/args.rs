//! The command line, as data. What the commands do stands in `commands/`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};
use envseal_vault::{
    CallerRule, Delivery, EngineName, GrantId, GuaranteeName, NamePattern, SecretName, TierName, Variable,
};

/// A write-only secret vault: secrets go in, and come out only inside programs that you allowed.
#[derive(Parser, Debug)]
#[command(name = "envseal", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(
    after_help = "Exit status: the program's own; 77 refused, 75 locked and nobody to ask, 78 the vault is \
damaged, 125 envseal could not do it, 126 and 127 the program cannot be executed or found, 2 usage.\n\n\
Try it in a throwaway vault: envseal demo"
)]
pub struct Cli {
    /// What every command understands.
    #[command(flatten)]
    pub common: Common,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args, Debug)]
pub struct Common {
    /// Read the passphrase from this open descriptor, up to the end of its first line
    #[arg(long, global = true, value_name = "N")]
    pub passphrase_fd: Option<u32>,
    /// Unlock with this key file instead of a passphrase
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "passphrase_fd", value_hint = ValueHint::FilePath)]
    pub keyfile: Option<PathBuf>,
    /// Unlock by the data protection of this Windows user (DPAPI) and the passphrase of that slot
    #[arg(long, global = true, conflicts_with_all = ["keyfile", "recovery"])]
    pub dpapi: bool,
    /// Unlock with the recovery code instead of a passphrase (asked for at the terminal)
    #[arg(long, global = true, conflicts_with = "keyfile")]
    pub recovery: bool,
    /// Print JSON where the command prints anything
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but errors and refusals
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more: which grant decided, and what the sandbox enforced as read back from the kernel
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Create the vault and show the recovery code, once
    #[command(after_help = "Example: envseal init")]
    Init(Init),
    /// Put a secret in: from a prompt, a file or standard input, never from an argument
    #[command(
        after_help = "Examples:\n  envseal store GITHUB_TOKEN\n  envseal store tls/key --file key.pem\n  \
pass show db | envseal store DB_PASSWORD"
    )]
    Store(Store),
    /// List the secrets: names and metadata, never values
    #[command(visible_alias = "ls", after_help = "Example: envseal list aws")]
    List(List),
    /// Show one secret's metadata, versions and grants, never its value
    #[command(after_help = "Example: envseal show GITHUB_TOKEN")]
    Show(Name),
    /// Remove a secret with all its versions
    #[command(after_help = "Example: envseal rm OLD_TOKEN")]
    Rm(Names),
    /// Give a secret another name
    #[command(after_help = "Example: envseal rename TOKEN github/token")]
    Rename(Rename),
    /// Give a secret a new value and say who used the old one
    #[command(after_help = "Examples:\n  envseal rotate GITHUB_TOKEN\n  envseal rotate GITHUB_TOKEN --purge")]
    Rotate(Rotate),
    /// Show what was stored while the vault was locked and waits for you
    #[command(after_help = "Example: envseal inbox")]
    Inbox,
    /// Make waiting secrets usable
    #[command(after_help = "Example: envseal accept GITHUB_TOKEN")]
    Accept(Names),
    /// Throw waiting secrets away
    #[command(after_help = "Example: envseal reject GITHUB_TOKEN")]
    Reject(Names),
    /// Let a program have secrets
    #[command(after_help = "Example: envseal allow -s GITHUB_TOKEN --expires 30d -- gh api user")]
    Allow(Allow),
    /// Forbid a program to have secrets; wins over every grant
    #[command(after_help = "Example: envseal deny -s 'prod/*' -- python3")]
    Deny(Deny),
    /// List, show or withdraw grants
    #[command(after_help = "Examples:\n  envseal grants\n  envseal grants show 3\n  envseal grants revoke 3")]
    Grants(Grants),
    /// Run a program with secrets
    #[command(
        visible_alias = "inject",
        after_help = "Examples:\n  envseal run -s GITHUB_TOKEN -- gh api user\n  \
envseal run -s db/password=PGPASSWORD -- psql -h db.example.org app\n  \
envseal run -s KEY --deliver stdin --tier lockdown -- sha256sum\n\n\
What a run asks of its sandbox, its grant must say too; what it does not ask, it gets as the grant says."
    )]
    Run(Run),
    /// Change the passphrase
    #[command(after_help = "Example: envseal passwd")]
    Passwd(Passwd),
    /// Add, list and remove what opens the vault
    #[command(after_help = "Examples:\n  envseal slot list\n  envseal slot add recovery")]
    Slot(Slot),
    /// Write one encrypted file that `restore` can read
    #[command(after_help = "Example: envseal backup ~/envseal-2026-11.backup")]
    Backup(File),
    /// Bring a backup back; grants in it are withdrawn unless you keep them
    #[command(after_help = "Example: envseal restore ~/envseal-2026-11.backup")]
    Restore(Restore),
    /// Read and check the log
    #[command(after_help = "Examples:\n  envseal audit\n  envseal audit verify")]
    Audit(Audit),
    /// Show the vault, the running programs, and what each tier gives on this machine
    #[command(after_help = "Examples:\n  envseal status\n  envseal --json status")]
    Status,
    /// Stop everything at once: end every run, withdraw every grant
    #[command(after_help = "Example: envseal panic")]
    Panic,
    /// Once, with sudo: make every program that envseal starts unreadable to your other processes
    #[command(after_help = "Example: sudo envseal install")]
    Install,
    /// Undo `envseal install`
    #[command(after_help = "Example: sudo envseal uninstall")]
    Uninstall,
    /// Show the whole way in a throwaway vault, without a question
    #[command(after_help = "Example: envseal demo")]
    Demo,
    /// Print a completion script for a shell
    #[command(
        after_help = "Example: envseal completions bash > ~/.local/share/bash-completion/completions/envseal"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory
    #[command(after_help = "Example: envseal man ~/.local/share/man/man1")]
    Man {
        /// Where to
        #[arg(value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
}

/// `envseal init`.
#[derive(Args, Debug)]
pub struct Init {
    /// Make no recovery code
    #[arg(long)]
    pub no_recovery: bool,
    /// Open the vault with this key file and no passphrase (made when it does not exist): for machines
    /// without a person
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub with_keyfile: Option<PathBuf>,
    /// Take the least key-derivation cost (Argon2id, 64 MiB, 3 passes) instead of measuring for 250-500 ms
    #[arg(long)]
    pub kdf_floor: bool,
}

/// `envseal store`.
#[derive(Args, Debug)]
pub struct Store {
    /// The secret's name: 1 to 128 of A-Z a-z 0-9 _ - . /
    pub name: SecretName,
    /// Where the value comes from.
    #[command(flatten)]
    pub value: ValueSource,
    /// Leave it in the inbox and ask for no passphrase
    #[arg(long)]
    pub inbox: bool,
    /// A host that the value belongs to (for placeholders; can be given again)
    #[arg(long, value_name = "HOST")]
    pub host: Vec<String>,
}

/// Where a value comes from.
#[derive(Args, Debug)]
pub struct ValueSource {
    /// Read the value from this file, every byte of it
    #[arg(long, value_name = "F", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Keep a line ending at the end of standard input, which is otherwise taken off
    #[arg(long, conflicts_with = "file")]
    pub keep_newline: bool,
}

/// `envseal list`.
#[derive(Args, Debug)]
pub struct List {
    /// Only names under this prefix
    pub prefix: Option<String>,
}

/// A command about one secret.
#[derive(Args, Debug)]
pub struct Name {
    /// The secret
    pub name: SecretName,
}

/// A command about several secrets.
#[derive(Args, Debug)]
pub struct Names {
    /// The secrets
    #[arg(required = true)]
    pub names: Vec<SecretName>,
}

/// `envseal rename`.
#[derive(Args, Debug)]
pub struct Rename {
    /// The present name
    pub old: SecretName,
    /// The new name
    pub new: SecretName,
}

/// `envseal rotate`.
#[derive(Args, Debug)]
pub struct Rotate {
    /// The secret
    pub name: SecretName,
    /// Where the value comes from.
    #[command(flatten)]
    pub value: ValueSource,
    /// Erase the old values and ask for no new one
    #[arg(long, conflicts_with = "file")]
    pub purge: bool,
}

/// Which secrets, which program: what `allow`, `deny` and `run` have in common.
#[derive(Args, Debug)]
pub struct ProgramArgs {
    /// The program and its arguments, after `--`
    #[arg(last = true, required = true, value_name = "PROGRAM [ARGS]", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

/// `-s NAME[=VAR]`.
#[derive(Clone, Debug)]
pub struct NamedSecret<N> {
    /// The name, or a pattern of names.
    pub name: N,
    /// The variable, when one was given.
    pub variable: Option<Variable>,
}

impl<N: std::str::FromStr<Err: std::fmt::Display>> std::str::FromStr for NamedSecret<N> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, variable) = match text.split_once('=') {
            Some((name, variable)) => (name, Some(variable)),
            None => (text, None),
        };
        Ok(Self {
            name: name.parse().map_err(|error: N::Err| error.to_string())?,
            variable: variable.map(str::parse).transpose().map_err(|error| format!("{error}"))?,
        })
    }
}

/// `envseal allow`.
#[derive(Args, Debug)]
pub struct Allow {
    /// A secret, or `prefix/*`; with `=VAR` the variable that carries it (can be given again)
    #[arg(short, long = "secret", required = true, value_name = "NAME[=VAR]")]
    pub secrets: Vec<NamedSecret<NamePattern>>,
    /// Allow any arguments
    #[arg(long, conflicts_with = "args_prefix")]
    pub any_args: bool,
    /// Allow any arguments after the first N
    #[arg(long, value_name = "N")]
    pub args_prefix: Option<usize>,
    /// Only in this working directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cwd: Option<PathBuf>,
    /// Only for this kind of caller: any, terminal (weak: a program can open one of its own), shielded
    #[arg(long, default_value = "any")]
    pub caller: CallerRule,
    /// The least sandbox tier: none, hardened, lockdown
    #[arg(long, default_value = "none")]
    pub tier: TierName,
    /// What the sandbox may leave out or let through.
    #[command(flatten)]
    pub confinement: Confinement,
    /// How the secrets reach the program: env, stdin, fd, file
    #[arg(long, default_value = "env")]
    pub deliver: Delivery,
    /// A further file, or a pattern of files, whose bytes must not change (can be given again)
    #[arg(long, value_name = "GLOB")]
    pub pin: Vec<String>,
    /// Let this variable of the caller's environment pass (can be given again)
    #[arg(long, value_name = "VAR")]
    pub pass: Vec<Variable>,
    /// Let the output go unmasked
    #[arg(long)]
    pub raw: bool,
    /// How long it holds: 30m, 8h, 7d
    #[arg(long, default_value = "8h", value_parser = crate::duration::parse)]
    pub expires: u64,
    /// It holds without an end
    #[arg(long, conflicts_with = "expires")]
    pub forever: bool,
    /// How many runs it allows
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub uses: Option<u32>,
    /// The program.
    #[command(flatten)]
    pub program: ProgramArgs,
}

/// What the sandbox may leave out or let through, beside the tier.
#[derive(Args, Debug)]
pub struct Confinement {
    /// By which means Linux holds the tier: private, namespaces
    #[arg(long)]
    pub engine: Option<EngineName>,
    /// In lockdown: a file or tree that can be read (can be given again)
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub read: Vec<PathBuf>,
    /// In lockdown: a file or tree that can be read and changed (can be given again)
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub write: Vec<PathBuf>,
    /// From hardened on: a socket that can be connected to, whoever listens there (can be given again)
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub socket: Vec<PathBuf>,
    /// Guarantees that need not hold: N1 to N6, H1 to H3, L1 to L6, with commas between (can be given again)
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub allow_weaker: Vec<GuaranteeName>,
}

impl From<Confinement> for envseal_engine::confinement::AskedConfinement {
    fn from(args: Confinement) -> Self {
        Self {
            engine: args.engine,
            weaker: args.allow_weaker.into_iter().collect(),
            reads: args.read,
            writes: args.write,
            sockets: args.socket,
        }
    }
}

/// `envseal deny`.
#[derive(Args, Debug)]
pub struct Deny {
    /// A secret, or `prefix/*` (can be given again)
    #[arg(short, long = "secret", required = true, value_name = "NAME")]
    pub secrets: Vec<NamePattern>,
    /// The program; without arguments it is denied with any
    #[command(flatten)]
    pub program: ProgramArgs,
}

/// `envseal run`.
#[derive(Args, Debug)]
pub struct Run {
    /// A secret; with `=VAR` the variable that carries it (can be given again)
    #[arg(short, long = "secret", required = true, value_name = "NAME[=VAR]")]
    pub secrets: Vec<NamedSecret<SecretName>>,
    /// The sandbox tier: none, hardened, lockdown; default: the grant's
    #[arg(long)]
    pub tier: Option<TierName>,
    /// What the sandbox may leave out or let through.
    #[command(flatten)]
    pub confinement: Confinement,
    /// How the secrets reach the program: env, stdin, fd, file
    #[arg(long, default_value = "env")]
    pub deliver: Delivery,
    /// Let this variable of your environment pass (can be given again)
    #[arg(long, value_name = "VAR")]
    pub pass: Vec<Variable>,
    /// Do not mask the output; the grant must say so too
    #[arg(long)]
    pub raw: bool,
    /// The program.
    #[command(flatten)]
    pub program: ProgramArgs,
}

/// `envseal grants`.
#[derive(Args, Debug)]
pub struct Grants {
    /// What to do; `list` when nothing is said
    #[command(subcommand)]
    pub action: Option<GrantsAction>,
}

/// What `grants` does.
#[derive(Subcommand, Debug)]
pub enum GrantsAction {
    /// List all grants
    List,
    /// Show one grant whole
    Show {
        /// Its number
        id: GrantId,
    },
    /// Withdraw a grant
    Revoke {
        /// Its number (can be given again)
        #[arg(required = true)]
        ids: Vec<GrantId>,
    },
}

/// `envseal passwd`.
#[derive(Args, Debug)]
pub struct Passwd {
    /// Read the new passphrase from this open descriptor
    #[arg(long, value_name = "N")]
    pub new_passphrase_fd: Option<u32>,
}

/// `envseal slot`.
#[derive(Args, Debug)]
pub struct Slot {
    /// What to do; `list` when nothing is said
    #[command(subcommand)]
    pub action: Option<SlotAction>,
}

/// What `slot` does.
#[derive(Subcommand, Debug)]
pub enum SlotAction {
    /// List what opens the vault
    List,
    /// Add a way to open it
    #[command(subcommand)]
    Add(SlotAdd),
    /// Remove a way to open it
    Remove {
        /// Its number
        id: u64,
    },
}

/// Which kind of slot is added.
#[derive(Subcommand, Debug)]
pub enum SlotAdd {
    /// Another passphrase
    Passphrase {
        /// What to call it
        #[arg(long, default_value = "passphrase")]
        label: String,
        /// Read it from this open descriptor
        #[arg(long, value_name = "N")]
        new_passphrase_fd: Option<u32>,
    },
    /// A new recovery code, shown once
    Recovery,
    /// A key file (made when it does not exist): it can use grants, not give them
    Keyfile {
        /// The file
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// What to call it
        #[arg(long, default_value = "keyfile")]
        label: String,
    },
    /// The data protection of this Windows user (DPAPI) and a passphrase of the slot's own, which open the vault together
    Dpapi {
        /// Read the passphrase from this open descriptor
        #[arg(long, value_name = "N")]
        new_passphrase_fd: Option<u32>,
        /// What to call it
        #[arg(long, default_value = "Windows user")]
        label: String,
    },
}

/// A command about one file.
#[derive(Args, Debug)]
pub struct File {
    /// The file
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

/// `envseal restore`.
#[derive(Args, Debug)]
pub struct Restore {
    /// The backup
    #[arg(value_hint = ValueHint::FilePath, required_unless_present = "accept_state")]
    pub file: Option<PathBuf>,
    /// Replace the vault that is there (it is kept beside the new one)
    #[arg(long)]
    pub replace: bool,
    /// Keep the grants in the backup, those withdrawn since then too
    #[arg(long)]
    pub keep_grants: bool,
    /// Accept the vault file as it stands, though this machine has seen a newer one; withdraws every grant
    #[arg(long, conflicts_with_all = ["file", "replace", "keep_grants"])]
    pub accept_state: bool,
}

/// `envseal audit`.
#[derive(Args, Debug)]
pub struct Audit {
    /// What to do; `show` when nothing is said
    #[command(subcommand)]
    pub action: Option<AuditAction>,
}

/// What `audit` does.
#[derive(Subcommand, Debug)]
pub enum AuditAction {
    /// Show the last rows
    Show {
        /// How many
        #[arg(short = 'n', long, default_value_t = 50)]
        last: usize,
    },
    /// Check every row against its key, and everything else in the vault
    Verify,
    /// Write every row as JSON Lines
    Export,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Example"), "{}", command.get_name());
        }
    }

    #[test]
    fn no_option_takes_a_value_to_store() {
        for arg in ["--value", "--secret-value", "--password", "--get", "--reveal", "--print"] {
            assert!(Cli::try_parse_from(["envseal", "store", "X", arg, "v"]).is_err());
            assert!(Cli::try_parse_from(["envseal", "show", "X", arg]).is_err());
        }
        assert!(Cli::try_parse_from(["envseal", "store", "X", "v"]).is_err());
    }
}

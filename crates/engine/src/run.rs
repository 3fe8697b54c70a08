//! The main job: a program that the owner allowed runs with its secrets, and nobody reads them back.
//!
//! The order matters. Nothing is opened before it is decided; nothing is decided on unverified grants; the row in
//! the log is synced before the first value is opened; the program is hashed again after every wait.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use envseal_redact::{Builder, Patterns};
use envseal_sandbox::{Exit, Guarantee, Image, Spec, StartError};
use envseal_vault::{
    Caller, Confinement, Delivery, Event, EventKind, Grant, GrantId, OsText, Proof, Released, SecretBytes,
    SecretName, TierName, UnlockError, Unlocked, Variable, Vault, VaultError,
};

use crate::approve::{Answer, Choice, Owner, OwnerError, Prompt, grant_for};
use crate::attend::{Signals, attend};
use crate::clock::now;
use crate::confinement::{self, AskedConfinement, NoSuchPath};
use crate::deliver::{self, DeliverError, Delivered};
use crate::environment::{self, FIXED, HOME, RefusedVariable, TEMPORARY, same};
use crate::held::Held;
use crate::identity::{Identity, IdentityError, Search, hash_file};
use crate::policy::{Decision, Why, decide};
use crate::request::{Request, Wanted};
use crate::status::{Holds, standings};
use crate::streams::Streams;
use crate::{opened, registry, show};

/// What a person or program asks `run` to do.
#[derive(Debug)]
pub struct Asked {
    /// The secrets and the variables that shall carry them.
    pub secrets: Vec<Wanted>,
    /// The program as typed.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// The tier; `None` is the grant's.
    pub tier: Option<TierName>,
    /// What is asked of the sandbox beside it, paths as typed.
    pub confinement: AskedConfinement,
    /// How the secrets are delivered.
    pub deliver: Delivery,
    /// Variables to pass by name.
    pub pass: Vec<Variable>,
    /// Do not mask.
    pub raw: bool,
}

/// Where a run is asked for: what the caller's process has.
#[derive(Debug)]
pub struct Place {
    /// Its environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory, canonical.
    pub cwd: PathBuf,
    /// Who it is.
    pub caller: Caller,
}

/// Why a program did not run, or did not run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The owner has not allowed it, or has forbidden it.
    #[error("refused: {}", show::visible(why.to_string().as_ref()))]
    Refused {
        /// Why.
        why: Box<Why>,
        /// The command that would allow it, when one would.
        allow: Option<String>,
    },
    /// The owner said no.
    #[error("refused: you denied it")]
    DeniedByOwner,
    /// The vault must be opened and nobody can be asked.
    #[error("the vault is locked and there is nobody to ask for its passphrase")]
    Locked,
    /// A file was changed between the decision and the start.
    #[error("refused: {} was changed since it was looked at", show::visible(.0.as_os_str()))]
    ChangedMeanwhile(PathBuf),
    /// A file that must stay as it is could be changed by a process that has it open.
    #[error("refused: {} is open for writing in another program; close it there", show::visible(.0.as_os_str()))]
    Busy(PathBuf),
    /// A path that the grant lets through leads somewhere else now.
    #[error(
        "refused: {} was replaced by a link since it was allowed", show::visible(.0.as_os_str())
    )]
    Moved(PathBuf),
    /// The clock stands before what was recorded already.
    #[error(
        "the clock stands before the log's last row: it was set back, or a row was written with a wrong clock"
    )]
    ClockBehind,
    /// There is no such secret.
    #[error("there is no secret {0}")]
    NoSuchSecret(SecretName),
    /// It waits to be accepted.
    #[error("{0} waits in the inbox")]
    InInbox(SecretName),
    /// A variable cannot be used as asked.
    #[error(transparent)]
    Variable(#[from] RefusedVariable),
    /// A path that is to be let through is not there.
    #[error(transparent)]
    Path(#[from] NoSuchPath),
    /// A delivery cannot be made.
    #[error(transparent)]
    Deliver(#[from] DeliverError),
    /// The program cannot be identified.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The vault refused.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The vault was not opened.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// The owner could not be asked.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// Guarantees of the tier do not hold, and the grant does not waive them.
    #[error("{why}")]
    NotGiven {
        /// Which, each with its reason.
        why: StartError,
        /// Their ids, with commas between.
        ids: String,
        /// The command that would waive them.
        allow: String,
    },
    /// The sandbox did not start it.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Something else of the system failed.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> RunError {
    move |source| RunError::System { what, source }
}

/// How often a wrong passphrase may be typed.
const TRIES: u32 = 3;

/// Runs a program with secrets, to its end. Returns its status in shell form.
pub fn run(vault: &mut Vault, asked: Asked, place: &Place, owner: &mut dyn Owner) -> Result<i32, RunError> {
    let mut entry = registry::enter(vault.dir()).map_err(system("the list of runs"))?;
    let mut session = Session::identify(vault, asked, place)?;
    let image = &session.identity.image;
    entry.program(image.path(), image.file()).map_err(system("the list of runs"))?;
    let (released, grant) = session.release(vault, owner)?;
    let sequence = released.sequence;
    let held = Held::new(session.request.tier, &grant, vault.places());
    let outcome = session.start(released.secrets, &grant, held, &mut entry, owner);
    let mut end = Event::new(EventKind::Exit);
    end.answers = Some(sequence);
    match &outcome {
        Ok(exit) => end.status = Some(exit.shell_status()),
        Err(error) => end.note = Some(error.to_string()),
    }
    let recorded = vault.append(&end);
    drop(entry);
    let exit = outcome?;
    if let Err(error) = recorded {
        owner.notice(&format!("the end of this run could not be recorded: {error}"));
    }
    Ok(exit.shell_status())
}

/// What would run, and the request that it makes.
fn identify(asked: Asked, place: &Place) -> Result<(Identity, Request), RunError> {
    asked.pass.iter().try_for_each(environment::check_pass)?;
    asked.secrets.iter().try_for_each(|wanted| environment::check_target(&wanted.variable))?;
    deliver::check(&asked.secrets, asked.deliver)?;
    let confinement = asked.confinement.canonical(&place.cwd)?;
    let identity = Identity::resolve(&asked.program, &asked.args, place.search(), &place.cwd)?;
    let request = Request {
        secrets: asked.secrets,
        program: identity.program(),
        called: identity.called.clone(),
        shebang: identity.shebang,
        script_as: identity.script_as.clone(),
        script: identity.script.clone(),
        arbitrary: identity.arbitrary,
        args: asked.args,
        cwd: place.cwd.clone(),
        terminal: place.caller.terminal,
        shielded: false,
        tier: asked.tier,
        confinement,
        deliver: asked.deliver,
        raw: asked.raw,
        pass: asked.pass,
        leads: identity.leads.clone(),
        pinned: BTreeMap::new(),
    };
    Ok((identity, request))
}

impl Place {
    /// The process that this one is: its environment, directory and parent.
    pub fn here() -> io::Result<Self> {
        Ok(Self {
            env: std::env::vars_os().collect(),
            cwd: dunce::canonicalize(std::env::current_dir()?)?,
            caller: crate::caller::caller(),
        })
    }

    /// The value of a variable of its environment; empty when it has none.
    pub fn variable(&self, name: &str) -> &OsStr {
        let of = |known: &OsStr| known.to_str().is_some_and(|known| same(known, name));
        self.env.iter().find(|(known, _)| of(known)).map_or(OsStr::new(""), |(_, value)| value)
    }

    /// Where its programs are looked for.
    pub fn search(&self) -> Search<'_> {
        Search { path: self.variable("PATH"), extensions: self.variable("PATHEXT") }
    }

    /// The variables whose values an approval fixes: a caller cannot move a program's search path or home.
    pub fn fixed(&self) -> BTreeMap<Variable, OsText> {
        let one = |name: &str| {
            let value = self.variable(name);
            Some((name.parse().ok()?, OsText::from(value))).filter(|_| !value.is_empty())
        };
        FIXED.iter().filter_map(|(name, _)| one(name)).collect()
    }
}

struct Session<'p> {
    identity: Identity,
    request: Request,
    place: &'p Place,
    typed: OsString,
}

impl<'p> Session<'p> {
    fn identify(vault: &Vault, asked: Asked, place: &'p Place) -> Result<Self, RunError> {
        for wanted in &asked.secrets {
            if vault.secret(&wanted.name)?.is_none() {
                let waits = vault.inbox()?.iter().any(|item| item.name == wanted.name);
                let name = wanted.name.clone();
                return Err(if waits { RunError::InInbox(name) } else { RunError::NoSuchSecret(name) });
            }
        }
        let typed = asked.program.clone();
        let (identity, request) = identify(asked, place)?;
        Ok(Self { identity, request, place, typed })
    }

    /// Decides, asks, unlocks, decides again on what was verified, records, and only then opens.
    fn release(&mut self, vault: &mut Vault, owner: &mut dyn Owner) -> Result<(Released, Grant), RunError> {
        let now = now(vault)?;
        let grants = vault.grants()?;
        self.look_at_pins(&grants);
        let mut unlocked;
        match decide(&self.request, &grants, now) {
            Decision::Deny(why) => return Err(self.refuse(vault, why)?),
            Decision::Ask(why) => {
                let prompt = Prompt::new(&self.request, self.place, &why);
                let (proof, choice) = match ask(vault, owner, &prompt)? {
                    Asking::Nobody => return Err(self.refuse(vault, why)?),
                    Asking::Denied => {
                        self.refuse(vault, why)?;
                        return Err(RunError::DeniedByOwner);
                    }
                    Asking::Proven(proof, choice) => (proof, choice),
                };
                unlocked = vault.unlock_with(proof)?;
                tell(&unlocked, owner);
                self.record_answer(&mut unlocked, choice, now)?;
                if choice == Choice::DenyAlways {
                    return Err(RunError::DeniedByOwner);
                }
            }
            Decision::Allow(_) => unlocked = open(vault, owner)?,
        }
        // Time has passed at a prompt or in the key derivation: look at the bytes again, now with verified grants.
        self.identity.rehash()?;
        self.request.program = self.identity.program();
        self.request.script.clone_from(&self.identity.script);
        self.request.leads.clone_from(&self.identity.leads);
        self.request.arbitrary = self.identity.arbitrary;
        let grants = unlocked.grants()?;
        self.look_at_pins(&grants);
        let id = match decide(&self.request, &grants, now) {
            Decision::Allow(id) => id,
            Decision::Ask(why) | Decision::Deny(why) => {
                drop(unlocked);
                return Err(self.refuse(vault, why)?);
            }
        };
        let grant = grants.into_iter().find(|(other, _)| *other == id);
        let (_, grant) = grant.ok_or(VaultError::NoSuchGrant(id))?;
        owner.detail(&format!("grant {id} lets it run"));
        let mut event = self.event(EventKind::Run, Some(id));
        event.tier = Some(self.request.tier.map_or(grant.tier, |tier| tier.max(grant.tier)));
        let names: Vec<_> = self.request.secrets.iter().map(|wanted| wanted.name.clone()).collect();
        Ok((unlocked.begin_run(&event, Some(id), &names)?, grant))
    }

    /// Stores what the owner's answer means.
    fn record_answer(
        &mut self,
        unlocked: &mut Unlocked<'_>,
        choice: Choice,
        now: u64,
    ) -> Result<(), RunError> {
        // What is allowed is what is there now, not what was there when the question came up.
        self.identity.rehash()?;
        let asked = (&self.request.program, &self.request.script, &self.request.leads);
        if asked != (&self.identity.program(), &self.identity.script, &self.identity.leads) {
            let error = RunError::ChangedMeanwhile(self.request.program.path.clone());
            let mut event = self.event(EventKind::Refuse, None);
            event.note = Some(error.to_string());
            unlocked.append(&event)?;
            return Err(error);
        }
        unlocked.add_grant(&grant_for(&self.request, choice, now, self.place.fixed()))?;
        Ok(())
    }

    fn look_at_pins(&mut self, grants: &[(GrantId, Grant)]) {
        let mine = grants.iter().filter(|(_, grant)| grant.program.path == self.request.program.path);
        let paths = mine.flat_map(|(_, grant)| grant.pins.iter().map(|pin| pin.path.clone()));
        self.request.pinned = paths.filter_map(|path| Some((path.clone(), hash_file(&path).ok()?))).collect();
    }

    fn event(&self, kind: EventKind, grant: Option<GrantId>) -> Event {
        let mut event = Event::new(kind);
        event.secrets = self.request.secrets.iter().map(|wanted| wanted.name.clone()).collect();
        event.program = Some(show::visible(self.request.program.path.as_os_str()));
        event.sha256 = Some(self.request.program.sha256);
        event.request = Some(self.request.digest());
        event.grant = grant;
        event.tier = self.request.tier;
        event.caller = Some(self.place.caller.clone());
        event
    }

    /// Writes the refusal to the log and makes the error that says it.
    fn refuse(&self, vault: &mut Vault, why: Why) -> Result<RunError, RunError> {
        let mut event = self.event(EventKind::Refuse, None);
        event.note = Some(show::visible(why.to_string().as_ref()));
        vault.append(&event)?;
        let allow = || {
            let tier = self.request.tier.unwrap_or(TierName::None);
            allow_line(&self.request, &self.typed, tier, &self.request.confinement.granted())
        };
        let allow = (!matches!(why, Why::Denied { .. })).then(allow);
        Ok(RunError::Refused { why: why.into(), allow })
    }

    /// Starts the program with its secrets and stays with it until it has ended.
    fn start(
        self,
        secrets: Vec<(SecretName, SecretBytes)>,
        grant: &Grant,
        mut held: Held,
        entry: &mut registry::Entry,
        owner: &mut dyn Owner,
    ) -> Result<Exit, RunError> {
        let patterns = self.patterns(&secrets, owner);
        let mut delivered = deliver::deliver(&self.request.secrets, &secrets, self.request.deliver)?;
        drop(secrets);
        let Self { identity, request, place, typed } = self;
        let own_terminal = io::stdout().is_terminal();
        let mut signals = Signals::catch().map_err(system("signals"))?;
        prepare(&mut held, &request, grant, place, &identity.image)
            .map_err(system("a directory for temporary files"))?;
        let spec = spec(identity, &request, place, grant, &mut delivered, &held);
        let (spec, streams) = Streams::lay(spec, delivered.stdin.take(), own_terminal)
            .map_err(system("the standard streams"))?;
        drop(delivered);
        // Until the program has ended.
        let (spec, _opened) = opened::hold(spec, &request, grant, held.confinement.engine)?;
        if let Some(path) = held.moved() {
            return Err(RunError::Moved(path.to_owned()));
        }
        let engine = held.confinement.engine;
        let spec = registry::hold_back(spec);
        let mut running = held.start(spec).map_err(|why| not_started(why, &request, &typed, &held))?;
        if let Some(missing) = held.missing(running.enforced()) {
            owner.notice(&missing);
        }
        let guarantees = standings(running.enforced());
        owner.detail(&format!("tier {}, by the engine {engine}", held.tier));
        for standing in &guarantees {
            let why = standing.why.as_deref().unwrap_or_default();
            let given = match standing.given {
                Holds::Given => "given".to_owned(),
                Holds::Guarded => format!("given, but {why}"),
                Holds::No => format!("not given: {why}"),
            };
            owner.detail(&format!("{} {}: {given}", standing.id, standing.title));
        }
        let started =
            registry::Started { pid: running.pid(), created: None, tier: held.tier, engine, guarantees };
        match entry.started(started) {
            Ok(()) => {}
            Err(error) if registry::NEEDED => return Err(system("the list of runs")(error)),
            Err(error) => owner.notice(&format!("`envseal status` will not show this run: {error}")),
        }
        // Not before `envseal panic` finds it.
        registry::let_run(&running).map_err(system("let the program run"))?;
        let (pumps, outer) = streams.connect(&running, &patterns).map_err(system("the standard streams"))?;
        let exit = attend(&mut running, &mut signals, outer).map_err(system("the running program"))?;
        for pump in pumps {
            // A pump that panicked has lost output; the program's status is still its own.
            let _ = pump.join();
        }
        Ok(exit)
    }

    fn patterns(&self, secrets: &[(SecretName, SecretBytes)], owner: &mut dyn Owner) -> Patterns {
        let mut builder = Builder::new();
        if !self.request.raw {
            for (name, value) in secrets {
                if let Err(error) = builder.add(name.as_str(), value.expose()) {
                    owner.notice(&error.to_string());
                }
            }
        }
        builder.build()
    }
}

/// The command that would allow exactly this, held so.
fn allow_line(request: &Request, typed: &OsStr, tier: TierName, confinement: &Confinement) -> String {
    let mut words: Vec<OsString> = vec!["envseal".into(), "allow".into()];
    for wanted in &request.secrets {
        let text = match wanted.name.variable() == wanted.variable {
            true => wanted.name.to_string(),
            false => format!("{}={}", wanted.name, wanted.variable),
        };
        words.extend(["-s".into(), text.into()]);
    }
    if tier != TierName::None {
        words.extend(["--tier".into(), tier.to_string().into()]);
    }
    words.extend(confinement::options(confinement));
    if request.deliver != Delivery::Env {
        words.extend(["--deliver".into(), request.deliver.to_string().into()]);
    }
    for name in &request.pass {
        words.extend(["--pass".into(), name.as_str().into()]);
    }
    if request.raw {
        words.push("--raw".into());
    }
    words.extend(["--".into(), typed.to_owned()]);
    words.extend(request.args.iter().cloned());
    show::quote_all(words.iter().map(OsString::as_os_str))
}

/// Makes what the program would fail without in its tier.
fn prepare(
    held: &mut Held,
    request: &Request,
    grant: &Grant,
    place: &Place,
    image: &Image,
) -> io::Result<()> {
    let home = grant.fixed.iter().find(|(name, _)| same(name.as_str(), HOME));
    let home = home.map_or(OsStr::new(""), |(_, value)| value.as_os_str());
    // A script is called by its own name, an interpreter by that of what it is.
    let names = [Some(&request.called), request.script_as.as_ref()];
    let names: Vec<_> =
        names.into_iter().flatten().filter_map(|name| Path::new(name.as_os_str()).file_name()).collect();
    held.prepare(Path::new(home), &names, place.variable(TEMPORARY[0]), image)
}

fn spec(
    identity: Identity,
    request: &Request,
    place: &Place,
    grant: &Grant,
    delivered: &mut Delivered,
    held: &Held,
) -> Spec {
    // The search path and the home are those that the owner approved, or none.
    let is_fixed = |name: &str| FIXED.iter().any(|(fixed, _)| same(fixed, name));
    let own = place.env.iter().filter(|(name, _)| !name.to_str().is_some_and(is_fixed));
    let env = environment::filter(own.cloned(), &request.pass);
    let fixed = grant.fixed.iter().map(|(name, value)| (OsString::from(name.as_str()), value.0.clone()));
    let spec = Spec::new(identity.image)
        .arg0(identity.called.0)
        .args(identity.argv)
        .envs(env)
        .envs(fixed)
        .directory(&request.cwd);
    let spec = delivered.lay(spec);
    let needs = request.script.iter().chain(&grant.pins).map(|file| file.path.as_path());
    held.lay(spec, needs)
}

/// The error of a start, with the command that would waive what is missing where that is the reason.
fn not_started(error: StartError, request: &Request, typed: &OsStr, held: &Held) -> RunError {
    let missing: Vec<_> = match &error {
        StartError::NotGiven { missing, .. } => missing.iter().map(|(guarantee, _)| *guarantee).collect(),
        // What the launcher is there for.
        StartError::Launcher { .. } if !held.waives(Guarantee::L6) => vec![Guarantee::L6],
        _ => return error.into(),
    };
    let weaker = missing.iter().filter_map(|guarantee| guarantee.id().parse().ok()).collect();
    let ids = confinement::ids(&weaker);
    let mut waived = held.confinement.clone();
    waived.weaker.extend(weaker);
    RunError::NotGiven { why: error, ids, allow: allow_line(request, typed, held.tier, &waived) }
}

/// Opens the vault with what the owner gives.
pub fn open<'v>(vault: &'v mut Vault, owner: &mut dyn Owner) -> Result<Unlocked<'v>, RunError> {
    let proof = prove(vault, owner)?;
    let unlocked = vault.unlock_with(proof)?;
    tell(&unlocked, owner);
    Ok(unlocked)
}

/// Takes from the owner what opens the vault; what is wrong may be typed again. Nothing is asked for again that is no
/// guess: there is no key slot for it, or it is another Windows user's.
fn prove(vault: &mut Vault, owner: &mut dyn Owner) -> Result<Proof, RunError> {
    let mut again = None;
    for tried in 1.. {
        let Some(factor) = owner.unlock(again.as_deref())? else { break };
        match vault.prove(&factor) {
            Ok(proof) => return Ok(proof),
            Err(error @ UnlockError::Wrong) if tried < TRIES => again = Some(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    Err(if again.is_some() { UnlockError::Wrong.into() } else { RunError::Locked })
}

/// What came of asking the owner.
enum Asking {
    Nobody,
    Denied,
    Proven(Proof, Choice),
}

fn ask(vault: &mut Vault, owner: &mut dyn Owner, prompt: &Prompt) -> Result<Asking, RunError> {
    let mut again = None;
    for tried in 1.. {
        let (choice, factor) = match owner.approve(prompt, again.as_deref())? {
            None => break,
            Some(Answer::Deny) => return Ok(Asking::Denied),
            Some(Answer::Proven { choice, factor }) => (choice, factor),
        };
        match vault.prove(&factor) {
            Ok(proof) => return Ok(Asking::Proven(proof, choice)),
            Err(error @ UnlockError::Wrong) if tried < TRIES => again = Some(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Asking::Nobody)
}

/// Tells the owner what has happened since the last time.
fn tell(unlocked: &Unlocked<'_>, owner: &mut dyn Owner) {
    match unlocked.last_failures() {
        0 => {}
        1 => owner.notice("one failed attempt to unlock this vault since the last time it was opened"),
        many => owner.notice(&format!(
            "{many} failed attempts to unlock this vault since the last time it was opened"
        )),
    }
    for notice in unlocked.notices() {
        owner.notice(notice);
    }
}

#[cfg(test)]
#[path = "prove_tests.rs"]
mod prove_tests;

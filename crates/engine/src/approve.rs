//! Asking the owner: what a prompt shows, what may be answered, and the grant that an answer becomes.
//!
//! How a person is reached is the front end's matter ([`Owner`]); that the answer carries something the agent
//! does not have (the passphrase, the recovery code) is not: an answer without a factor cannot be made.

use std::collections::BTreeMap;
use std::ffi::OsString;

use envseal_vault::{
    ArgsRule, Caller, CallerRule, Effect, EngineName, Factor, Grant, NamePattern, OsText, SecretRule,
    TierName, Variable,
};

use crate::confinement::waived;
use crate::environment::FIXED;
use crate::policy::Why;
use crate::request::Request;
use crate::run::Place;
use crate::show;

/// A person who can be asked, or nobody.
pub trait Owner {
    /// What opens the vault, to use a grant that exists. `None` when there is nobody to ask.
    ///
    /// `again` says why the last one failed, when this is not the first time.
    fn unlock(&mut self, again: Option<&str>) -> Result<Option<Factor>, OwnerError>;

    /// Shows a request and takes the answer. `None` when there is nobody to ask.
    fn approve(&mut self, prompt: &Prompt, again: Option<&str>) -> Result<Option<Answer>, OwnerError>;

    /// Tells something that the owner should know and need not answer.
    fn notice(&mut self, text: &str);

    /// Tells something to an owner who asked for more.
    fn detail(&mut self, text: &str);
}

/// Asking failed, or the person went away.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnerError {
    /// Ctrl-C, Ctrl-D or an empty passphrase.
    #[error("cancelled at the prompt")]
    Cancelled,
    /// The terminal, descriptor or key file could not be read.
    #[error("{what}: {source}")]
    Io {
        /// What was read.
        what: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// What was read cannot be used.
    #[error("{0}")]
    Unusable(String),
}

/// What the owner says.
#[derive(Debug)]
pub enum Answer {
    /// Not now; a no needs no proof.
    Deny,
    /// A choice that is kept, with what proves that it is the owner's.
    Proven {
        /// The choice.
        choice: Choice,
        /// The passphrase or recovery code.
        factor: Factor,
    },
}

/// What can be chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// This one run.
    Once,
    /// Exactly this, for so many seconds.
    For(u64),
    /// Exactly this, without an end.
    Always,
    /// Not now and not later.
    DenyAlways,
}

/// How long a grant made by [`Choice::Once`] waits for its run to start, in seconds.
const ONCE_LIVES: u64 = 60;

/// A request as a person reads it. Every text is safe to print.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Labelled lines, in the order to show them.
    pub lines: Vec<(&'static str, String)>,
    /// What is unusual, one sentence each.
    pub warnings: Vec<String>,
}

impl Prompt {
    /// Describes a request, who asks, and why it is not allowed already.
    pub fn new(request: &Request, place: &Place, why: &Why) -> Self {
        let caller = &place.caller;
        let secrets: Vec<_> = request
            .secrets
            .iter()
            .map(|wanted| match wanted.name.variable() == wanted.variable {
                true => wanted.name.to_string(),
                false => format!("{} as {}", wanted.name, wanted.variable),
            })
            .collect();
        let file = |file: &envseal_vault::FileRule| {
            format!("{}  sha256 {}", show::visible(file.path.as_os_str()), file.sha256)
        };
        let mut lines = vec![("secrets", secrets.join(", ")), ("program", file(&request.program))];
        if let Some(script) = &request.script {
            lines.push(("script", file(script)));
        }
        lines.extend(request.leads.iter().map(|lead| ("led by", file(lead))));
        let first = match &request.script {
            Some(script) if request.shebang => {
                request.script_as.as_ref().map_or(script.path.as_os_str(), OsText::as_os_str)
            }
            _ => request.called.as_os_str(),
        };
        let words = std::iter::once(first).chain(request.args.iter().map(OsString::as_os_str));
        lines.push(("command", show::quote_all(words)));
        lines.push(("directory", show::visible(request.cwd.as_os_str())));
        lines.extend(FIXED.iter().map(|(name, label)| (*label, show::visible(place.variable(name)))));
        let asked = &request.confinement;
        let tier = request.tier.unwrap_or(TierName::None);
        lines.push(match asked.engine {
            Some(engine) if engine != EngineName::default() => ("tier", format!("{tier}, by {engine}")),
            _ => ("tier", tier.to_string()),
        });
        for (label, paths) in
            [("reads", &asked.reads), ("writes", &asked.writes), ("sockets", &asked.sockets)]
        {
            lines.extend(paths.iter().map(|path| (label, show::visible(path.as_os_str()))));
        }
        lines.push(("delivery", request.deliver.to_string()));
        if !request.pass.is_empty() {
            lines.push((
                "also passes",
                request.pass.iter().map(Variable::as_str).collect::<Vec<_>>().join(", "),
            ));
        }
        for (path, digest) in &request.pinned {
            lines.push(("pinned", format!("{}  sha256 {digest}", show::visible(path.as_os_str()))));
        }
        lines.push(("asked by", ancestry(caller)));
        lines.push(("because", show::visible(why.to_string().as_ref())));
        let mut warnings = Vec::new();
        if request.arbitrary {
            warnings.push("This runs arbitrary code: what it does stands in its arguments or input.".into());
        }
        if request.raw {
            warnings.push("Its output will not be masked.".into());
        }
        warnings.extend(asked.weaker.iter().copied().map(waived));
        if matches!(why, Why::Changed { .. }) {
            warnings.push("It has changed since it was allowed.".into());
        }
        if !caller.terminal {
            warnings.push("Whoever asks has no terminal: it is a script or an agent, not a person.".into());
        }
        Self { lines, warnings }
    }
}

/// `bash (pid 12) < tmux < systemd`, nearest first.
fn ancestry(caller: &Caller) -> String {
    let mut names = caller.ancestry.iter();
    let nearest = names.next().map_or("unknown", String::as_str);
    names.fold(format!("{nearest} (pid {})", caller.pid), |line, name| format!("{line} < {name}"))
}

/// Turns an answer to a request into the grant that it means.
///
/// `fixed` are the variables whose values the owner saw and fixed.
pub fn grant_for(request: &Request, choice: Choice, now: u64, fixed: BTreeMap<Variable, OsText>) -> Grant {
    let (effect, expires, uses) = match choice {
        Choice::Once => (Effect::Allow, Some(now.saturating_add(ONCE_LIVES)), Some(1)),
        Choice::For(seconds) => (Effect::Allow, Some(now.saturating_add(seconds)), None),
        Choice::Always => (Effect::Allow, None, None),
        Choice::DenyAlways => (Effect::Deny, None, None),
    };
    let rule = |wanted: &crate::request::Wanted| SecretRule {
        name: NamePattern::Exact(wanted.name.clone()),
        variable: Some(wanted.variable.clone()),
    };
    Grant {
        effect,
        secrets: request.secrets.iter().map(rule).collect(),
        program: request.program.clone(),
        called: Some(request.called.clone()),
        shebang: request.shebang,
        script: request.script.clone(),
        script_as: request.script_as.clone(),
        pins: request.leads.clone(),
        args: ArgsRule::Exact(request.args.iter().map(OsText::from).collect()),
        // The prompt shows it: exactly this is in this directory.
        cwd: Some(request.cwd.clone()),
        caller: CallerRule::Any,
        tier: request.tier.unwrap_or(TierName::None),
        confinement: request.confinement.granted(),
        deliver: request.deliver,
        raw: request.raw,
        pass: request.pass.clone(),
        fixed,
        created: now,
        expires,
        uses,
    }
}

#[cfg(test)]
mod tests {
    use envseal_vault::{Digest, FileRule, GrantId};

    use super::*;
    use crate::policy::{Decision, decide};
    use crate::request::tests::sample;

    const NOW: u64 = 1_800_000_000;

    fn decided(choice: Choice, later: u64) -> Decision {
        let grant = grant_for(&sample(), choice, NOW, BTreeMap::new());
        decide(&sample(), &[(GrantId(1), grant)], NOW + later)
    }

    #[test]
    fn an_answer_allows_exactly_what_was_asked() {
        for choice in [Choice::Once, Choice::For(3600), Choice::Always] {
            assert_eq!(decided(choice, 0), Decision::Allow(GrantId(1)));
        }
        assert!(matches!(decided(Choice::Once, ONCE_LIVES), Decision::Ask(_)));
        assert!(matches!(decided(Choice::For(3600), 3600), Decision::Ask(_)));
        assert_eq!(decided(Choice::Always, u64::from(u32::MAX)), Decision::Allow(GrantId(1)));
        assert!(matches!(decided(Choice::DenyAlways, 0), Decision::Deny(_)));
    }

    fn prompt(request: &Request) -> Prompt {
        let caller = Caller { pid: 1, uid: 1, ancestry: vec!["bash".into()], terminal: true };
        let place = Place { env: vec![], cwd: "/".into(), caller };
        let why = Why::NoGrant { program: request.program.path.clone(), secrets: vec![] };
        Prompt::new(request, &place, &why)
    }

    #[test]
    fn a_prompt_shows_all_that_is_asked_of_the_sandbox() {
        let plain = prompt(&sample());
        assert!(plain.lines.contains(&("tier", "none".into())) && plain.warnings.is_empty());
        assert!(plain.lines.iter().all(|(label, _)| !["reads", "writes", "sockets"].contains(label)));

        let mut request = sample();
        request.tier = Some(TierName::Lockdown);
        request.confinement.engine = Some(EngineName::Namespaces);
        request.confinement.weaker = ["L6", "N6"].map(|id| id.parse().unwrap()).into();
        request.confinement.reads = vec!["/data/in".into(), "/etc/\x1b[2J".into()];
        request.confinement.writes = vec!["/data/out".into()];
        request.confinement.sockets = vec!["/run/db.sock".into()];
        let wide = prompt(&request);
        for line in [
            ("tier", "lockdown, by namespaces"),
            ("reads", "/data/in"),
            ("reads", "/etc/\\u{1b}[2J"),
            ("writes", "/data/out"),
            ("sockets", "/run/db.sock"),
        ] {
            assert!(wide.lines.contains(&(line.0, line.1.into())), "{line:?} is not in {wide:?}");
        }
        assert_eq!(wide.warnings.len(), 2);
        assert_eq!(
            wide.warnings[1],
            "L6 (memory and environment unreadable to the same user) need not hold."
        );
        // What it shows is what the answer grants.
        let grant = grant_for(&request, Choice::Always, NOW, BTreeMap::new());
        assert_eq!((grant.tier, &grant.confinement), (TierName::Lockdown, &request.confinement.granted()));
        assert_eq!(decide(&request, &[(GrantId(1), grant)], NOW), Decision::Allow(GrantId(1)));
    }

    #[test]
    fn what_leads_a_program_is_shown_and_pinned_by_the_answer() {
        let lead = FileRule { path: "/home/me/venv/pyvenv.cfg".into(), sha256: Digest::new([7; 32]) };
        let with = |sha256: Option<Digest>| {
            let pinned = sha256.map(|sha256| (lead.path.clone(), sha256)).into_iter().collect();
            Request { leads: vec![lead.clone()], pinned, ..sample() }
        };
        let shown = prompt(&with(None)).lines;
        assert!(shown.contains(&("led by", format!("/home/me/venv/pyvenv.cfg  sha256 {}", lead.sha256))));
        let decided = |request: &Request, grant: &Grant| decide(request, &[(GrantId(1), grant.clone())], NOW);
        let grant = grant_for(&with(None), Choice::Always, NOW, BTreeMap::new());
        assert_eq!(decided(&with(Some(lead.sha256)), &grant), Decision::Allow(GrantId(1)));
        let changed = decided(&with(Some(Digest::new([8; 32]))), &grant);
        assert!(matches!(changed, Decision::Ask(Why::Changed { ref path, .. }) if *path == lead.path));
        let gone = decided(&sample(), &grant);
        assert!(matches!(gone, Decision::Ask(Why::PinMissing { ref path, .. }) if *path == lead.path));
        // One that appeared after the grant was made.
        let before = grant_for(&sample(), Choice::Always, NOW, BTreeMap::new());
        assert_eq!(decided(&sample(), &before), Decision::Allow(GrantId(1)));
        let Decision::Ask(why) = decided(&with(None), &before) else { panic!("it was let run") };
        assert!(matches!(why, Why::NotPinned { ref path, .. } if *path == lead.path), "{why}");
        assert!(why.to_string().contains("leads /usr/bin/curl to other code"), "{why}");
    }

    #[test]
    fn a_prompt_cannot_be_forged_by_what_it_shows() {
        let mut request = sample();
        request.args = vec!["\x1b[2J\x1b[Hsafe\u{202e}".into(), "a\nprogram  /bin/true".into()];
        request.cwd = "/tmp/\x1b]0;x\x07".into();
        let caller = Caller { pid: 1, uid: 1, ancestry: vec!["bash".into()], terminal: false };
        let env = vec![("HOME".into(), "/home/\u{1b}[31m".into())];
        let place = Place { env, cwd: "/".into(), caller };
        let why = Why::NoGrant { program: request.program.path.clone(), secrets: vec![] };
        let prompt = Prompt::new(&request, &place, &why);
        for (_, line) in &prompt.lines {
            assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
        }
    }
}

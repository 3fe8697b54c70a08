//! A request: one run that somebody asks for, with everything that a decision depends on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use envseal_vault::{Delivery, Digest, FileRule, OsText, SecretName, TierName, Variable};
use sha2::{Digest as _, Sha256};

use crate::confinement::AskedConfinement;

/// A secret asked for, and the variable that shall carry it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The secret.
    pub name: SecretName,
    /// The variable.
    pub variable: Variable,
}

/// What a run asks for. Everything here was measured, not claimed: paths are canonical, digests were computed.
#[derive(Clone, Debug)]
pub struct Request {
    /// The secrets, in the order they were named.
    pub secrets: Vec<Wanted>,
    /// The file that will be executed.
    pub program: FileRule,
    /// The path it was called by, its directory canonical.
    pub called: OsText,
    /// The script was called, and its `#!` line names the program.
    pub shebang: bool,
    /// The script it runs, for an interpreter.
    pub script: Option<FileRule>,
    /// The path by which it is given the script.
    pub script_as: Option<OsText>,
    /// Runs whatever its arguments or its input say: an interpreter without a script of its own.
    pub arbitrary: bool,
    /// The arguments after the name, as the person typed them.
    pub args: Vec<OsString>,
    /// Canonical working directory.
    pub cwd: PathBuf,
    /// The caller has a controlling terminal.
    pub terminal: bool,
    /// The caller is inside a shield.
    pub shielded: bool,
    /// The tier asked for; `None` is the grant's least one.
    pub tier: Option<TierName>,
    /// What is asked of the sandbox beside the tier.
    pub confinement: AskedConfinement,
    /// How the secrets are delivered.
    pub deliver: Delivery,
    /// Output is not masked.
    pub raw: bool,
    /// Variables to pass by name, beyond the allow-list.
    pub pass: Vec<Variable>,
    /// Files that lead the program to other code by where they are: a grant has to pin each.
    pub leads: Vec<FileRule>,
    /// Present digests of the files that a grant for this program pins; a missing file is absent.
    pub pinned: BTreeMap<PathBuf, Digest>,
}

impl Request {
    /// Digest of the whole request: what an approval binds.
    ///
    /// SHA-256 over a label and every field, each preceded by its length (64 bit, big-endian) or its count, so
    /// that no two different requests share an encoding.
    pub fn digest(&self) -> Digest {
        let mut hash = Encoder(Sha256::new());
        hash.bytes(b"envseal request 3");
        hash.count(self.secrets.len());
        for wanted in &self.secrets {
            hash.bytes(wanted.name.as_str().as_bytes());
            hash.bytes(wanted.variable.as_str().as_bytes());
        }
        hash.file(&self.program);
        hash.bytes(self.called.as_os_str().as_encoded_bytes());
        hash.count(usize::from(self.script.is_some()));
        if let Some(script) = &self.script {
            hash.file(script);
        }
        hash.count(usize::from(self.script_as.is_some()));
        if let Some(path) = &self.script_as {
            hash.bytes(path.as_os_str().as_encoded_bytes());
        }
        hash.count(usize::from(self.shebang));
        hash.count(usize::from(self.arbitrary));
        hash.count(self.args.len());
        for arg in &self.args {
            hash.bytes(arg.as_encoded_bytes());
        }
        hash.bytes(self.cwd.as_os_str().as_encoded_bytes());
        hash.count(usize::from(self.terminal));
        hash.count(usize::from(self.shielded));
        hash.word(self.tier);
        let asked = &self.confinement;
        hash.word(asked.engine);
        hash.count(asked.weaker.len());
        for name in &asked.weaker {
            hash.bytes(name.id().as_bytes());
        }
        for paths in [&asked.reads, &asked.writes, &asked.sockets] {
            hash.count(paths.len());
            for path in paths {
                hash.bytes(path.as_os_str().as_encoded_bytes());
            }
        }
        hash.bytes(self.deliver.to_string().as_bytes());
        hash.count(usize::from(self.raw));
        hash.count(self.pass.len());
        for name in &self.pass {
            hash.bytes(name.as_str().as_bytes());
        }
        hash.count(self.leads.len());
        for lead in &self.leads {
            hash.file(lead);
        }
        hash.count(self.pinned.len());
        for (path, digest) in &self.pinned {
            hash.bytes(path.as_os_str().as_encoded_bytes());
            hash.bytes(digest.as_bytes());
        }
        Digest::new(hash.0.finalize().into())
    }
}

/// Feeds length-prefixed fields to a hash.
struct Encoder(Sha256);

impl Encoder {
    fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.update(bytes);
    }

    fn word(&mut self, word: Option<impl ToString>) {
        self.count(usize::from(word.is_some()));
        if let Some(word) = word {
            self.bytes(word.to_string().as_bytes());
        }
    }

    fn file(&mut self, file: &FileRule) {
        self.bytes(file.path.as_os_str().as_encoded_bytes());
        self.bytes(file.sha256.as_bytes());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use envseal_vault::EngineName;
    use proptest::prelude::*;

    use super::*;

    /// A request of `curl https://example.org` for `TOKEN`, to be changed by a test.
    pub(crate) fn sample() -> Request {
        Request {
            secrets: vec![Wanted { name: "TOKEN".parse().unwrap(), variable: "TOKEN".parse().unwrap() }],
            program: FileRule { path: "/usr/bin/curl".into(), sha256: Digest::new([1; 32]) },
            called: "/usr/bin/curl".into(),
            shebang: false,
            script: None,
            script_as: None,
            arbitrary: false,
            args: vec!["https://example.org".into()],
            cwd: "/home/me".into(),
            terminal: false,
            shielded: false,
            tier: None,
            confinement: AskedConfinement::default(),
            deliver: Delivery::Env,
            raw: false,
            pass: vec![],
            leads: vec![],
            pinned: BTreeMap::new(),
        }
    }

    /// A tier and a wish out of few values, so that two of them are often nearly the same.
    pub(crate) fn any_confinement() -> impl Strategy<Value = (Option<TierName>, AskedConfinement)> {
        let tiers = [TierName::None, TierName::Hardened, TierName::Lockdown];
        let engines = [EngineName::Private, EngineName::Namespaces];
        let names = ["H1", "L1", "L6"].map(|id| id.parse().unwrap());
        let paths = || prop::collection::vec(prop::sample::select(vec!["/a", "/a/b", "/b"]), 0..3);
        (
            prop::option::of(prop::sample::select(tiers.to_vec())),
            prop::option::of(prop::sample::select(engines.to_vec())),
            prop::collection::btree_set(prop::sample::select(names.to_vec()), 0..3),
            (paths(), paths(), paths()),
        )
            .prop_map(|(tier, engine, weaker, (reads, writes, sockets))| {
                let paths = |paths: Vec<&str>| paths.into_iter().map(PathBuf::from).collect();
                let (reads, writes, sockets) = (paths(reads), paths(writes), paths(sockets));
                (tier, AskedConfinement { engine, weaker, reads, writes, sockets })
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_two_argument_lists_share_a_digest(
            a in prop::collection::vec("[ab]{0,3}", 0..5),
            b in prop::collection::vec("[ab]{0,3}", 0..5),
        ) {
            let with = |args: &[String]| {
                let mut request = sample();
                request.args = args.iter().map(OsString::from).collect();
                request.digest()
            };
            prop_assert_eq!(a == b, with(&a) == with(&b));
        }

        #[test]
        fn no_two_wishes_share_a_digest(a in any_confinement(), b in any_confinement()) {
            let with = |(tier, confinement): &(Option<TierName>, AskedConfinement)| {
                Request { tier: *tier, confinement: confinement.clone(), ..sample() }.digest()
            };
            prop_assert_eq!(a == b, with(&a) == with(&b));
        }
    }

    #[test]
    fn every_field_changes_the_digest() {
        type Change = fn(&mut Request);
        let changes: [Change; 26] = [
            |r| r.script_as = Some("/tmp/x".into()),
            |r| r.shebang = true,
            |r| r.secrets[0].name = "OTHER".parse().unwrap(),
            |r| r.secrets[0].variable = "OTHER".parse().unwrap(),
            |r| r.program.path = "/usr/bin/wget".into(),
            |r| r.program.sha256 = Digest::new([2; 32]),
            |r| r.called = "wget".into(),
            |r| r.script = Some(r.program.clone()),
            |r| r.arbitrary = true,
            |r| r.args.clear(),
            |r| r.cwd = "/".into(),
            |r| r.terminal = true,
            |r| r.tier = Some(TierName::None),
            |r| r.tier = Some(TierName::Hardened),
            |r| r.tier = Some(TierName::Lockdown),
            |r| r.confinement.engine = Some(EngineName::Private),
            |r| r.confinement.engine = Some(EngineName::Namespaces),
            |r| r.confinement.weaker = ["L6".parse().unwrap()].into(),
            |r| r.confinement.weaker = ["L5", "L6"].map(|id| id.parse().unwrap()).into(),
            |r| r.confinement.reads = vec!["/a".into()],
            |r| r.confinement.writes = vec!["/a".into()],
            |r| r.confinement.sockets = vec!["/a".into()],
            |r| r.deliver = Delivery::Fd,
            |r| r.raw = true,
            |r| r.pass = vec!["CI".parse().unwrap()],
            |r| r.leads = vec![r.program.clone()],
        ];
        let mut digests = std::collections::BTreeSet::from([sample().digest()]);
        for change in changes {
            let mut request = sample();
            change(&mut request);
            digests.insert(request.digest());
        }
        assert_eq!(digests.len(), changes.len() + 1);
    }
}

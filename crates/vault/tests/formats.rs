//! Grants and events as JSON: they read back as they were, and no bytes make the readers panic.

mod support;

use std::ffi::OsString;

use envseal_vault::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use support::*;

fn secret() -> impl Strategy<Value = SecretName> {
    "[A-Za-z0-9_.][A-Za-z0-9_.-]{0,20}".prop_filter_map("a name", |text| text.parse().ok())
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::new)
}

/// Any text of the operating system, valid Unicode or not.
#[cfg(unix)]
fn text() -> impl Strategy<Value = OsText> {
    use std::os::unix::ffi::OsStringExt as _;

    vec(any::<u8>(), 0..20).prop_map(|bytes| OsText(OsString::from_vec(bytes)))
}

#[cfg(windows)]
fn text() -> impl Strategy<Value = OsText> {
    use std::os::windows::ffi::OsStringExt as _;

    // Half of the units are surrogates, most of them without their other half.
    let unit = prop_oneof![any::<u16>(), 0xd800u16..0xe000];
    vec(unit, 0..20).prop_map(|units| OsText(OsString::from_wide(&units)))
}

fn file() -> impl Strategy<Value = FileRule> {
    (text(), digest()).prop_map(|(path, sha256)| FileRule { path: path.0.into(), sha256 })
}

fn confinement() -> impl Strategy<Value = Confinement> {
    let paths = || vec(text().prop_map(|path| path.0.into()), 0..3);
    let weaker = proptest::collection::btree_set(
        proptest::sample::select(GuaranteeName::IDS.to_vec()).prop_map(|id| id.parse().unwrap()),
        0..3,
    );
    (any::<bool>(), weaker, paths(), paths(), paths()).prop_map(
        |(private, weaker, reads, writes, sockets)| Confinement {
            engine: if private { EngineName::Private } else { EngineName::Namespaces },
            weaker,
            reads,
            writes,
            sockets,
        },
    )
}

fn grants() -> impl Strategy<Value = Grant> {
    let args = prop_oneof![
        vec(text(), 0..5).prop_map(ArgsRule::Exact),
        vec(text(), 0..5).prop_map(ArgsRule::Prefix),
        Just(ArgsRule::Any),
    ];
    let first =
        (any::<bool>(), vec((secret(), any::<bool>()), 0..4), file(), option::of(text()), option::of(file()));
    let second = (vec(file(), 0..3), args, option::of(text()), any::<bool>(), option::of(any::<u64>()));
    let third = (option::of(any::<u32>()), any::<u64>(), confinement());
    (first, second, third).prop_map(
        |(
            (allow, secrets, program, called, script),
            (pins, args, cwd, raw, expires),
            (uses, created, confinement),
        )| Grant {
            effect: if allow { Effect::Allow } else { Effect::Deny },
            secrets: secrets
                .into_iter()
                .map(|(name, under)| SecretRule {
                    name: if under { NamePattern::Under(name) } else { NamePattern::Exact(name) },
                    variable: Some("VARIABLE".parse().unwrap()),
                })
                .collect(),
            program,
            called,
            shebang: raw,
            script_as: None,
            script,
            pins,
            args,
            cwd: cwd.map(|path| path.0.into()),
            raw,
            expires,
            uses,
            created,
            confinement,
            ..grant("A", None)
        },
    )
}

fn events() -> impl Strategy<Value = Event> {
    let caller = (any::<u32>(), any::<u32>(), vec("\\PC{0,9}", 0..3), any::<bool>())
        .prop_map(|(pid, uid, ancestry, terminal)| Caller { pid, uid, ancestry, terminal });
    let first = (vec(secret(), 0..3), option::of("\\PC{0,30}"), option::of(digest()), option::of(digest()));
    let second =
        (option::of(caller), option::of(any::<i32>()), option::of("\\PC{0,30}"), option::of(any::<u64>()));
    (first, second).prop_map(|((secrets, program, sha256, request), (caller, status, note, answers))| Event {
        secrets,
        program,
        sha256,
        request,
        caller,
        status,
        note,
        answers,
        ..Event::new(EventKind::Run)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_grant_reads_back_as_it_was(grant in grants()) {
        let json = serde_json::to_string(&grant).unwrap();
        prop_assert_eq!(serde_json::from_str::<Grant>(&json).unwrap(), grant);
    }

    #[test]
    fn a_grant_without_the_field_says_nothing_of_its_sandbox(grant in grants()) {
        let mut json = serde_json::to_value(&grant).unwrap();
        let had = json.as_object_mut().unwrap().remove("confinement").is_some();
        prop_assert_eq!(had, grant.confinement != Confinement::default());
        let without = Grant { confinement: Confinement::default(), ..grant };
        prop_assert_eq!(serde_json::from_value::<Grant>(json).unwrap(), without);
    }

    #[test]
    fn an_event_reads_back_as_it_was(event in events()) {
        let json = serde_json::to_string(&event).unwrap();
        prop_assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
    }

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in vec(any::<u8>(), 0..200), grant in grants(), at: usize, byte: u8) {
        let _ = serde_json::from_slice::<Grant>(&bytes);
        let _ = serde_json::from_slice::<Event>(&bytes);
        let mut json = serde_json::to_vec(&grant).unwrap();
        let at = at % json.len();
        json[at] = byte;
        let _ = serde_json::from_slice::<Grant>(&json);
    }
}
